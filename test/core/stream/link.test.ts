/** Two connections over a link that loses, reorders and duplicates: what arrives is what was sent. */
import fc from 'fast-check'
import { expect, it } from 'vitest'
import { Connection } from '../../../core/stream/connection.ts'
import type { ConnectionTuning } from '../../../core/stream/tuning.ts'
import { decodePacket } from '../../../core/wire/packet.ts'
import { A, B, bytes, events } from './pair.ts'

interface LinkOptions {
  readonly seed: number
  readonly loss: number
  readonly duplicate: number
  readonly latencyMs: number
  readonly jitterMs: number
  readonly size: number
  readonly tuning: Partial<ConnectionTuning>
  /** Bytes the receiver reads per 50 ms; everything at once when undefined. */
  readonly readRate?: number
  readonly isn?: number
  readonly until?: number
}

interface Outcome {
  readonly received: Uint8Array
  readonly dialer: Connection
  readonly acceptor: Connection
  readonly at: number
  readonly log: readonly string[]
}

/** xorshift32 */
function random(seed: number): () => number {
  let state = (seed ^ 0x9e3779b9) >>> 0 || 1
  return () => {
    state ^= state << 13
    state ^= state >>> 17
    state = (state ^ (state << 5)) >>> 0
    return state / 2 ** 32
  }
}

function transfer(options: LinkOptions): Outcome {
  const next = random(options.seed)
  const { tuning, isn = 1000 } = options
  const dialer = Connection.dial({ id: 1, local: A, remote: B, isn, now: 0, tuning })
  let acceptor: Connection | undefined
  const wire: { at: number; order: number; to: 'a' | 'b'; packet: Uint8Array }[] = []
  const log: string[] = []
  let order = 0
  let now = 0
  let written = 0
  const data = bytes(options.size)
  const chunks: Uint8Array[] = []
  let received = 0
  let nextReadAt = 0
  let ended = false

  const send = (from: Connection, to: 'a' | 'b'): void => {
    for (;;) {
      const out = new Uint8Array(2048)
      const length = from.pollTransmit(out, 0, now)
      if (length === 0) return
      const copies = next() < options.duplicate ? 2 : 1
      for (let i = 0; i < copies; i++) {
        if (next() < options.loss) continue
        const at = now + options.latencyMs + Math.floor(next() * options.jitterMs)
        wire.push({ at, order: order++, to, packet: out.slice(0, length) })
      }
    }
  }
  const settle = (): void => {
    written += dialer.write(data.subarray(written), now)
    if (written === data.length && dialer.state === 'ESTABLISHED') dialer.close(now)
    if (acceptor !== undefined && now >= nextReadAt) {
      let budget = options.readRate ?? Number.POSITIVE_INFINITY
      if (options.readRate !== undefined) nextReadAt = now + 50
      while (budget > 0) {
        const part = acceptor.read(now)
        if (part === undefined) break
        budget -= part.length
        received += part.length
        chunks.push(part)
      }
      if (acceptor.ended && !ended) {
        ended = true
        acceptor.close(now)
      }
    }
    send(dialer, 'b')
    if (acceptor !== undefined) send(acceptor, 'a')
  }

  settle()
  const until = options.until ?? 600_000
  for (;;) {
    wire.sort((x, y) => x.at - y.at || x.order - y.order)
    const due = Math.min(
      wire[0]?.at ?? Number.POSITIVE_INFINITY,
      dialer.pollTimeout() ?? Number.POSITIVE_INFINITY,
      acceptor?.pollTimeout() ?? Number.POSITIVE_INFINITY,
      acceptor !== undefined && acceptor.readableBytes > 0 ? nextReadAt : Number.POSITIVE_INFINITY,
    )
    if (due === Number.POSITIVE_INFINITY || due > until) break
    now = Math.max(now, due)
    if (wire[0] !== undefined && wire[0].at <= now) {
      const { to, packet } = wire.shift()!
      const p = decodePacket(packet)
      if (to === 'a') dialer.handleSegment(p.flags, p.seq, p.ack, p.window, p.payload, now)
      else if (acceptor === undefined || (acceptor.state === 'CLOSED' && received === 0)) {
        if (p.flags === 1)
          acceptor = Connection.accept(
            { id: 2, local: B, remote: A, isn: 7000, now, tuning },
            p.seq,
            p.window,
          )
      } else acceptor.handleSegment(p.flags, p.seq, p.ack, p.window, p.payload, now)
    } else {
      dialer.handleTimeout(now)
      acceptor?.handleTimeout(now)
    }
    settle()
    const info = dialer.info()
    if (info.inFlight > Math.max(info.peerWindowBytes, 64) && info.unackedSegments > 1)
      log.push(`${now}: ${info.inFlight} in flight, window ${info.peerWindowBytes}`)
  }
  return {
    received: Uint8Array.from(Buffer.concat(chunks)),
    dialer,
    acceptor: acceptor ?? dialer,
    at: now,
    log,
  }
}

