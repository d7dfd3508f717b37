/** The WebSocket doors on real sockets: who may upgrade, what passes, and what happens to the rest (spec/09). */
import { once } from 'node:events'
import { connect } from 'node:net'
import { afterEach, describe, expect, it } from 'vitest'
import { WebSocket } from 'ws'
import { concat } from '../../core/bytes.ts'
import { encodeBeaconMessage } from '../../core/wire/beacon-message.ts'
import {
  encodeRegistryFrame,
  RegistryFrameDecoder,
  type RegistryMessage,
} from '../../core/wire/registry-message.ts'
import { createRendezvous, type Rendezvous, type RendezvousOptions } from '../../signaling/index.ts'
import { TrustedProxies } from '../../signaling/trusted-proxies.ts'
import {
  ask,
  authenticate,
  Client,
  closeOpened,
  compat,
  joined,
  opened,
  register,
  registered,
} from './door-client.ts'
import { identity } from './registry-bench.ts'

afterEach(closeOpened)

async function start(options: Partial<RendezvousOptions> = {}): Promise<Rendezvous> {
  const rendezvous = await createRendezvous({
    registryAddress: '127.0.0.1:0',
    beaconAddress: '127.0.0.1:0',
    httpAddress: '127.0.0.1:0',
    ...options,
  })
  opened.push(rendezvous)
  return rendezvous
}

describe('the upgrade', () => {
  it('is asked for with 426, and /health says that a beacon is here', async () => {
    const { httpUrl } = await start()
    for (const path of ['/v1/compat', '/v1/registry']) {
      const response = await fetch(`${httpUrl}${path}`)
      expect(response.status).toBe(426)
      expect(response.headers.get('upgrade')).toBe('websocket')
      expect(response.headers.get('access-control-allow-origin')).toBe('*')
    }
    expect((await fetch(`${httpUrl}/health`)).status).toBe(200)
  })

  it('picks its subprotocol, wherever it stands, and refuses others', async () => {
    const rendezvous = await start()
    const url = `${rendezvous.httpUrl!.replace('http', 'ws')}/v1/compat`
    const socket = new WebSocket(url, ['other', 'pilot.v1'])
    opened.push({ close: () => socket.terminate() })
    await new Promise((resolve) => socket.once('open', resolve))
    expect(socket.protocol).toBe('pilot.v1')
    expect(await new Client(rendezvous, '/v1/compat', 'pilot.v2').opened).toBe(400)
    expect(await new Client(rendezvous, '/v1/registry', 'pilot.v1').opened).toBe(400)
    expect(await new Client(rendezvous, '/v1/nothing', 'pilot.v1').opened).toBe(404)
  })

  it('lets pages of any origin in, or of those named, and programs without one always', async () => {
    const any = await start()
    expect(await compat(any, { origin: 'https://example.org' }).opened).toBe(0)
    const few = await start({ origins: ['https://example.org', 'http://localhost:8080'] })
    expect(await compat(few).opened).toBe(0)
    expect(await compat(few, { origin: 'https://Example.org' }).opened).toBe(0)
    expect(await compat(few, { origin: 'https://example.org.evil.net' }).opened).toBe(403)
    expect(
      await new Client(few, '/v1/registry', 'pilot.registry.v1', { origin: 'null' }).opened,
    ).toBe(403)
  })

  it('is refused with 503 when the house is full and with 429 when it is asked for too often', async () => {
    const full = await start({ compatLimits: { connectionsMax: 1 } })
    expect(await compat(full).opened).toBe(0)
    expect(await compat(full).opened).toBe(503)
    const eager = await start({ compatLimits: { upgradeBurst: 2, upgradesPerSecond: 0.001 } })
    expect(await compat(eager).opened).toBe(0)
    expect(await compat(eager).opened).toBe(0)
    expect(await compat(eager).opened).toBe(429)
    expect(await new Client(eager, '/v1/registry', 'pilot.registry.v1').opened).toBe(0)
  })

  it('counts a registry WebSocket among the connections of the registry', async () => {
    const rendezvous = await start({ connectionLimits: { connectionsPerSourceMax: 1 } })
    const first = new Client(rendezvous, '/v1/registry', 'pilot.registry.v1')
    expect(await first.opened).toBe(0)
    expect(await new Client(rendezvous, '/v1/registry', 'pilot.registry.v1').opened).toBe(503)
    first.socket.close()
    await first.closed
    await expect
      .poll(() => new Client(rendezvous, '/v1/registry', 'pilot.registry.v1').opened)
      .toBe(0)
  })
})

