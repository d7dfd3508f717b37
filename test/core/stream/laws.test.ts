/** What holds for every connection, whatever arrives and whatever is asked of it. */
import fc from 'fast-check'
import { expect, it } from 'vitest'
import { Connection } from '../../../core/stream/connection.ts'
import { bytes, drain, events, options } from './pair.ts'

type Operation =
  | {
      readonly kind: 'segment'
      readonly flags: number
      readonly seq: number
      readonly ack: number
      readonly window: number
      readonly length: number
    }
  | { readonly kind: 'write'; readonly length: number }
  | { readonly kind: 'wait'; readonly ms: number }
  | {
      readonly kind: 'path'
      readonly segmentBytes: number | undefined
      readonly rttMs: number | undefined
      readonly isOldAlive: boolean
    }
  | { readonly kind: 'read' | 'close' | 'reset' | 'abort' | 'timers' }

const ISN = 1000
const uint32 = fc.integer({ min: 0, max: 0xffffffff })
/** Mostly near what the connection knows, so that segments get through. */
const near = (base: number) =>
  fc.oneof(
    { weight: 6, arbitrary: fc.integer({ min: -20, max: 4000 }).map((d) => (base + d) >>> 0) },
    { weight: 1, arbitrary: uint32 },
  )
const segment = fc.record({
  kind: fc.constant('segment' as const),
  flags: fc.oneof(
    { weight: 6, arbitrary: fc.constant(2) },
    { weight: 2, arbitrary: fc.constantFrom(1, 3, 4, 6, 8) },
    { weight: 1, arbitrary: fc.integer({ min: 0, max: 15 }) },
  ),
  seq: near(1),
  ack: near(ISN + 1),
  window: fc.constantFrom(0, 1, 3, 512, 1024, 65535),
  length: fc.constantFrom(0, 0, 1, 13, 100, 1152, 5000),
})
const operation: fc.Arbitrary<Operation> = fc.oneof(
  { weight: 10, arbitrary: segment },
  {
    weight: 4,
    arbitrary: fc.record({ kind: fc.constant('write' as const), length: fc.nat(9000) }),
  },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('wait' as const), ms: fc.nat(5000) }) },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('timers' as const) }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('read' as const) }) },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constantFrom('close', 'reset', 'abort') }),
  } as fc.WeightedArbitrary<Operation>,
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant('path' as const),
      segmentBytes: fc.constantFrom(undefined, 1400, 5000, 16_000),
      rttMs: fc.constantFrom(undefined, 0, 20),
      isOldAlive: fc.boolean(),
    }),
  },
)

/** Window slots the peer last allowed at most, to check against. */
function play(isDialer: boolean, operations: readonly Operation[]): Connection {
  const tuning = { sendBufferBytes: 20_000, receiveBufferBytes: 16_384, receiveReserveBytes: 4096 }
  let now = 0
  const c = isDialer
    ? Connection.dial(options(ISN, tuning, now))
    : Connection.accept(options(ISN, tuning, now), 0, 512)
  let closed = 0
  const settle = (): void => {
    drain(c, now)
    expect(c.wantsTransmit).toBe(false)
    for (const event of events(c)) {
      expect(closed).toBe(0)
      if (event === 'closed') closed++
    }
    if (c.state === 'CLOSED') {
      expect(closed).toBe(1)
      expect(c.pollTimeout()).toBeUndefined()
      expect(c.info()).toMatchObject({ inFlight: 0, unackedSegments: 0, outOfOrderSegments: 0 })
    } else expect(c.pollTimeout()).toBeDefined()
    expect(c.readableBytes).toBeLessThanOrEqual(16_384 + 4096)
    expect(c.info().inFlight).toBeLessThanOrEqual(20_000)
  }
  settle()
  for (const one of operations) {
    switch (one.kind) {
      case 'segment':
        c.handleSegment(one.flags, one.seq, one.ack, one.window, bytes(one.length), now)
        break
      case 'write':
        expect(c.write(bytes(one.length), now)).toBeLessThanOrEqual(one.length)
        break
      case 'wait': {
        const due = c.pollTimeout() ?? Number.POSITIVE_INFINITY
        now += one.ms
        if (now >= due) {
          c.handleTimeout(now)
          break
        }
        const before = JSON.stringify([c.state, c.info(), c.stats, due])
        c.handleTimeout(now) // early: changes nothing
        expect(drain(c, now)).toEqual([])
        expect(JSON.stringify([c.state, c.info(), c.stats, c.pollTimeout()])).toBe(before)
        break
      }
      case 'timers': {
        const due = c.pollTimeout()
        if (due === undefined) break
        now = Math.max(now, due)
        c.handleTimeout(now)
        drain(c, now)
        const next = c.pollTimeout()
        if (next !== undefined) expect(next).toBeGreaterThan(now)
        break
      }
      case 'read':
        c.read(now)
        break
      case 'close':
        c.close(now)
        break
      case 'reset':
        c.reset(now)
        break
      case 'abort':
        c.abort('timeout', now)
        break
      case 'path':
        c.handlePathChange(now, one)
        break
    }
    settle()
  }
  return c
}

it('holds every law under random operations', () => {
  fc.assert(
    fc.property(
      fc.boolean(),
      fc.array(operation, { size: 'max', maxLength: 60 }),
      (isDialer, operations) => {
        play(isDialer, operations)
      },
    ),
    { numRuns: 400 },
  )
})

it('ends by itself once the application closed and the peer is silent', () => {
  fc.assert(
    fc.property(
      fc.boolean(),
      fc.array(operation, { size: 'max', maxLength: 30 }),
      (isDialer, operations) => {
        const c = play(isDialer, operations)
        let now = 1_000_000
        c.handleTimeout(now)
        drain(c, now)
        c.close(now)
        drain(c, now)
        const limit = now + 600_000
        for (let at = c.pollTimeout(); at !== undefined && now < limit; at = c.pollTimeout()) {
          now = Math.max(now, at)
          c.handleTimeout(now)
          drain(c, now)
        }
        expect(c.state).toBe('CLOSED')
      },
    ),
    { numRuns: 150 },
  )
})

it('needs room for a whole packet', () => {
  const c = Connection.dial(options())
  expect(() => c.pollTransmit(new Uint8Array(100), 0, 0)).toThrow(/1186 bytes of room, got 100/)
})
