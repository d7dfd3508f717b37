/** WebCrypto at the edge of the machine: the same streams, and nothing in the clear. */
import { afterEach, describe, expect, it } from 'vitest'
import { type CryptoProvider, type Endpoint, Identity, TrustStore } from '../../../core/index.ts'
import { nodeCrypto } from '../../../runtimes/node/crypto.ts'
import { registryConnector } from '../../../runtimes/node/registry-socket.ts'
import { UdpSocket } from '../../../runtimes/node/udp-socket.ts'
import { systemClock, unixNow } from '../../../runtimes/shared/clock.ts'
import { InOrder } from '../../../runtimes/shared/in-order.ts'
import { SharedPilotNode } from '../../../runtimes/shared/pilot-node.ts'
import { withWebCrypto } from '../../../runtimes/shared/web-crypto.ts'
import { createRendezvous, type Rendezvous } from '../../../signaling/index.ts'

const MARK = Buffer.from('this text must never be on the wire')
const open: { close(): Promise<void> }[] = []
afterEach(async () => {
  for (const thing of open.splice(0).reverse()) await thing.close()
})

interface Wire {
  sealed: number
  plain: number
  marks: number
}

async function node(
  server: Rendezvous,
  hostname: string,
  crypto: CryptoProvider,
  wire: Wire,
  drop = 0,
): Promise<SharedPilotNode> {
  const socket = await UdpSocket.bind('127.0.0.1:0')
  let count = 0
  const watched = {
    localEndpoint: socket.localEndpoint,
    ondatagram: undefined as UdpSocket['ondatagram'],
    send: (datagram: Uint8Array, to: Endpoint) => {
      if (Buffer.from(datagram).includes(MARK)) wire.marks++
      const kind = Buffer.from(datagram.subarray(0, 4)).toString()
      if (kind === 'PILS') wire.sealed++
      if (kind === 'PILT') wire.plain++
      return drop === 0 || ++count % drop !== 0 ? socket.send(datagram, to) : true
    },
    close: () => socket.close(),
  }
  socket.ondatagram = (datagram, from) => watched.ondatagram?.(datagram, from)
  const started = await SharedPilotNode.start({
    machine: {
      crypto,
      identity: Identity.generate(nodeCrypto),
      trustStore: new TrustStore(),
      unixNow,
      localEndpoint: socket.localEndpoint,
      beacon: { address: '127.0.0.1', port: server.beaconEndpoint.port },
      hostname,
      isPublic: true,
    },
    socket: watched,
    registry: registryConnector({ host: '127.0.0.1', port: server.registryEndpoint.port }),
    clock: systemClock,
  })
  open.push(started)
  return started
}

async function roundTrip(from: SharedPilotNode, to: SharedPilotNode, bytes: number): Promise<void> {
  const listener = to.listen(4000)
  listener.onconnection = (connection) => {
    void connection.readable.pipeTo(connection.writable).catch(() => {})
  }
  const sent = new Uint8Array(bytes)
  for (let at = 0; at + MARK.length <= bytes; at += MARK.length) sent.set(MARK, at)
  const connection = await from.dial({ address: to.address, port: 4000 })
  const writer = connection.writable.getWriter()
  const writing = writer.write(sent).then(() => writer.close())
  let at = 0
  for await (const chunk of connection.readable) {
    expect(Buffer.compare(chunk, sent.subarray(at, at + chunk.length))).toBe(0)
    at += chunk.length
  }
  expect(at).toBe(bytes)
  await writing
  listener.close()
}

describe('a node that seals by WebCrypto', () => {
  const edge = withWebCrypto(nodeCrypto)

  it.each([
    ['with one of its kind', edge, edge],
    ['with one that seals at once', edge, nodeCrypto],
    ['from one that seals at once', nodeCrypto, edge],
  ] as const)(
    'carries streams %s, all sealed',
    async (_name, ours, theirs) => {
      const server = await createRendezvous({
        registryAddress: '127.0.0.1:0',
        beaconAddress: '127.0.0.1:0',
      })
      open.push(server)
      const wire = { sealed: 0, plain: 0, marks: 0 }
      const a = await node(server, 'a', ours, wire)
      const b = await node(server, 'b', theirs, wire)
      await roundTrip(a, b, 700_000)
      expect(await a.ping(b.address)).toBeGreaterThan(0)
      expect(wire.sealed).toBeGreaterThan(1000)
      expect({ plain: wire.plain, marks: wire.marks }).toEqual({ plain: 0, marks: 0 })
      expect(a.info().drops.forged ?? 0).toBe(0)
      expect(b.info().drops.forged ?? 0).toBe(0)
    },
    30_000,
  )

  it('loses nothing on a link that drops, and never sends a copy in the clear', async () => {
    const server = await createRendezvous({
      registryAddress: '127.0.0.1:0',
      beaconAddress: '127.0.0.1:0',
    })
    open.push(server)
    const wire = { sealed: 0, plain: 0, marks: 0 }
    const a = await node(server, 'a', edge, wire, 13)
    const b = await node(server, 'b', edge, wire, 11)
    await roundTrip(a, b, 60_000)
    expect({ plain: wire.plain, marks: wire.marks }).toEqual({ plain: 0, marks: 0 })
  }, 60_000)
})

describe('work in order', () => {
  it('is delivered in the order it was begun, whatever ends first, and drops what is too much', async () => {
    const out: (number | undefined)[] = []
    const queue = new InOrder<number>(3, () => {})
    const settle: ((value: number) => void)[] = []
    for (let i = 0; i < 3; i++)
      expect(
        queue.push(new Promise((resolve) => settle.push(resolve)), (value) => out.push(value)),
      ).toBe(true)
    expect(queue.push(Promise.resolve(9), () => out.push(9))).toBe(false)
    settle[2]!(2)
    settle[1]!(1)
    await Promise.resolve()
    expect(out).toEqual([])
    settle[0]!(0)
    await new Promise((resolve) => setTimeout(resolve, 5))
    expect(out).toEqual([0, 1, 2])
    expect(queue.isEmpty).toBe(true)
    queue.push(Promise.reject(new Error('no')), (value) => out.push(value))
    await new Promise((resolve) => setTimeout(resolve, 5))
    expect(out.at(-1)).toBeUndefined()
  })
})