describe('the relay door', () => {
  it('relays between two nodes, in order', async () => {
    const rendezvous = await start()
    const [a, b] = [await joined(rendezvous, 'a'), await joined(rendezvous, 'b')]
    for (let i = 0; i < 100; i++)
      a.client.socket.send(
        encodeBeaconMessage({
          type: 'relay',
          senderId: a.id,
          destinationId: b.id,
          frame: Uint8Array.of(0x50, i),
        }),
      )
    await b.client.message(101)
    expect(b.client.messages.slice(2)).toEqual(
      Array.from({ length: 100 }, (_, i) => Uint8Array.of(6, 0, 0, 0, a.id, 0x50, i)),
    )
  })

  it('closes with 1008 on a bad signature', async () => {
    const rendezvous = await start()
    const id = await registered(rendezvous, identity('a'))
    const client = compat(rendezvous)
    await authenticate(client, id, identity('b'))
    expect(await client.closed).toBe('1008 auth failed')
  })

  it('closes the older connection of a node with 1000', async () => {
    const rendezvous = await start()
    const { id, client } = await joined(rendezvous, 'a')
    const second = compat(rendezvous)
    await authenticate(second, id, identity('a'))
    expect(await client.closed).toBe('1000 replaced')
    expect(await second.message(1)).toBe('{"type":"auth_ok"}')
  })

  it('closes on more than 65 536 bytes, and takes that many', async () => {
    const rendezvous = await start()
    const [a, b] = [await joined(rendezvous, 'a'), await joined(rendezvous, 'b')]
    const send = (bytes: number): void => {
      const frame = new Uint8Array(bytes - 9)
      a.client.socket.send(
        encodeBeaconMessage({ type: 'relay', senderId: a.id, destinationId: b.id, frame }),
      )
    }
    send(65_536)
    expect(((await b.client.message(2)) as Uint8Array).length).toBe(65_532)
    send(65_537)
    expect(await a.client.closed).toMatch(/^1009/)
  })

  it('drops for a slow consumer instead of growing, and goes on with the others', async () => {
    const rendezvous = await start({ compatLimits: { queueBytesMax: 1_000_000 } })
    const [a, slow, quick] = [
      await joined(rendezvous, 'a'),
      await joined(rendezvous, 'slow'),
      await joined(rendezvous, 'quick'),
    ]
    slow.client.socket.pause()
    const frame = new Uint8Array(60_000)
    const to = (destinationId: number): void =>
      a.client.socket.send(
        encodeBeaconMessage({ type: 'relay', senderId: a.id, destinationId, frame }),
      )
    const metric = async (name: string): Promise<number> => {
      const text = await (await fetch(`${rendezvous.httpUrl}/metrics`)).text()
      return Number(text.match(new RegExp(`^${name} (\\d+)$`, 'm'))![1])
    }
    // Far more than the network's own buffers take.
    for (let i = 0; i < 400; i++) to(slow.id)
    to(quick.id)
    await quick.client.message(2)
    expect(await metric('pilot_compat_drops_total{reason="queueFull"}')).toBeGreaterThan(50)
    expect(await metric('pilot_compat_queued_bytes')).toBeLessThanOrEqual(1_000_000)
    slow.client.socket.resume()
    await expect.poll(() => metric('pilot_compat_queued_bytes'), { timeout: 5000 }).toBe(0)
    const received = slow.client.messages.length
    to(slow.id)
    await slow.client.message(received)
  }, 20_000)

  it('says goodbye when it stops', async () => {
    const rendezvous = await start()
    const { client } = await joined(rendezvous, 'a')
    const silent = connect(Number(new URL(rendezvous.httpUrl!).port), '127.0.0.1')
    opened.push({ close: () => silent.destroy() })
    await once(silent, 'connect')
    const closing = rendezvous.close()
    expect(await client.closed).toBe('1001 going away')
    await closing
  })

  it('stops also when a client does not answer the close', async () => {
    const rendezvous = await start()
    const { client } = await joined(rendezvous, 'a')
    client.socket.pause()
    await rendezvous.close()
  })
})

