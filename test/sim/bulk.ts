/** Bulk streams over one bottleneck, in virtual time. */
import { type CongestionName, controllerOf } from '../../core/stream/controllers.ts'
import { FlowHost } from './flow-host.ts'
import type { Link } from './link.ts'
import { World } from './world.ts'

const A = { address: '10.0.0.1', port: 4000 }
const B = { address: '10.0.0.2', port: 4000 }
const FIRST_PORT = 49152

export interface BulkOptions {
  /** One stream each. */
  readonly flows: readonly CongestionName[]
  readonly rttMs: number
  readonly megabits: number
  readonly loss?: number
  /** Queue of the bottleneck. Default 256 KiB. */
  readonly bufferBytes?: number
  /** Of each stream. Default: without end. */
  readonly bytes?: number
  /** When to stop, at the latest; when to begin to count; time between the starts of two streams. */
  readonly untilMs: number
  readonly fromMs?: number
  readonly apartMs?: number
}

export interface BulkResult {
  readonly megabits: number
  /** Of the bytes that arrived meanwhile: 1 when all streams got the same (RFC 5166 §2.3). */
  readonly jain: number
  readonly received: readonly number[]
  /** Share of segments sent again, in percent. */
  readonly resentPercent: number
  /** Mean over the streams. */
  readonly srttMs: number
  readonly bottleneck: Link
}

export function bulk(options: BulkOptions): BulkResult {
  const { flows, rttMs, megabits, loss = 0, bytes = Number.MAX_SAFE_INTEGER } = options
  const { bufferBytes = 262_144, untilMs, fromMs = 0, apartMs = 0 } = options
  const world = new World({ seed: 1, transcriptLines: 10 })
  const random = (label: string) => world.random(label)
  const from = { node: 1, endpoint: A, peer: { node: 2, endpoint: B }, random: random('a') }
  const to = { node: 2, endpoint: B, peer: { node: 1, endpoint: A }, random: random('b') }
  const a = new FlowHost(from)
  const b = new FlowHost(to)
  world.add(a)
  const latencyMs = rttMs / 2
  const down = { latencyMs, loss, rateBytesPerMs: megabits * 125, bufferBytes }
  const site = world.add(b, { down, up: { latencyMs, loss } })
  flows.forEach((name, i) => {
    world.at(i * apartMs, () => {
      a.dial(FIRST_PORT + i, bytes, { congestion: controllerOf(name) }, world.now)
      world.touch(a)
    })
  })
  const received = (): number[] => flows.map((_, i) => b.flows.get(FIRST_PORT + i)?.received ?? 0)
  const total = (): number => received().reduce((sum, one) => sum + one, 0)
  world.runUntil(fromMs)
  const before = received()
  world.runUntilTrue(() => total() >= bytes * flows.length, untilMs)
  const got = received().map((one, i) => one - before[i]!)
  const sum = got.reduce((all, one) => all + one, 0)
  const squares = got.reduce((all, one) => all + one * one, 0)
  const senders = [...a.flows.values()].map(({ connection }) => connection)
  const count = (of: 'segmentsSent' | 'retransmits'): number =>
    senders.reduce((all, { stats }) => all + stats[of], 0)
  return {
    megabits: (sum * 8) / 1000 / (world.now - fromMs),
    jain: sum ** 2 / (got.length * squares),
    received: got,
    resentPercent: (100 * count('retransmits')) / count('segmentsSent'),
    srttMs: senders.reduce((all, one) => all + one.info().srttMs, 0) / senders.length,
    bottleneck: site.down,
  }
}
