/** The beacon against the recorded reference, and the limits the reference does not have (spec/02). */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { toHex } from '../../core/bytes.ts'
import { type Endpoint, formatEndpoint } from '../../core/machine.ts'
import { encodeBeaconMessage } from '../../core/wire/beacon-message.ts'
import { Beacon, type BeaconOptions } from '../../signaling/beacon.ts'
import { GOSSIP_INTERVAL_MS } from '../../signaling/limits.ts'
import { canonicalIp } from '../../signaling/serve-address.ts'
import { hex, type VectorCase, vectors } from '../support.ts'

interface Sent {
  readonly to: string
  readonly hex: string
}

function drain(beacon: Beacon): Sent[] {
  const sent: Sent[] = []
  for (;;) {
    const transmit = beacon.pollTransmit()
    if (transmit === undefined) return sent
    sent.push({ to: formatEndpoint(transmit.to), hex: toHex(transmit.datagram) })
  }
}

function endpoint(text: string): Endpoint {
  const match = /^\[?(.*?)\]?:(\d+)$/.exec(text)!
  return { address: canonicalIp(match[1])!, port: Number(match[2]) }
}

const A = endpoint('203.0.113.7:40001')
const B = endpoint('198.51.100.9:40002')
const EVIL = endpoint('192.0.2.3:40003')

class Bench {
  at = 0
  readonly beacon: Beacon
  constructor(options: BeaconOptions = {}) {
    this.beacon = new Beacon(options, 0)
  }

  send(from: Endpoint, datagram: Uint8Array): Sent[] {
    this.beacon.handleDatagram(datagram, from, this.at)
    return drain(this.beacon)
  }

  discover(nodeId: number, from: Endpoint, extended = false): Sent[] {
    return this.send(from, encodeBeaconMessage({ type: 'discover', nodeId, extended }))
  }

  punch(requesterId: number, targetId: number, from: Endpoint): Sent[] {
    return this.send(from, encodeBeaconMessage({ type: 'punch-request', requesterId, targetId }))
  }

  relay(senderId: number, destinationId: number, from: Endpoint, frame = hex('50494c50')): Sent[] {
    return this.send(from, encodeBeaconMessage({ type: 'relay', senderId, destinationId, frame }))
  }

  pass(ms: number): Sent[] {
    this.at += ms
    this.beacon.handleTimeout(this.at)
    return drain(this.beacon)
  }
}

const PEER = '192.0.2.50:9001'

/**
 * Where ours differs on purpose, by vector name. `registers`: senders that must be registered before they may
 * relay, which the recording's senders are not. `sends`: what ours sends
 * instead, by step from 0.
 */
const DEVIATIONS: Readonly<
  Record<
    string,
    {
      why: string
      registers?: readonly [number, string][]
      sends?: Readonly<Record<number, readonly Sent[]>>
    }
  >
> = {
  'relay, sender not registered, sender id not checked': {
    why: 'a frame is relayed only from where its sender is registered (spec/02 §9)',
    sends: { 1: [] },
  },
  "discover in another node's name": {
    why: 'as above; the relaying node has to be registered',
    registers: [[2, '198.51.100.9:40002']],
  },
  'gossip: receiving, then relaying through the peer beacon': {
    why: 'as above',
    registers: [[1, '203.0.113.7:40001']],
  },
  "gossip: own nodes win over a peer's claim": {
    why: 'as above',
    registers: [[5, '198.51.100.9:40002']],
  },
  'gossip: malformed and from anyone': {
    why: 'as above, and only configured peers are believed, so nobody claims node 0x14',
    registers: [[1, '203.0.113.7:40001']],
    sends: { 6: [] },
  },
  "gossip: empty list clears the peer's nodes": {
    why: 'as above',
    registers: [[1, '203.0.113.7:40001']],
  },
  'relay, frame of 2000 bytes (larger than the pooled buffers)': {
    why: 'as above',
    registers: [[1, '203.0.113.7:40001']],
  },
  'other message types': {
    why: 'ours knows the later DiscoverEx, type 8',
    sends: { 4: [{ to: '203.0.113.7:40001', hex: '0204cb0071079c41' }] },
  },
}

/** Id 0 is nobody's: ours answers it, but does not enter it. DiscoverEx registers. */
const NODE_COUNTS: Readonly<Record<string, number>> = {
  'discover, IPv4': 4,
  'other message types': 1,
}