describe('the registry door', () => {
  it('answers frames cut anywhere, and answers of several messages', async () => {
    const rendezvous = await start()
    const client = new Client(rendezvous, '/v1/registry', 'pilot.registry.v1')
    await client.opened
    const frames = concat(
      encodeRegistryFrame({ type: 'list_networks', padding: 'x'.repeat(200_000) }),
      encodeRegistryFrame({ type: 'nope' }),
    )
    for (let at = 0; at < frames.length; at += 65_536)
      client.socket.send(frames.subarray(at, at + 65_536))
    const decoder = new RegistryFrameDecoder()
    const replies: RegistryMessage[] = []
    for (let i = 0; replies.length < 2; i++) {
      decoder.push((await client.message(i)) as Uint8Array)
      for (let reply = decoder.next(); reply !== undefined; reply = decoder.next())
        replies.push(reply)
    }
    expect(replies.map(({ type }) => type)).toEqual(['list_networks_ok', 'error'])
  })

  it('closes on text and on bytes that are no frame', async () => {
    const rendezvous = await start()
    for (const [data, code] of [
      ['{"type":"list_networks"}', '1003'],
      [Uint8Array.of(0, 0x10, 0, 1), '1001'],
    ] as const) {
      const client = new Client(rendezvous, '/v1/registry', 'pilot.registry.v1')
      await client.opened
      client.socket.send(data)
      expect(await client.closed).toMatch(code)
    }
  })

  it('commits before it answers, and gives nodes that are relayed to their beacon as address', async () => {
    const rendezvous = await start()
    const id = await registered(rendezvous, identity('a'))
    await ask(rendezvous, {
      type: 'set_visibility',
      node_id: id,
      public: true,
      signature: identity('a').signBase64(`set_visibility:${id}`),
    })
    expect(await ask(rendezvous, { type: 'lookup', node_id: id })).toMatchObject({
      relay_only: true,
      real_addr: `127.0.0.1:${rendezvous.beaconEndpoint.port}`,
    })
  })

  it.each([
    [[], '203.0.113.7', '127.0.0.1'],
    [['127.0.0.1'], '203.0.113.7', '203.0.113.7'],
    [['127.0.0.0/8'], '198.51.100.1, 203.0.113.7', '203.0.113.7'],
  ])(
    'with trusted proxies %j takes the client of X-Forwarded-For %j for %s',
    async (trustedProxies, header, source) => {
      const rendezvous = await start({ trustedProxies, limits: { registrationsPerMinute: 1 } })
      const headers = { 'X-Forwarded-For': header }
      await registered(rendezvous, identity('a'), headers)
      const refused = await ask(rendezvous, register(identity('b')), headers)
      expect(refused.error).toBe(`rate limited: too many registrations from ${source}`)
    },
  )
})

describe('trusted proxies', () => {
  const proxies = new TrustedProxies(['10.0.0.0/8', '192.0.2.1', '2001:db8::/33'])
  it.each([
    ['198.51.100.1', '203.0.113.7', '198.51.100.1'],
    ['10.1.2.3', undefined, '10.1.2.3'],
    ['10.1.2.3', '203.0.113.7', '203.0.113.7'],
    ['10.1.2.3', '1.1.1.1, 203.0.113.7, 192.0.2.1', '203.0.113.7'],
    ['10.1.2.3', '203.0.113.7:443', '203.0.113.7'],
    ['10.1.2.3', '[2001:db9::5]:443', '2001:db9::5'],
    ['10.1.2.3', '203.0.113.7, unknown', '10.1.2.3'],
    ['10.1.2.3', '10.9.9.9', '10.9.9.9'],
    ['::ffff:10.1.2.3', '::ffff:203.0.113.7', '203.0.113.7'],
    ['2001:db8:7fff::1', '203.0.113.7', '203.0.113.7'],
    ['2001:db8:8000::1', '203.0.113.7', '2001:db8:8000::1'],
    ['192.0.2.2', '203.0.113.7', '192.0.2.2'],
  ])('from %s with %j: %s', (peer, header, client) => {
    expect(proxies.clientOf(peer, header)).toBe(client)
  })

  it.each(['', 'x', '10.0.0.0/33', '10.0.0.0/', '10.0.0.0/8/8', '::/129'])('refuse %j', (text) => {
    expect(() => new TrustedProxies([text])).toThrow(
      expect.objectContaining({ code: 'ERR_INVALID_ARGUMENT' }),
    )
  })
})
