/** Nodes on WebSockets and on UDP with one rendezvous, all on real sockets in this process (spec/09). */
import { createHash } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer, type IncomingMessage } from 'node:http'
import { type AddressInfo, connect, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createServer as createTlsServer } from 'node:tls'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { Identity, TrustStore } from '../../core/index.ts'
import { type CreateNodeOptions, createNode, nodeCrypto } from '../../runtimes/node/index.ts'
import type { NodeEvent, PilotConnection, PilotNode } from '../../runtimes/shared/api.ts'
import { systemClock, unixNow } from '../../runtimes/shared/clock.ts'
import { SharedPilotNode } from '../../runtimes/shared/pilot-node.ts'
import { relayTransport } from '../../runtimes/shared/relay-transport.ts'
import { Beacon } from '../../signaling/beacon.ts'
import { createRendezvous, type Rendezvous, type RendezvousOptions } from '../../signaling/index.ts'
import { selfSignedCertificate } from '../../signaling/serve-certificate.ts'

const ECHO = 7
const MEBIBYTE = 1 << 20

const opened: { close(): unknown }[] = []
afterEach(async () => {
  vi.restoreAllMocks()
  vi.unstubAllEnvs()
  for (const one of opened.splice(0).reverse()) await one.close()
})

async function start(options: Partial<RendezvousOptions> = {}): Promise<Rendezvous> {
  const rendezvous = await createRendezvous({
    registryAddress: '127.0.0.1:0',
    beaconAddress: '127.0.0.1:0',
    httpAddress: '127.0.0.1:0',
    limits: { registrationsPerMinute: 1000 },
    ...options,
  })
  opened.push(rendezvous)
  return rendezvous
}

type Kind = 'udp' | 'compat' | 'auto'

/** A private node that serves echo. Over `compat` it is told of no TCP and no UDP at all. */
async function node(
  rendezvous: Rendezvous,
  transport: Kind,
  options: CreateNodeOptions = {},
): Promise<PilotNode> {
  const { registryEndpoint, beaconEndpoint, httpUrl } = rendezvous
  const created = await createNode({
    transport,
    ...(transport === 'udp' ? {} : { rendezvousUrl: httpUrl! }),
    ...(transport === 'compat'
      ? {}
      : {
          registry: `127.0.0.1:${registryEndpoint.port}`,
          beacon: `127.0.0.1:${beaconEndpoint.port}`,
          listen: '127.0.0.1:0',
        }),
    ...options,
  })
  opened.push(created)
  created.listen(ECHO).onconnection = (connection) => {
    connection.readable.pipeTo(connection.writable).catch(() => {})
  }
  return created
}

async function befriend(a: PilotNode, b: PilotNode): Promise<void> {
  await a.trust.request(b.nodeId, 'hello')
  await expect.poll(() => b.trust.pending().length, { timeout: 15_000 }).toBe(1)
  await b.trust.approve(a.nodeId)
  expect(await a.trust.wait(b.nodeId, 15_000)).toBe(true)
  expect(b.trust.isTrusted(a.nodeId)).toBe(true)
}

/** Sends `bytes` bytes to the other's echo and compares what comes back. */
async function echo(from: PilotNode, to: PilotNode, bytes: number): Promise<void> {
  const connection = await from.dial({ address: to.address, port: ECHO })
  await echoOn(connection, bytes)
}

async function echoOn(connection: PilotConnection, bytes: number): Promise<void> {
  const data = Uint8Array.from({ length: bytes }, (_, i) => (i * 31 + (i >> 9)) & 255)
  const writer = connection.writable.getWriter()
  const written = writer.write(data).then(() => writer.close())
  const hash = createHash('sha256')
  let received = 0
  for await (const chunk of connection.readable) {
    hash.update(chunk)
    received += chunk.length
  }
  await written
  expect(received).toBe(bytes)
  expect(hash.digest('hex')).toBe(createHash('sha256').update(data).digest('hex'))
}

/** Everything the beacon was handed, by UDP and by WebSocket. */
function recordRelay(): Buffer[] {
  const seen: Buffer[] = []
  const { handleDatagram, handleCompatMessage } = Beacon.prototype
  vi.spyOn(Beacon.prototype, 'handleDatagram').mockImplementation(function (this: Beacon, ...args) {
    seen.push(Buffer.from(args[0]))
    handleDatagram.apply(this, args)
  })
  vi.spyOn(Beacon.prototype, 'handleCompatMessage').mockImplementation(function (
    this: Beacon,
    ...args
  ) {
    seen.push(Buffer.from(args[1]))
    handleCompatMessage.apply(this, args)
  })
  return seen
}