const clean = {
  seed: 1,
  loss: 0,
  duplicate: 0,
  latencyMs: 20,
  jitterMs: 0,
  size: 1_000_000,
  tuning: {},
}

it('delivers everything over a clean link and closes on both sides without a failure', () => {
  const { received, dialer, acceptor } = transfer(clean)
  expect(received).toEqual(bytes(clean.size))
  expect(dialer.stats.retransmits).toBe(0)
  expect([dialer.state, acceptor.state]).toEqual(['CLOSED', 'CLOSED'])
  expect([dialer.failure, acceptor.failure]).toEqual([undefined, undefined])
  expect(events(dialer).at(-1)).toBe('closed')
})

it('delivers exactly what was sent, whatever a link with up to 20 % loss does', () => {
  fc.assert(
    fc.property(
      fc.record({
        seed: fc.integer(),
        loss: fc.double({ min: 0, max: 0.2, noNaN: true }),
        duplicate: fc.double({ min: 0, max: 0.3, noNaN: true }),
        latencyMs: fc.integer({ min: 0, max: 150 }),
        jitterMs: fc.integer({ min: 0, max: 100 }),
        size: fc.integer({ min: 0, max: 60_000 }),
        isn: fc.constantFrom(0, 1000, 0x7fffffff, 0xffffff00),
        tuning: fc.constantFrom<Partial<ConnectionTuning>>(
          {},
          { segmentBytes: 100 },
          { receiveBufferBytes: 8192, receiveReserveBytes: 4096 },
          { nagle: true },
        ),
      }),
      (options) => {
        // More patience than the default: even a fair link loses ten copies of one segment at times.
        const tuning = { ...options.tuning, transmissionsMax: 40, dialTimeoutMs: 200_000 }
        const { received, dialer, log } = transfer({ ...options, tuning, until: 3_600_000 })
        expect(received.length).toBe(options.size)
        expect(Buffer.compare(received, bytes(options.size))).toBe(0)
        expect(dialer.state).toBe('CLOSED')
        expect(log).toEqual([])
      },
    ),
    { numRuns: 60 },
  )
})

it('delivers a prefix when the link is so bad that the connection is lost', () => {
  fc.assert(
    fc.property(fc.integer(), fc.double({ min: 0.4, max: 0.9, noNaN: true }), (seed, loss) => {
      const { received, dialer } = transfer({ ...clean, seed, loss, size: 20_000 })
      expect(Buffer.compare(received, bytes(20_000).subarray(0, received.length))).toBe(0)
      if (received.length < 20_000) expect(dialer.failure ?? 'open').not.toBe(undefined)
      expect(dialer.pollTimeout() === undefined).toBe(dialer.state === 'CLOSED')
    }),
    { numRuns: 25 },
  )
})

it('waits as long as it takes for a reader that is slow', () => {
  const { received, dialer, log } = transfer({
    ...clean,
    size: 300_000,
    readRate: 1000,
    tuning: { receiveBufferBytes: 65536, receiveReserveBytes: 16384, sendBufferBytes: 65536 },
  })
  expect(received).toEqual(bytes(300_000))
  expect(dialer.failure).toBeUndefined()
  expect(log).toEqual([])
})
