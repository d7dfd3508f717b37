/** The beacon's WebSockets in virtual time (spec/09): authentication, quotas, queues, timers, and all four ways. */
import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { toHex } from '../../core/bytes.ts'
import { Identity } from '../../core/identity/identity.ts'
import { type Endpoint, parseEndpoint } from '../../core/machine.ts'
import { compatChallenge, encodeCompatMessage } from '../../core/rendezvous/compat-message.ts'
import { encodeBeaconMessage } from '../../core/wire/beacon-message.ts'
import { nodeCrypto } from '../../runtimes/node/crypto.ts'
import { Beacon } from '../../signaling/beacon.ts'
import {
  type CompatConnection,
  CompatRelay,
  type CompatTransmit,
} from '../../signaling/compat-relay.ts'
import type { CompatLimits } from '../../signaling/limits.ts'
import { hex } from '../support.ts'

const UNIX = 1_772_200_000
const PEER: Endpoint = { address: '192.0.2.50', port: 9001 }

/** A beacon with WebSockets; `now` is its clock. */
class Bench {
  now = 0
  unix = UNIX
  readonly identities = new Map<number, Identity>()
  readonly compat: CompatRelay
  readonly beacon: Beacon
  #nonce = 0

  constructor(limits: Partial<CompatLimits> = {}) {
    this.compat = new CompatRelay(
      {
        limits,
        random: (bytes) => new Uint8Array(bytes).fill(++this.#nonce),
        verify: nodeCrypto.ed25519Verify,
        registeredKey: (id) => this.identities.get(id)?.publicKey,
      },
      this.now,
    )
    this.beacon = new Beacon({ compat: this.compat, peers: [PEER] }, this.now)
  }

  get time(): { at: number; unixSeconds: number } {
    return { at: this.now, unixSeconds: this.unix }
  }

  register(nodeId: number): Identity {
    const identity = Identity.generate(nodeCrypto)
    this.identities.set(nodeId, identity)
    return identity
  }

  open(source = '203.0.113.7'): CompatConnection {
    return this.compat.open(source, this.time)
  }

  reply(
    connection: CompatConnection,
    nodeId: number,
    identity: Identity,
    ts = this.unix,
    nonce = connection.nonce,
  ): void {
    const text = compatChallenge(nodeId, nonce, ts)
    this.compat.handleText(
      connection,
      encodeCompatMessage({
        type: 'auth_reply',
        nodeId,
        publicKey: '',
        signature: identity.sign(text),
      }),
      this.time,
    )
  }

  /** An authenticated connection; what was sent for it is taken. */
  join(nodeId: number, source?: string): CompatConnection {
    const connection = this.open(source)
    this.reply(connection, nodeId, this.identities.get(nodeId) ?? this.register(nodeId))
    this.drain()
    return connection
  }

  udp(text: string, message: string | Uint8Array): void {
    const datagram = typeof message === 'string' ? hex(message) : message
    this.beacon.handleDatagram(datagram, parseEndpoint(text)!, this.now)
  }

  ws(connection: CompatConnection, message: string | Uint8Array): void {
    const bytes = typeof message === 'string' ? hex(message) : message
    this.beacon.handleCompatMessage(connection, bytes, this.now)
  }

  /** What was sent: to WebSockets `<node id>: ...`, to endpoints `<ip:port>: <hex>`. */
  drain({ sent = true } = {}): string[] {
    const out: string[] = []
    for (
      let one = this.compat.pollTransmit();
      one !== undefined;
      one = this.compat.pollTransmit()
    ) {
      out.push(`ws ${one.connection.nodeId}: ${textOf(one)}`)
      if (sent && one.type === 'binary') this.compat.handleSent(one.connection, one.bytes.length)
    }
    for (let one = this.beacon.pollTransmit(); one !== undefined; one = this.beacon.pollTransmit())
      out.push(`udp ${one.to.address}:${one.to.port}: ${toHex(one.datagram)}`)
    return out
  }

  advance(ms: number): void {
    const end = this.now + ms
    while (this.beacon.pollTimeout() <= end) {
      this.now = Math.max(this.now, this.beacon.pollTimeout())
      this.beacon.handleTimeout(this.now)
    }
    this.now = end
  }
}

const isWs = (one: string): boolean => one.startsWith('ws')

function textOf(one: CompatTransmit): string {
  switch (one.type) {
    case 'text':
      return one.text
    case 'binary':
      return toHex(one.bytes)
    case 'ping':
      return 'ping'
    case 'close':
      return `close ${one.code} ${one.reason}`
  }
}

const relay = (senderId: number, destinationId: number, frame: string | Uint8Array): Uint8Array =>
  encodeBeaconMessage({
    type: 'relay',
    senderId,
    destinationId,
    frame: typeof frame === 'string' ? hex(frame) : frame,
  })

describe('authentication', () => {
  it('challenges, and takes the signature of the registered key', () => {
    const bench = new Bench()
    const connection = bench.open()
    const nonce = '01'.repeat(32)
    expect(bench.drain()).toEqual([
      `ws 0: {"type":"auth_challenge","nonce":"${nonce}","ts":${UNIX}}`,
    ])
    bench.reply(connection, 7, bench.register(7))
    expect(bench.drain()).toEqual(['ws 7: {"type":"auth_ok"}'])
    expect([...bench.compat.ids()]).toEqual([7])
  })

  it.each<[string, (bench: Bench, connection: CompatConnection) => void]>([
    ['an unknown node', (b, c) => b.reply(c, 9, Identity.generate(nodeCrypto))],
    ["another node's key", (b, c) => b.reply(c, 7, Identity.generate(nodeCrypto))],
    [
      'the older text without a time',
      (b, c) => {
        const signature = b.identities.get(7)!.sign(compatChallenge(7, c.nonce, undefined))
        b.compat.handleText(
          c,
          encodeCompatMessage({ type: 'auth_reply', nodeId: 7, publicKey: '', signature }),
          b.time,
        )
      },
    ],
    ['another challenge', (b, c) => b.reply(c, 7, b.identities.get(7)!, UNIX, '02'.repeat(32))],
    ['another time', (b, c) => b.reply(c, 7, b.identities.get(7)!, UNIX - 1)],
    ['no JSON', (b, c) => b.compat.handleText(c, 'hello', b.time)],
    ['a message out of turn', (b, c) => b.compat.handleText(c, '{"type":"auth_ok"}', b.time)],
    ['a frame first', (b, c) => b.ws(c, relay(7, 8, '50'))],
    [
      'a reply after 10 s',
      (b, c) => {
        b.now += 10_000
        b.reply(c, 7, b.identities.get(7)!)
      },
    ],
    [
      'a reply 31 s later by the wall clock, after sleep',
      (b, c) => {
        b.unix += 31
        b.reply(c, 7, b.identities.get(7)!, UNIX)
      },
    ],
    ['silence for 10 s', (b) => b.advance(11_000)],
  ])('closes with 1008 on %s', (_what, act) => {
    const bench = new Bench()
    bench.register(7)
    const connection = bench.open()
    bench.drain()
    act(bench, connection)
    expect(bench.drain().filter(isWs)).toEqual(['ws 0: close 1008 auth failed'])
    expect(bench.compat).toMatchObject({ nodeCount: 0, connectionCount: 0 })
    expect(bench.compat.counters).toMatchObject({ authFailures: 1, authenticated: 0 })
    // Nothing brings it back.
    bench.reply(connection, 7, bench.identities.get(7)!, UNIX)
    expect(bench.drain()).toEqual([])
  })

  it('ignores text after auth_ok', () => {
    const bench = new Bench()
    const connection = bench.join(7)
    bench.compat.handleText(connection, 'anything', bench.time)
    bench.reply(connection, 8, bench.register(8))
    expect(bench.drain()).toEqual([])
    expect([...bench.compat.ids()]).toEqual([7])
  })

  it('lets a second connection replace the first, whose frames are dropped in both directions', () => {
    const bench = new Bench()
    const first = bench.join(7)
    const other = bench.join(8)
    bench.ws(other, relay(8, 7, 'aa')) // waits for the first
    const second = bench.open()
    bench.reply(second, 7, bench.identities.get(7)!)
    expect(bench.drain()).toEqual([
      `ws 0: ${encodeCompatMessage({ type: 'auth_challenge', nonce: '03'.repeat(32), ts: UNIX })}`.replace(
        'ws 0',
        'ws 7',
      ),
      'ws 7: close 1000 replaced',
      'ws 7: {"type":"auth_ok"}',
    ])
    bench.ws(first, relay(7, 8, 'bb'))
    expect(bench.drain()).toEqual([])
    expect(bench.compat.counters).toMatchObject({ replaced: 1, drops: { closed: 2 } })
    bench.compat.handleClosed(first)
    bench.ws(other, relay(8, 7, 'cc'))
    expect(bench.drain()).toEqual(['ws 7: 0600000008cc'])
    expect(bench.compat.connectionCount).toBe(2)
  })
})

describe('relaying', () => {
  it('works between WebSockets and endpoints in all four ways', () => {
    const bench = new Bench()
    const w = bench.join(1)
    bench.join(2)
    for (const id of [3, 4]) bench.udp(`198.51.100.9:4000${id}`, `010000000${id}`)
    bench.drain()
    bench.ws(w, relay(1, 2, '5049')) // WSS to WSS
    bench.ws(w, relay(1, 3, '5049')) // WSS to UDP
    bench.udp('198.51.100.9:40003', relay(3, 2, '5049')) // UDP to WSS
    bench.udp('198.51.100.9:40003', relay(3, 4, '5049')) // UDP to UDP
    expect(bench.drain()).toEqual([
      'ws 2: 06000000015049',
      'ws 2: 06000000035049',
      'udp 198.51.100.9:40003: 06000000015049',
      'udp 198.51.100.9:40004: 06000000035049',
    ])
    expect(bench.beacon.counters).toMatchObject({ relayedFrames: 4, relayedBytes: 8 })
  })

  it('looks for the destination on a WebSocket, then at an endpoint, then at a peer beacon', () => {
    const bench = new Bench()
    const sender = bench.join(1)
    const send = (): string[] => {
      bench.ws(sender, relay(1, 9, 'ff'))
      return bench.drain()
    }
    expect(send()).toEqual([])
    expect(bench.beacon.counters.drops.destinationUnknown).toBe(1)
    bench.beacon.handleDatagram(
      encodeBeaconMessage({ type: 'sync', beaconId: 5, nodeIds: [9] }),
      PEER,
      bench.now,
    )
    expect(send()).toEqual(['udp 192.0.2.50:9001: 050000000100000009ff'])
    bench.udp('198.51.100.9:40009', '0100000009')
    bench.drain()
    expect(send()).toEqual(['udp 198.51.100.9:40009: 0600000001ff'])
    const connection = bench.join(9)
    expect(send()).toEqual(['ws 9: 0600000001ff'])
    bench.compat.handleClosed(connection)
    expect(send()).toEqual(['udp 198.51.100.9:40009: 0600000001ff'])
  })

  it('delivers what a peer beacon forwards, and tells peers which nodes are here', () => {
    const bench = new Bench()
    bench.join(7)
    bench.udp('198.51.100.9:40008', '0100000008')
    bench.drain()
    bench.beacon.handleDatagram(relay(99, 7, 'ab'), PEER, bench.now)
    expect(bench.drain()).toEqual(['ws 7: 0600000063ab'])
    bench.advance(10_000)
    expect(bench.drain()).toContain('udp 192.0.2.50:9001: 070000000000020000000800000007')
  })

  it('answers a node that relays to itself, which is how a page asks whether the relay lives', () => {
    const bench = new Bench()
    bench.ws(bench.join(7), relay(7, 7, '50494c50'))
    expect(bench.drain()).toEqual(['ws 7: 060000000750494c50'])
  })

  it("drops a frame in another node's name", () => {
    const bench = new Bench()
    const connection = bench.join(7)
    bench.join(8)
    bench.ws(connection, relay(9, 8, 'aa'))
    expect(bench.drain()).toEqual([])
    expect(bench.compat.counters.drops.forgedSender).toBe(1)
  })

  it('drops what is no relay: an empty message, a bare tunnel frame, a punch request; discover is not answered', () => {
    const bench = new Bench()
    const connection = bench.join(7)
    bench.udp('198.51.100.9:40008', '0100000008')
    bench.drain()
    for (const message of ['', '50494c41', '030000000700000008', '0100000007', '0500000007'])
      bench.ws(connection, message)
    expect(bench.drain()).toEqual([])
    expect(bench.compat.counters.drops).toMatchObject({ notAllowed: 2, malformed: 1 })
    expect(connection.state).toBe('open')
  })

  it('introduces nobody to a node on a WebSocket, whatever endpoint it had', () => {
    const bench = new Bench()
    bench.udp('198.51.100.9:40007', '0100000007')
    bench.join(7)
    bench.drain()
    bench.udp('198.51.100.9:40008', '030000000800000007')
    expect(bench.drain()).toEqual([])
  })
})

describe('limits', () => {
  it('takes 65 536 bytes and closes at one more', () => {
    const bench = new Bench()
    const connection = bench.join(7)
    bench.join(8)
    bench.ws(connection, relay(7, 8, new Uint8Array(65_536 - 9)))
    expect(bench.drain()).toHaveLength(1)
    bench.ws(connection, relay(7, 8, new Uint8Array(65_536 - 8)))
    expect(bench.drain()).toEqual(['ws 7: close 1009 message too large'])
    expect(bench.compat.counters.drops.oversize).toBe(1)
  })

  it('drops the newest for a slow consumer, and goes on when its queue empties', () => {
    const bench = new Bench({ queueBytesMax: 1000 })
    const connection = bench.join(7)
    const slow = bench.join(8)
    for (let i = 0; i < 20; i++) bench.ws(connection, relay(7, 8, new Uint8Array(95).fill(i)))
    const sent = bench.drain({ sent: false })
    expect(sent).toHaveLength(10)
    expect(sent[9]).toContain('09'.repeat(95))
    expect(bench.compat.counters.drops.queueFull).toBe(10)
    expect(bench.compat.queuedBytes).toBe(1000)
    bench.compat.handleSent(slow, 100)
    bench.ws(connection, relay(7, 8, new Uint8Array(95)))
    expect(bench.drain({ sent: false })).toHaveLength(1)
    // A connection that goes takes what waited for it along; late news of sent bytes change nothing.
    bench.compat.handleClosed(slow)
    bench.compat.handleSent(slow, 100)
    expect(bench.compat.queuedBytes).toBe(0)
  })

  it('bounds what waits for all WebSockets together', () => {
    const bench = new Bench({ queueBytesSumMax: 300 })
    const connection = bench.join(1)
    for (const id of [2, 3]) bench.join(id)
    for (let i = 0; i < 4; i++) bench.ws(connection, relay(1, 2 + (i % 2), new Uint8Array(95)))
    expect(bench.drain({ sent: false })).toHaveLength(3)
    expect(bench.compat.counters.drops.queueFull).toBe(1)
  })

  it('takes so many frames and bytes a second from one node, not less from another', () => {
    const bench = new Bench({ framesPerSecond: 5, bytesPerSecond: 1000 })
    const [a, b] = [bench.join(1), bench.join(2)]
    for (let i = 0; i < 8; i++) bench.ws(a, relay(1, 2, ''))
    expect(bench.drain()).toHaveLength(5)
    for (let i = 0; i < 3; i++) bench.ws(b, relay(2, 1, new Uint8Array(391)))
    expect(bench.drain()).toHaveLength(2)
    expect(bench.compat.counters.drops.rateLimited).toBe(4)
    bench.now += 400
    for (let i = 0; i < 8; i++) bench.ws(a, relay(1, 2, ''))
    expect(bench.drain()).toHaveLength(2)
  })

  it('admits 10 upgrades a second per address after a burst of 100', () => {
    const bench = new Bench()
    const count = (source: string): number =>
      Array.from({ length: 150 }, () => bench.compat.admit(source, bench.now)).filter(
        (one) => one === 'admitted',
      ).length
    expect(count('203.0.113.7')).toBe(100)
    expect(count('203.0.113.8')).toBe(100)
    bench.now += 1000
    expect(count('203.0.113.7')).toBe(10)
    expect(bench.compat.admit('203.0.113.7', bench.now)).toBe('rate-limited')
  })

  it('is full in all and per address, and has room again when connections go', () => {
    const bench = new Bench({ connectionsMax: 3, connectionsPerSourceMax: 2 })
    const first = bench.open('203.0.113.7')
    bench.open('203.0.113.7')
    expect(bench.compat.admit('203.0.113.7', 0)).toBe('full')
    expect(bench.compat.admit('203.0.113.8', 0)).toBe('admitted')
    bench.open('203.0.113.8')
    expect(bench.compat.admit('203.0.113.9', 0)).toBe('full')
    bench.drain()
    // Who was admitted while there was room and opened when there was none.
    bench.open('203.0.113.9')
    expect(bench.drain()).toEqual(['ws 0: close 1013 try again later'])
    bench.compat.handleClosed(first)
    bench.compat.handleClosed(first)
    expect(bench.compat.admit('203.0.113.7', 0)).toBe('admitted')
    expect(bench.compat.connectionCount).toBe(2)
  })
})

describe('timers', () => {
  it('pings every 30 s and closes after 90 s without a frame or a pong', () => {
    const bench = new Bench()
    const [lively, silent] = [bench.join(1), bench.join(2)]
    const seen: string[] = []
    for (let second = 1; second <= 95; second++) {
      bench.advance(1000)
      for (const one of bench.drain().filter(isWs)) {
        seen.push(`${second} s ${one}`)
        if (one === 'ws 1: ping') bench.compat.handlePong(lively, bench.now)
      }
    }
    expect(seen).toEqual([
      '30 s ws 1: ping',
      '30 s ws 2: ping',
      '60 s ws 1: ping',
      '60 s ws 2: ping',
      '90 s ws 1: ping',
      '90 s ws 2: close 1001 idle',
    ])
    expect(lively.state).toBe('open')
    expect(silent.state).toBe('closed')
    expect(bench.compat.counters.timedOut).toBe(1)
  })

  it('counts a frame as life', () => {
    const bench = new Bench()
    const connection = bench.join(1)
    for (let i = 0; i < 4; i++) {
      bench.advance(60_000)
      bench.ws(connection, relay(1, 1, ''))
    }
    expect(connection.state).toBe('open')
  })

  it('holds no timer that is due after handleTimeout', () => {
    const bench = new Bench()
    bench.open()
    for (let i = 0; i < 100; i++) {
      bench.advance(777)
      expect(bench.beacon.pollTimeout()).toBeGreaterThan(bench.now)
    }
    expect(bench.compat.connectionCount).toBe(0)
  })
})

it('keeps its books whatever happens in whatever order', () => {
  const op = fc.record({
    kind: fc.constantFrom(
      'open',
      'join',
      'text',
      'bytes',
      'relay',
      'sent',
      'pong',
      'closed',
      'pass',
    ),
    which: fc.nat(7),
    nodeId: fc.integer({ min: 1, max: 4 }),
    bytes: fc.uint8Array({ maxLength: 40 }),
    text: fc.oneof(fc.string(), fc.constant('{"type":"auth_reply","node_id":1,"sig":""}')),
    ms: fc.nat(40_000),
  })
  fc.assert(
    fc.property(fc.array(op, { maxLength: 60 }), (ops) => {
      const bench = new Bench({ queueBytesMax: 120, queueBytesSumMax: 300, connectionsMax: 6 })
      const connections: CompatConnection[] = []
      for (const { kind, which, nodeId, bytes, text, ms } of ops) {
        const one = connections[which % Math.max(1, connections.length)]
        if (kind === 'open') connections.push(bench.open())
        else if (kind === 'join') connections.push(bench.join(nodeId))
        else if (kind === 'pass') bench.advance(ms)
        else if (one === undefined) continue
        else if (kind === 'text') bench.compat.handleText(one, text, bench.time)
        else if (kind === 'bytes') bench.ws(one, bytes)
        else if (kind === 'relay') bench.ws(one, relay(one.nodeId, nodeId, bytes))
        else if (kind === 'sent') bench.compat.handleSent(one, one.queuedBytes)
        else if (kind === 'pong') bench.compat.handlePong(one, bench.now)
        else bench.compat.handleClosed(one)
        if (which % 2 === 0) bench.drain({ sent: false })
        const living = connections.filter(({ state }) => state !== 'closed')
        const queued = living.map(({ queuedBytes }) => queuedBytes)
        expect(bench.compat.connectionCount).toBe(living.length)
        expect(bench.compat.nodeCount).toBe(living.filter(({ state }) => state === 'open').length)
        expect(bench.compat.queuedBytes).toBe(queued.reduce((sum, bytes_) => sum + bytes_, 0))
        expect(Math.max(0, ...queued)).toBeLessThanOrEqual(120)
        expect(bench.compat.queuedBytes).toBeLessThanOrEqual(300)
      }
      for (const connection of connections) bench.compat.handleClosed(connection)
      bench.drain()
      expect(bench.compat).toMatchObject({ connectionCount: 0, nodeCount: 0, queuedBytes: 0 })
      expect(bench.compat.admit('203.0.113.7', bench.now + 60_000)).toBe('admitted')
    }),
  )
})
