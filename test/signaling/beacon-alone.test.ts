/** A registry and beacons apart from each other, as the reference's `registry` and `beacon` programs run. */
import { spawn } from 'node:child_process'
import { createSocket, type Socket } from 'node:dgram'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { afterEach, describe, expect, it } from 'vitest'
import { decodeBeaconMessage, encodeBeaconMessage } from '../../core/index.ts'
import { createNode } from '../../runtimes/node/index.ts'
import { type BeaconAlone, createBeacon } from '../../signaling/serve-beacon-alone.ts'
import { createRendezvous, type Rendezvous } from '../../signaling/serve-node.ts'

const opened: { close(): unknown }[] = []
afterEach(async () => {
  for (const one of opened.splice(0).reverse()) await one.close()
})

async function beacon(beaconId: number, registry?: Rendezvous): Promise<BeaconAlone> {
  const made = await createBeacon({
    address: '127.0.0.1:0',
    beaconId,
    healthAddress: '127.0.0.1:0',
    ...(registry && { registry: { host: '127.0.0.1', port: registry.registryEndpoint.port } }),
    announceMs: 50,
  })
  opened.push(made)
  return made
}

const to = ({ address, port }: { address: string; port: number }): string => `${address}:${port}`

async function until(isTrue: () => boolean): Promise<void> {
  for (let i = 0; i < 1000 && !isTrue(); i++)
    await new Promise((resolve) => setTimeout(resolve, 10))
  expect(isTrue()).toBe(true)
}

async function udp(): Promise<Socket> {
  const socket = createSocket('udp4')
  await new Promise<void>((resolve) => socket.bind(0, '127.0.0.1', resolve))
  opened.push(socket)
  return socket
}

describe('beacons of their own', () => {
  it('find each other at a registry, and relay to each other’s nodes', async () => {
    const first = await beacon(0)
    const registry = await createRendezvous({
      registryAddress: '127.0.0.1:0',
      beaconAddress: '127.0.0.1:0',
      beaconElsewhere: first.endpoint,
      trustLocalBeacons: true,
    })
    opened.push(registry)
    expect(registry.beaconEndpoint).toEqual(first.endpoint)
    const [a, b] = [await beacon(7, registry), await beacon(8, registry)]
    const [one, two] = [await udp(), await udp()]
    const discover = (nodeId: number): Uint8Array =>
      encodeBeaconMessage({ type: 'discover', nodeId })
    one.send(discover(1), a.endpoint.port, '127.0.0.1')
    two.send(discover(2), b.endpoint.port, '127.0.0.1')
    await until(() => a.beacon.nodeCount === 1 && b.beacon.nodeCount === 1)
    // Tables go around every 10 s, which are let pass here each time; a datagram has the beacon send what it queued.
    let ahead = 0
    await until(() => {
      ahead += 10_001
      b.beacon.handleTimeout(performance.now() + ahead)
      two.send(discover(2), b.endpoint.port, '127.0.0.1')
      return a.beacon.peerNodeCount === 1
    })
    const heard = new Promise<Uint8Array>((resolve) => {
      two.on('message', (datagram) => {
        if (decodeBeaconMessage(datagram).type === 'relay-deliver') resolve(datagram)
      })
    })
    const frame = Buffer.of(1, 2, 3)
    const relay = { type: 'relay', senderId: 1, destinationId: 2, frame } as const
    one.send(encodeBeaconMessage(relay), a.endpoint.port, '127.0.0.1')
    expect(decodeBeaconMessage(await heard)).toMatchObject({ type: 'relay-deliver', frame })
  })

  it('serve nodes of a registry that names them, and say that they are well', async () => {
    const alone = await beacon(0)
    const registry = await createRendezvous({
      registryAddress: '127.0.0.1:0',
      beaconAddress: '127.0.0.1:0',
      beaconElsewhere: alone.endpoint,
    })
    opened.push(registry)
    const node = await createNode({
      registry: to(registry.registryEndpoint),
      beacon: to(alone.endpoint),
    })
    opened.push(node)
    await until(() => node.info().beacon === 'answering' && alone.beacon.nodeCount === 1)
    const url = `http://${to(alone.healthEndpoint!)}`
    expect(await (await fetch(`${url}/healthz`)).text()).toBe('ok')
    expect((await fetch(url)).status).toBe(404)
  })
})

describe('the programs', () => {
  async function run(name: string, argv: readonly string[], stopAt?: RegExp) {
    const program = fileURLToPath(new URL(`../../signaling/bin/${name}.ts`, import.meta.url))
    const child = spawn(process.execPath, [program, ...argv], { stdio: ['ignore', 'pipe', 'pipe'] })
    let text = ''
    for (const stream of [child.stdout, child.stderr])
      stream.on('data', (chunk) => {
        text += chunk
        if (!child.killed && stopAt?.test(text)) child.kill('SIGTERM')
      })
    const [code] = (await once(child, 'close')) as [number]
    return { code, text }
  }

  it.each([
    ['pilot-beacon', ['-addr', '127.0.0.1:0', '-health=127.0.0.1:0'], /beacon listening/],
    ['pilot-registry', ['-addr', '127.0.0.1:0', '-store', ''], /state is NOT kept/],
  ])('%s runs with the flags of the reference until it is stopped', async (name, argv, ready) => {
    const { code, text } = await run(name, argv, ready)
    expect([code, text]).toEqual([0, expect.stringContaining('stopped')])
  })

  it.each([
    ['pilot-beacon', ['-peers', '127.0.0.1:9'], /-beacon-id above 0/],
    ['pilot-beacon', ['-beacon-id', '-1'], /integer/],
    ['pilot-registry', ['-beacon', 'host:9001'], /-beacon: expected ip:port/],
    ['pilot-registry', ['-tls-cert', 'x'], /-tls-cert and -tls-key need -tls/],
  ])('%s refuses %j', async (name, argv, why) => {
    const { code, text } = await run(name, argv)
    expect([code, text]).toEqual([2, expect.stringMatching(why)])
  })

  it.each(['pilot-beacon', 'pilot-registry'])(
    '%s explains itself within 80 columns',
    async (name) => {
      const { code, text } = await run(name, ['--help'])
      expect(code).toBe(0)
      for (const line of text.split('\n')) expect(line.length, line).toBeLessThanOrEqual(80)
    },
  )
})