describe('trust and 1 MiB of echo', () => {
  it.each<[Kind, Kind]>([
    ['udp', 'udp'],
    ['udp', 'compat'],
    ['compat', 'udp'],
    ['compat', 'compat'],
  ])('from %s to %s', async (from, to) => {
    const rendezvous = await start()
    const [a, b] = [await node(rendezvous, from), await node(rendezvous, to)]
    await befriend(a, b)
    await echo(a, b, MEBIBYTE)
    await echo(b, a, MEBIBYTE)
    const isRelayed = from === 'compat' || to === 'compat'
    for (const [one, other] of [
      [a, b],
      [b, a],
    ] as const)
      expect(one.peers().find(({ nodeId }) => nodeId === other.nodeId)).toMatchObject({
        path: isRelayed ? 'relay' : 'direct',
        encrypted: true,
        ...(isRelayed ? { endpoint: '' } : {}),
      })
    // Nothing went astray for want of a rule.
    for (const one of [a, b]) expect(one.info().drops).not.toHaveProperty('relay-direct')
  })

  it('works with the global WebSocket, as pages and workers have it', async () => {
    const rendezvous = await start()
    const identity = Identity.generate(nodeCrypto)
    const transport = relayTransport({ url: rendezvous.httpUrl!, identity, clock: systemClock })
    const { socket, registry } = transport
    const page = await SharedPilotNode.start({
      socket,
      registry,
      clock: systemClock,
      machine: {
        crypto: nodeCrypto,
        identity,
        trustStore: new TrustStore(),
        unixNow,
        ...transport.machine,
      },
    })
    opened.push(page)
    const daemon = await node(rendezvous, 'udp')
    await befriend(page, daemon)
    await echo(page, daemon, MEBIBYTE)
    expect(socket.drops).toMatchObject({ 'relay-queue': 0, 'relay-malformed': 0 })
  })

  it('pings over two WebSockets', async () => {
    const rendezvous = await start()
    const [a, b] = [
      await node(rendezvous, 'compat', { isPublic: true, autoApprove: true }),
      await node(rendezvous, 'compat', { isPublic: true, autoApprove: true }),
    ]
    expect(await a.ping(b.address)).toBeLessThan(5000)
  })
})

describe('what the relay sees', () => {
  const SECRET = Buffer.from('the quick brown fox jumps over the lazy dog')

  /** Sends the secret both ways; true when the relay saw it. */
  async function isSeen(from: Kind, to: Kind, encrypt: boolean): Promise<boolean> {
    const seen = recordRelay()
    const rendezvous = await start()
    const options = { encrypt, isPublic: true, autoApprove: true }
    const [a, b] = [await node(rendezvous, from, options), await node(rendezvous, to, options)]
    const connection = await a.dial({ address: b.address, port: ECHO })
    const writer = connection.writable.getWriter()
    await writer.write(SECRET)
    await writer.close()
    let back = Buffer.alloc(0)
    for await (const chunk of connection.readable) back = Buffer.concat([back, chunk])
    expect(back.equals(SECRET)).toBe(true)
    expect(seen.length).toBeGreaterThan(4)
    return seen.some((bytes) => bytes.includes(SECRET))
  }

  it.each<[Kind, Kind]>([
    ['compat', 'compat'],
    ['udp', 'compat'],
  ])('is no plaintext, %s to %s', async (from, to) => {
    expect(await isSeen(from, to, true)).toBe(false)
  })

  it('would be found if it were there', async () => {
    expect(await isSeen('compat', 'compat', false)).toBe(true)
  })
})

