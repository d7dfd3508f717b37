/** The whole server on real sockets: framing, caps, deadlines, TLS, UDP, HTTP and failing disks. */
import { execFileSync } from 'node:child_process'
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, describe, expect, it } from 'vitest'
import { toHex } from '../../core/bytes.ts'
import { encodeRegistryFrame } from '../../core/wire/registry-message.ts'
import { createRendezvous, type Rendezvous, type RendezvousOptions } from '../../signaling/index.ts'
import { SqliteStore } from '../../signaling/sqlite-store.ts'
import { identity, refused } from './registry-bench.ts'
import { RegistrySocket } from './registry-socket.ts'

const opened: { close(): unknown }[] = []
afterEach(async () => {
  for (const one of opened.splice(0).reverse()) await one.close()
})

async function start(options: Partial<RendezvousOptions> = {}): Promise<Rendezvous> {
  const rendezvous = await createRendezvous({
    registryAddress: '127.0.0.1:0',
    beaconAddress: '127.0.0.1:0',
    ...options,
  })
  opened.push(rendezvous)
  return rendezvous
}

async function dial(
  { registryEndpoint }: Rendezvous,
  options?: { tls?: boolean; localAddress?: string },
): Promise<RegistrySocket> {
  const socket = await RegistrySocket.open(registryEndpoint.port, options)
  opened.push(socket)
  return socket
}

function folder(): string {
  const path = mkdtempSync(join(tmpdir(), 'pilot-rendezvous-'))
  opened.push({ close: () => rmSync(path, { recursive: true, force: true }) })
  return path
}

const LIST = { type: 'list_networks' }