describe("the reference's recordings", () => {
  const cases = vectors('beacon', 'server')

  it('are all there', () => {
    expect(cases.length).toBeGreaterThan(20)
    for (const name of Object.keys(DEVIATIONS)) expect(cases.map((one) => one.name)).toContain(name)
  })

  it.each(cases.map((one) => [one.name as string, one] as const))('%s', (name, vector) => {
    const deviation = DEVIATIONS[name]
    const peers: string[] = vector.peers ?? (name.startsWith('gossip') ? [PEER] : [])
    const bench = new Bench({ beaconId: vector.beacon_id, peers: peers.map(endpoint) })
    for (const [nodeId, from] of deviation?.registers ?? []) bench.discover(nodeId, endpoint(from))
    vector.steps.forEach((step: VectorCase, i: number) => {
      // A node may move once per 30 s; the recordings do not wait.
      bench.at += 31_000
      const sent =
        step.action === undefined
          ? bench.send(endpoint(step.from), hex(step.hex))
          : bench.pass(GOSSIP_INTERVAL_MS)
      const expected = deviation?.sends?.[i] ?? step.sent
      expect(sent, `step ${i} ${step.note ?? ''}`).toEqual(expected)
    })
    expect(bench.beacon.nodeCount).toBe(
      NODE_COUNTS[name] ?? vector.local_nodes + (deviation?.registers?.length ?? 0),
    )
  })
})

describe('registration', () => {
  it('lasts 10 minutes after the last discover or punch request', () => {
    const bench = new Bench()
    bench.discover(1, A)
    bench.discover(2, B)
    bench.pass(540_000)
    bench.punch(1, 2, A)
    bench.pass(60_000)
    expect(bench.relay(1, 2, A)).toEqual([])
    bench.discover(2, B)
    expect(bench.relay(2, 1, B)).toHaveLength(1)
    expect(bench.beacon.nodeCount).toBe(2)
  })

  it('moves to another endpoint once per 30 s; the discover is answered all the same', () => {
    const bench = new Bench()
    bench.discover(1, A)
    bench.discover(2, B)
    bench.at = 29_999
    expect(bench.discover(1, EVIL)).toHaveLength(1)
    expect(bench.relay(2, 1, B)[0]!.to).toBe(formatEndpoint(A))
    bench.at = 30_000
    bench.discover(1, EVIL)
    expect(bench.relay(2, 1, B)[0]!.to).toBe(formatEndpoint(EVIL))
  })

  it('at the IP the registry names is not taken over while it speaks', () => {
    const bench = new Bench({
      registeredAt: (id) => (id === 1 ? { ip: A.address, endpoint: '' } : undefined),
    })
    const to = (): string => bench.relay(2, 1, B)[0]!.to
    bench.discover(2, B)
    bench.discover(1, EVIL)
    expect(to()).toBe(formatEndpoint(EVIL))
    bench.discover(1, A) // at once, since the registry confirms it
    expect(to()).toBe(formatEndpoint(A))
    for (let i = 0; i < 5; i++) {
      bench.at += 30_000
      bench.discover(1, A)
      bench.at += 25_000
      bench.discover(1, EVIL)
    }
    expect(to()).toBe(formatEndpoint(A))
    bench.at += 60_000
    bench.discover(1, EVIL)
    expect(to()).toBe(formatEndpoint(EVIL))
  })

  it("stops at the table's cap, and at that of one source", () => {
    const bench = new Bench({ limits: { nodesMax: 3, nodesPerSourceMax: 2 } })
    for (const id of [1, 2, 3]) expect(bench.discover(id, A)).toHaveLength(1)
    expect(bench.beacon.nodeCount).toBe(2)
    bench.discover(4, B)
    bench.discover(5, B)
    expect(bench.beacon.nodeCount).toBe(3)
    bench.pass(660_000)
    bench.discover(6, A)
    expect(bench.beacon.nodeCount).toBe(1)
  })

  it('takes a discover with a key, and one of the extended kind', () => {
    const bench = new Bench()
    const publicKey = new Uint8Array(32)
    expect(
      bench.send(A, encodeBeaconMessage({ type: 'discover', nodeId: 1, publicKey })),
    ).toHaveLength(1)
    bench.discover(2, B, true)
    expect(bench.relay(1, 2, A)).toEqual([
      { to: formatEndpoint(B), hex: '09000000010000000250494c50' },
    ])
    expect(bench.relay(2, 1, B)).toEqual([{ to: formatEndpoint(A), hex: '060000000250494c50' }])
  })
})

