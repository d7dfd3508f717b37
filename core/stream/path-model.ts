/** What acknowledgements tell of a path: what it delivers at best, in which lumps, and whether a queue stands in it. */
import type { Instant } from '../machine.ts'
import type { AckSample } from './congestion.ts'
import { WindowedMax } from './windowed-max.ts'

/** The best delivery rate is that of the last so many rounds. */
const ROUNDS = 10
/** Peers delay ACKs by up to about this much, which counts as if the path were longer (spec/10 §1). */
const ACK_DELAY_MS = 5
/** Growth of the round trip that means a queue: relative, and of a quarter, but for what timers make of it. */
const QUEUE_GAIN = 1.06
const QUEUE_SLACK_LEAST_MS = 0.5
const QUEUE_SLACK_MAX_MS = 4
const RECENT = 16
/** A queue is one above this share of the longest of the last so many ms. */
const PEAK_SHARE = 0.5
const PEAK_MS = 10_000

export class PathModel {
  #round = 0
  readonly #rates = new WindowedMax(ROUNDS)
  /** Bytes acknowledged beyond what the rate explains: ACKs come in lumps. */
  readonly #lumps = new WindowedMax(ROUNDS)
  #lumpSince: Instant = 0
  #lumpBytes = 0
  readonly #recent = new RecentLeast(RECENT)
  /** The slowest of what `#recent` was lately. */
  readonly #peaks = new WindowedMax(PEAK_MS)
  #minRttMs = 0

  get round(): number {
    return this.#round
  }
  /** Bytes per ms, 0 while unknown. */
  get rate(): number {
    return this.#rates.value
  }
  get lumpBytes(): number {
    return this.#lumps.value
  }
  /** All of the latest segments were late. */
  get isQueued(): boolean {
    const slackMs = Math.min(QUEUE_SLACK_MAX_MS, Math.max(QUEUE_SLACK_LEAST_MS, this.#minRttMs / 4))
    if (!this.isSlowerThan(QUEUE_GAIN, slackMs)) return false
    // Queues that overflow are at their longest then; what varies for other reasons is as often shorter.
    const queueMs = this.#recent.value - this.#minRttMs
    return queueMs >= PEAK_SHARE * (this.#peaks.value - this.#minRttMs)
  }

  isSlowerThan(gain: number, slackMs: number): boolean {
    return this.#recent.isFull && this.#recent.value > this.#minRttMs * gain + slackMs
  }

  handleAck(sample: AckSample, cwnd: number): void {
    const { rate, isAppLimited, now, deliveredBytes, rttMs } = sample
    if (sample.isRoundStart) this.#round++
    if (rate > 0 && (!isAppLimited || rate > this.rate)) this.#rates.update(this.#round, rate)
    this.#minRttMs = sample.minRttMs
    if (rttMs >= 0) {
      this.#recent.add(rttMs)
      if (this.#recent.isFull) this.#peaks.update(now, this.#recent.value)
    }
    let expected = this.rate * (now - this.#lumpSince)
    if (this.#lumpBytes <= expected) {
      this.#lumpSince = now
      this.#lumpBytes = expected = 0
    }
    this.#lumpBytes += deliveredBytes
    this.#lumps.update(this.#round, Math.min(this.#lumpBytes - expected, cwnd))
  }

  /** Bytes that fill a path of this round trip `gain` times, beside what waits for acknowledgement there. */
  product(gain: number, rttMs: number): number {
    return gain * this.rate * Math.max(rttMs, ACK_DELAY_MS)
  }

  reset(): void {
    this.#rates.reset(this.#round, 0)
    this.#lumps.reset(this.#round, 0)
    this.#lumpBytes = 0
    this.#recent.reset()
    this.#peaks.reset(0, 0)
  }
}

/** The least of the latest samples, once there are enough. */
export class RecentLeast {
  readonly #samples: number[] = []
  readonly #length: number
  #count = 0

  constructor(length: number) {
    this.#length = length
  }

  get isFull(): boolean {
    return this.#count >= this.#length
  }
  get value(): number {
    if (!this.isFull) return 0
    let least = Number.POSITIVE_INFINITY
    for (const one of this.#samples) if (one < least) least = one
    return least
  }

  add(value: number): void {
    this.#samples[this.#count++ % this.#length] = value
  }

  reset(): void {
    this.#count = 0
  }
}