describe('the registry port', () => {
  it('answers pipelined requests in order, also when they arrive byte by byte', async () => {
    const socket = await dial(await start())
    const frames = [LIST, { type: 'nope' }, { type: 'beacon_list' }].map(encodeRegistryFrame)
    for (const byte of Buffer.concat(frames)) socket.socket.write(Uint8Array.of(byte))
    expect((await socket.receive())!.type).toBe('list_networks_ok')
    expect(await socket.receive()).toEqual(refused('unknown message type: "nope"'))
    expect((await socket.receive())!.type).toBe('beacon_list_ok')
  })

  it('answers what came before bytes that are no frame, then closes', async () => {
    const rendezvous = await start()
    for (const bad of ['00000000', '00100001', '000000025b5d', '000000017b']) {
      const socket = await dial(rendezvous)
      socket.socket.write(Buffer.concat([encodeRegistryFrame(LIST), Buffer.from(bad, 'hex')]))
      expect((await socket.receive())!.type).toBe('list_networks_ok')
      expect(await socket.receive()).toBeUndefined()
    }
  })

  it('answers a client that has finished sending, then closes', async () => {
    const socket = await dial(await start())
    socket.socket.end(encodeRegistryFrame(LIST))
    expect((await socket.receive())!.type).toBe('list_networks_ok')
    await socket.closed
  })

  it('takes a frame of 2^20 bytes', async () => {
    const socket = await dial(await start())
    const reply = await socket.request({ ...LIST, padding: 'x'.repeat(1_048_576 - 40) })
    expect(reply!.type).toBe('list_networks_ok')
  })

  it('answers the refused replication subscription and closes', async () => {
    const socket = await dial(await start())
    expect(await socket.request({ type: 'subscribe_replication', token: 'x' })).toEqual(
      refused('replication not configured'),
    )
    await socket.closed
  })

  it('publishes the IPv4 address of a client of a dual-stack socket', async () => {
    const rendezvous = await start({ registryAddress: ':0', beaconAddress: ':0' })
    const socket = await dial(rendezvous)
    const a = identity('a')
    await socket.register(a)
    await socket.signed(a, 'set_visibility', 1, { public: true })
    expect((await socket.request({ type: 'lookup', node_id: 1 }))!.real_addr).toBe('127.0.0.1:4000')
  })

  it('closes connections above its caps at once, and admits again when others leave', async () => {
    const rendezvous = await start({
      connectionLimits: { connectionsMax: 3, connectionsPerSourceMax: 2 },
    })
    const first = await dial(rendezvous)
    await dial(rendezvous)
    await (await dial(rendezvous)).closed
    const other = await dial(rendezvous, { localAddress: '127.0.0.2' })
    await (await dial(rendezvous, { localAddress: '127.0.0.3' })).closed
    expect((await other.request(LIST))!.type).toBe('list_networks_ok')
    first.close()
    await first.closed
    await new Promise((resolve) => setTimeout(resolve, 50))
    expect((await (await dial(rendezvous)).request(LIST))!.type).toBe('list_networks_ok')
  })

  it('closes silent connections and frames that never end', async () => {
    const rendezvous = await start({ connectionLimits: { idleMs: 1500, frameMs: 400 } })
    const silent = await dial(rendezvous)
    const slow = await dial(rendezvous)
    const startedAt = performance.now()
    slow.socket.write(Uint8Array.of(0, 0, 0, 9, 0x7b))
    const drip = setInterval(() => slow.socket.write(' '), 300)
    await slow.closed
    clearInterval(drip)
    expect(performance.now() - startedAt).toBeLessThan(1400)
    await silent.closed
    expect(performance.now() - startedAt).toBeGreaterThan(1400)
  })

  it('closes the connection whose unfinished frame passes the sum allowed to all', async () => {
    const rendezvous = await start({ connectionLimits: { unfinishedBytesMax: 20_000 } })
    const begin = async (bytes: number): Promise<RegistrySocket> => {
      const socket = await dial(rendezvous)
      socket.socket.write(Buffer.concat([Buffer.from('00100000', 'hex'), Buffer.alloc(bytes, ' ')]))
      await new Promise((resolve) => setTimeout(resolve, 50))
      return socket
    }
    const first = await begin(15_000)
    await (await begin(10_000)).closed
    expect(first.socket.destroyed).toBe(false)
    first.close()
    await first.closed
    await new Promise((resolve) => setTimeout(resolve, 50))
    expect((await begin(15_000)).socket.destroyed).toBe(false)
  })

  it('stops reading from a client that does not read, and drops it', async () => {
    const rendezvous = await start({
      connectionLimits: { frameMs: 300 },
      limits: { requestBurst: 1e9 },
    })
    const socket = await dial(rendezvous)
    socket.socket.pause()
    const frame = Buffer.concat(new Array(500).fill(encodeRegistryFrame({ type: 'x'.repeat(60) })))
    const writer = setInterval(() => {
      if (socket.socket.writableLength < 1e6)
        for (let i = 0; i < 40; i++) socket.socket.write(frame)
    }, 5)
    await socket.closed
    clearInterval(writer)
  }, 20_000)
})

describe('TLS', () => {
  it('serves the given certificate and refuses plain clients', async () => {
    const path = folder()
    const [key, cert] = [join(path, 'key.pem'), join(path, 'cert.pem')]
    execFileSync(
      'openssl',
      [
        'req',
        '-x509',
        '-newkey',
        'ec',
        '-pkeyopt',
        'ec_paramgen_curve:P-256',
        '-nodes',
        '-days',
        '2',
      ].concat(['-subj', '/O=Pilot', '-keyout', key, '-out', cert]),
      { stdio: 'ignore' },
    )
    const rendezvous = await start({
      tls: { cert: readFileSync(cert, 'utf8'), key: readFileSync(key, 'utf8') },
    })
    const socket = await dial(rendezvous, { tls: true })
    expect((await socket.request(LIST))!.type).toBe('list_networks_ok')
    const plain = await dial(rendezvous)
    expect(await plain.request(LIST)).toBeUndefined()
    const closing = rendezvous.close()
    await socket.closed
    await closing
  })
})