describe('a connection that is lost', () => {
  it('comes back when the rendezvous does, and streams go on', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'pilot-compat-'))
    opened.push({ close: () => rmSync(folder, { recursive: true }) })
    const storePath = join(folder, 'store.sqlite')
    const first = await start({ storePath })
    const events: NodeEvent['type'][] = []
    const [a, b] = [await node(first, 'compat'), await node(first, 'udp')]
    a.on((event) => events.push(event.type))
    await befriend(a, b)
    const connection = await a.dial({ address: b.address, port: ECHO })
    const writer = connection.writable.getWriter()
    const reader = connection.readable.getReader()
    const roundTrip = async (value: number): Promise<void> => {
      await writer.write(Uint8Array.of(value))
      expect(await reader.read()).toEqual({ done: false, value: Uint8Array.of(value) })
    }
    await roundTrip(1)
    await first.close()
    const stoppedAt = performance.now()
    const answered = roundTrip(2)
    await new Promise((resolve) => setTimeout(resolve, 1000))
    await start({
      storePath,
      registryAddress: `127.0.0.1:${first.registryEndpoint.port}`,
      beaconAddress: `127.0.0.1:${first.beaconEndpoint.port}`,
      httpAddress: `127.0.0.1:${first.httpEndpoint!.port}`,
    })
    await answered
    await roundTrip(3)
    // Why it is lost is told again when it is something else.
    const relay = events.filter((type) => type.startsWith('relay'))
    expect([...new Set(relay)]).toEqual(['relay-lost', 'relay-connected'])
    expect(relay.at(-1)).toBe('relay-connected')
    expect(performance.now() - stoppedAt).toBeLessThan(15_000)
    await echo(b, a, 100_000)
  })

  it('comes back under another id when the rendezvous forgot everything', async () => {
    const first = await start()
    const [gone, a] = [await node(first, 'compat'), await node(first, 'compat')]
    expect(a.nodeId).toBe(2)
    await gone.close()
    await first.close()
    const second = await start({
      registryAddress: `127.0.0.1:${first.registryEndpoint.port}`,
      beaconAddress: `127.0.0.1:${first.beaconEndpoint.port}`,
      httpAddress: `127.0.0.1:${first.httpEndpoint!.port}`,
    })
    await expect.poll(() => a.nodeId, { timeout: 20_000 }).toBe(1)
    const b = await node(second, 'compat')
    await befriend(b, a)
    await echo(b, a, 1000)
  })

  it('is not fought over with another process of the same identity', async () => {
    const rendezvous = await start()
    const identity = Identity.generate(nodeCrypto)
    const events: string[] = []
    const first = await node(rendezvous, 'compat', { identity })
    first.on(({ type }) => events.push(type))
    const second = await node(rendezvous, 'compat', { identity, isPublic: true, autoApprove: true })
    expect(second.nodeId).toBe(first.nodeId)
    await expect.poll(() => events).toContain('relay-replaced')
    const other = await node(rendezvous, 'compat')
    await other.ping(second.address)
    await new Promise((resolve) => setTimeout(resolve, 1000))
    expect(events.filter((type) => type.startsWith('relay'))).toEqual(['relay-replaced'])
    expect(await other.ping(second.address)).toBeLessThan(5000)
  })
})

describe('starting', () => {
  it('with auto takes UDP where the beacon answers, and the relay where it does not', async () => {
    const rendezvous = await start()
    const a = await node(rendezvous, 'auto')
    expect(a.info().endpoint).toMatch(/^127\.0\.0\.1:[1-9]/)
    // A port where nobody answers, as behind a firewall.
    const silent = createServer()
    silent.listen(0, '127.0.0.1')
    opened.push(silent)
    await new Promise((resolve) => silent.once('listening', resolve))
    const { port } = silent.address() as AddressInfo
    const started = performance.now()
    const b = await node(rendezvous, 'auto', { beacon: `127.0.0.1:${port}` })
    expect(performance.now() - started).toBeLessThan(5000)
    expect(b.info().endpoint).toBe('0.0.0.0:0')
    await befriend(b, a)
    await echo(a, b, 1000)
  })

  it('says why it cannot', async () => {
    const rendezvous = await start()
    const compat = { transport: 'compat', registrationTimeoutMs: 1000 } as const
    await expect(createNode(compat)).rejects.toMatchObject({ code: 'ERR_INVALID_ARGUMENT' })
    await expect(createNode({ ...compat, rendezvousUrl: 'wss//x' })).rejects.toMatchObject({
      code: 'ERR_INVALID_ARGUMENT',
    })
    const rendezvousUrl = rendezvous.httpUrl!
    await rendezvous.close()
    await expect(createNode({ ...compat, rendezvousUrl })).rejects.toMatchObject({
      code: 'ERR_REGISTRY_UNAVAILABLE',
      message: expect.stringContaining('ECONNREFUSED'),
    })
  })

  it('fails when the registry takes the node and the relay does not', async () => {
    const rendezvous = await start({ compatLimits: { connectionsMax: 0 } })
    await expect(node(rendezvous, 'compat', { registrationTimeoutMs: 1000 })).rejects.toMatchObject(
      {
        code: 'ERR_RELAY_UNAVAILABLE',
        message: expect.stringContaining('503'),
      },
    )
  })
})