describe('rates', () => {
  it('limit discovers and punch requests per source', () => {
    const bench = new Bench({
      limits: { discoverBurst: 2, discoversPerSecond: 1, punchBurst: 2, punchesPerSecond: 1 },
    })
    const answers = [1, 1, 1].map(() => bench.discover(1, A).length)
    expect(answers).toEqual([1, 1, 0])
    bench.discover(2, B)
    expect([1, 1, 1].map(() => bench.punch(1, 2, A).length)).toEqual([2, 2, 0])
    bench.at = 1000
    expect(bench.discover(1, A)).toHaveLength(1)
    expect(bench.punch(1, 2, A)).toHaveLength(2)
    expect(bench.beacon.counters.drops.rateLimited).toBe(2)
  })

  it('limit relayed frames per node', () => {
    const bench = new Bench({ limits: { relaysPerSecond: 10 } })
    bench.discover(1, A)
    bench.discover(2, B)
    let passed = 0
    for (let i = 0; i < 100; i++) passed += bench.relay(1, 2, A).length
    expect(passed).toBe(10)
    expect(bench.relay(2, 1, B)).toHaveLength(1)
    bench.at = 500
    for (let i = 0; i < 100; i++) passed += bench.relay(1, 2, A).length
    expect(passed).toBe(15)
  })
})

describe('relaying', () => {
  it('keeps the order of everything, and drops the newest of more than 4096 that wait', () => {
    const bench = new Bench()
    bench.discover(1, A)
    bench.discover(2, B)
    for (let i = 0; i < 5000; i++) {
      const frame = new Uint8Array([i >> 8, i & 255])
      bench.beacon.handleDatagram(
        encodeBeaconMessage({ type: 'relay', senderId: 1, destinationId: 2, frame }),
        A,
        0,
      )
    }
    const frames = drain(bench.beacon).map((one) => Number.parseInt(one.hex.slice(10), 16))
    expect(frames).toEqual(Array.from({ length: 4096 }, (_, i) => i))
    expect(bench.beacon.counters.drops.queueFull).toBe(904)
  })

  it('delivers every frame unchanged, of any size', () => {
    const bench = new Bench()
    bench.discover(0xfffffffe, A)
    bench.discover(2, B)
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 2000 }), (frame) => {
        expect(bench.relay(0xfffffffe, 2, A, frame)).toEqual([
          { to: formatEndpoint(B), hex: `06fffffffe${toHex(frame)}` },
        ])
        bench.at++
      }),
    )
  })

  it('from a peer beacon reaches own nodes only, never a third beacon', () => {
    const third = endpoint('192.0.2.51:9001')
    const bench = new Bench({ beaconId: 1, peers: [endpoint(PEER), third] })
    bench.discover(1, A)
    bench.send(third, encodeBeaconMessage({ type: 'sync', beaconId: 3, nodeIds: [20] }))
    expect(bench.relay(10, 1, endpoint(PEER))).toHaveLength(1)
    expect(bench.relay(10, 20, endpoint(PEER))).toEqual([])
    expect(bench.relay(1, 20, A)).toHaveLength(1)
  })
})

describe('gossip', () => {
  it('of a silent peer is believed for 90 s', () => {
    const bench = new Bench({ beaconId: 1, peers: [endpoint(PEER)] })
    bench.discover(1, A)
    bench.send(endpoint(PEER), encodeBeaconMessage({ type: 'sync', beaconId: 2, nodeIds: [10] }))
    bench.pass(80_000)
    bench.discover(1, A)
    expect(bench.relay(1, 10, A)).toHaveLength(1)
    bench.pass(10_000)
    expect(bench.relay(1, 10, A)).toEqual([])
  })

  it('names at most as many nodes as one datagram holds', () => {
    const bench = new Bench({
      peers: [endpoint(PEER)],
      limits: { nodesPerSourceMax: 1e6, discoverBurst: 1e6 },
    })
    for (let id = 1; id <= 16_376; id++) bench.discover(id, A)
    const [sync] = bench.pass(GOSSIP_INTERVAL_MS)
    expect(sync!.hex.length / 2).toBe(65_507)
    expect(sync!.hex.slice(0, 22)).toBe('07000000003ff700000002')
  })

  it('is not sent without peers', () => {
    expect(new Bench().pass(GOSSIP_INTERVAL_MS)).toEqual([])
  })
})

it('never throws, and answers with little more than it was sent', () => {
  const bench = new Bench({ peers: [EVIL] })
  bench.discover(1, A)
  bench.discover(2, B)
  const datagram = fc.oneof(
    fc.uint8Array({ maxLength: 80 }),
    fc
      .tuple(fc.integer({ min: 0, max: 10 }), fc.array(fc.integer({ min: 0, max: 3 })))
      .map(([type, ids]) => Uint8Array.of(type, ...ids.flatMap((id) => [0, 0, 0, id]))),
  )
  fc.assert(
    fc.property(datagram, fc.constantFrom(A, B, EVIL), (bytes, from) => {
      const received = bytes.length
      const sent = bench.send(from, bytes)
      const bytesSent = sent.reduce((sum, one) => sum + one.hex.length / 2, 0)
      expect(bytesSent).toBeLessThanOrEqual(received + 2 * 20)
      bench.at += 10
    }),
    { numRuns: 2000 },
  )
})