describe('the beacon port', () => {
  it.each(['127.0.0.1:0', ':0'])('on %s discovers and relays', async (beaconAddress) => {
    const rendezvous = await start({ beaconAddress })
    const [a, b] = await Promise.all([udp(), udp()])
    const received = async (socket: typeof a): Promise<string> =>
      toHex((await once(socket, 'message'))[0] as Uint8Array)
    for (const [i, socket] of [a, b].entries()) {
      socket.send(Uint8Array.of(1, 0, 0, 0, i + 1), rendezvous.beaconEndpoint.port, '127.0.0.1')
      const port = socket.address().port.toString(16).padStart(4, '0')
      expect(await received(socket)).toBe(`02047f000001${port}`)
    }
    a.send(
      Uint8Array.of(5, 0, 0, 0, 1, 0, 0, 0, 2, 0xab, 0xcd),
      rendezvous.beaconEndpoint.port,
      '127.0.0.1',
    )
    expect(await received(b)).toBe('0600000001abcd')
  })

  async function udp() {
    const socket = createSocket('udp4')
    opened.push({ close: () => socket.close() })
    socket.bind(0, '127.0.0.1')
    await once(socket, 'listening')
    return socket
  }
})

describe('HTTP', () => {
  it('shows what the registry knows', async () => {
    const rendezvous = await start({ httpAddress: '127.0.0.1:0' })
    const socket = await dial(rendezvous)
    await socket.register(identity('a'))
    const url = rendezvous.httpUrl!
    expect(await (await fetch(`${url}/api/stats`)).json()).toMatchObject({
      total_nodes: 1,
      total_requests: 1,
    })
    expect(await (await fetch(`${url}/healthz`)).text()).toBe('ok')
    expect(await (await fetch(`${url}/metrics`)).text()).toContain('pilot_connections 1')
    expect((await fetch(`${url}/metrics`, { headers: { 'X-Real-IP': '192.0.2.1' } })).status).toBe(
      403,
    )
  })
})

describe('starting and stopping', () => {
  it('keeps everything answered over a restart', async () => {
    const storePath = join(folder(), 'store.sqlite')
    const a = identity('a')
    const first = await start({ storePath })
    const socket = await dial(first)
    expect((await socket.register(a))!.node_id).toBe(1)
    await socket.signed(a, 'set_hostname', 1, { hostname: 'alice' })
    await first.close()
    await first.close()
    const second = await dial(await start({ storePath }))
    expect(await second.request({ type: 'resolve_hostname', hostname: 'alice' })).toMatchObject({
      node_id: 1,
    })
    expect((await second.register(identity('b')))!.node_id).toBe(2)
  })

  it('starts everything or nothing: a taken port frees the store and the other ports', async () => {
    const taken = createServer()
    taken.listen(0, '127.0.0.1')
    await once(taken, 'listening')
    opened.push(taken)
    const { port } = taken.address() as { port: number }
    const storePath = join(folder(), 'store.sqlite')
    await expect(start({ httpAddress: `127.0.0.1:${port}`, storePath })).rejects.toMatchObject({
      code: 'ERR_ADDRESS_IN_USE',
      message: expect.stringContaining(`127.0.0.1:${port}`),
    })
    await start({ storePath })
  })

  it.each(['', '9000', 'a:b', ':99999', '1.2.3.4'])('refuses the address %j', async (address) => {
    await expect(start({ registryAddress: address })).rejects.toMatchObject({
      code: 'ERR_INVALID_ARGUMENT',
    })
  })

  it('says nothing it cannot keep: without a disk no answers, and health is bad', async () => {
    const original = SqliteStore.prototype.commit
    const rendezvous = await start({
      storePath: join(folder(), 'store.sqlite'),
      httpAddress: '127.0.0.1:0',
    })
    const health = async (): Promise<number> =>
      (await fetch(`${rendezvous.httpUrl}/healthz`)).status
    SqliteStore.prototype.commit = () => {
      throw new Error('disk full')
    }
    try {
      const socket = await dial(rendezvous)
      expect(await socket.register(identity('a'))).toBeUndefined()
      expect(await health()).toBe(503)
    } finally {
      SqliteStore.prototype.commit = original
    }
    await expect.poll(health, { timeout: 5000 }).toBe(200)
    const socket = await dial(rendezvous)
    expect((await socket.register(identity('b')))!.node_id).toBe(2)
    expect((await socket.register(identity('a')))!.node_id).toBe(1)
  })
})