describe('through a proxy', () => {
  interface Proxy {
    readonly url: string
    /** Targets asked for, with the credentials that came. */
    readonly asked: string[]
  }

  /** An HTTP proxy that only does CONNECT, for those who know the password. */
  async function startProxy(): Promise<Proxy> {
    const asked: string[] = []
    const sockets = new Set<Socket>()
    const server = createServer((_request, response) => response.writeHead(405).end())
    server.on('connect', (request: IncomingMessage, client: Socket, head: Buffer) => {
      const [, token = ''] = (request.headers['proxy-authorization'] ?? '').split(' ')
      const credentials = Buffer.from(token, 'base64').toString()
      asked.push(`${request.url} ${credentials}`)
      if (credentials !== 'agent:s:cret') {
        client.end('HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n')
        return
      }
      const { hostname, port } = new URL(`http://${request.url}`)
      const upstream = connect(Number(port), hostname, () => {
        client.write('HTTP/1.1 200 Connection established\r\n\r\n')
        upstream.write(head)
        upstream.pipe(client).pipe(upstream)
      })
      for (const socket of [client, upstream]) {
        sockets.add(socket)
        socket.on('error', () => {})
        socket.on('close', () => {
          client.destroy()
          upstream.destroy()
        })
      }
    })
    server.listen(0, '127.0.0.1')
    await new Promise((resolve) => server.once('listening', resolve))
    opened.push({
      close: () => {
        for (const socket of sockets) socket.destroy()
        server.close()
      },
    })
    const { port } = server.address() as AddressInfo
    return { url: `http://agent:s%3Acret@127.0.0.1:${port}`, asked }
  }

  /** TLS in front of a plain port, as a reverse proxy has it. */
  async function startTls(port: number): Promise<{ port: number; cert: string }> {
    const { cert, key } = selfSignedCertificate(Date.now())
    const server = createTlsServer({ cert, key }, (client) => {
      const upstream = connect(port, '127.0.0.1')
      for (const socket of [client, upstream]) socket.on('error', () => {})
      client.pipe(upstream).pipe(client)
      upstream.on('close', () => client.destroy())
    })
    server.listen(0, '127.0.0.1')
    await new Promise((resolve) => server.once('listening', resolve))
    opened.push(server)
    return { port: (server.address() as AddressInfo).port, cert }
  }

  it.each(['http', 'https'])('with credentials from the environment, %s', async (scheme) => {
    const rendezvous = await start()
    const proxy = await startProxy()
    vi.stubEnv(`${scheme.toUpperCase()}_PROXY`, proxy.url)
    let rendezvousUrl = rendezvous.httpUrl!
    let options: CreateNodeOptions = {}
    if (scheme === 'https') {
      const tls = await startTls(rendezvous.httpEndpoint!.port)
      rendezvousUrl = `wss://localhost:${tls.port}`
      options = { rendezvousCa: tls.cert }
    }
    const shared = { ...options, rendezvousUrl, isPublic: true, autoApprove: true }
    const [a, b] = [
      await node(rendezvous, 'compat', shared),
      await node(rendezvous, 'compat', shared),
    ]
    await echo(a, b, 200_000)
    const { host } = new URL(rendezvousUrl)
    expect(proxy.asked).toEqual(new Array(4).fill(`${host} agent:s:cret`))
  })

  it('says that the credentials are wrong, without telling them', async () => {
    const rendezvous = await start()
    const proxy = await startProxy()
    vi.stubEnv('HTTP_PROXY', proxy.url.replace('cret', 'cretly'))
    const failing = node(rendezvous, 'compat', { registrationTimeoutMs: 1000 })
    await expect(failing).rejects.toMatchObject({ message: expect.stringContaining('407') })
    await expect(failing).rejects.not.toMatchObject({ message: expect.stringContaining('cretly') })
  })

  it('not where NO_PROXY exempts the host', async () => {
    const rendezvous = await start()
    const proxy = await startProxy()
    vi.stubEnv('HTTP_PROXY', proxy.url)
    vi.stubEnv('NO_PROXY', 'example.org,127.0.0.1')
    await node(rendezvous, 'compat')
    expect(proxy.asked).toEqual([])
  })

  it('does not trust a certificate that nobody vouches for', async () => {
    const rendezvous = await start()
    const tls = await startTls(rendezvous.httpEndpoint!.port)
    await expect(
      node(rendezvous, 'compat', {
        rendezvousUrl: `wss://localhost:${tls.port}`,
        registrationTimeoutMs: 1000,
      }),
    ).rejects.toMatchObject({ message: expect.stringMatching(/self.signed/i) })
  })
})
