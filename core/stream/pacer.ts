/**
 * Spreads what leaves over time: a token bucket whose tokens are held as the time until which the rate is used up,
 * refilled in steps that a timer of 1 ms can keep. Beside it stands a count of segments per interval, for receivers'
 * socket buffers hold some 25 to 90 datagrams (spec/03 §8.2).
 */
import type { Instant } from '../machine.ts'

/** Time not used is made up for to this extent at least: runtimes' timers are late by about as much. */
const CREDIT_MS = 4
/** What has waited leaves in batches of so much time. */
const QUANTUM_MS = 1

export class Pacer {
  readonly #intervalMs: number
  #since: Instant = Number.NEGATIVE_INFINITY
  #used = 0
  #usedUpTo: Instant = Number.NEGATIVE_INFINITY
  #nextAt: Instant = 0

  constructor(intervalMs: number) {
    this.#intervalMs = intervalMs
  }

  /** True when one more segment may leave now, of `limit` per interval; else `nextAt` tells when, later than `now`. */
  allows(limit: number, now: Instant): boolean {
    if (now >= this.#since + this.#intervalMs) {
      this.#since = now
      this.#used = 0
    }
    if (this.#usedUpTo > now) {
      this.#nextAt = this.#usedUpTo + QUANTUM_MS
      return false
    }
    if (this.#used < limit) return true
    this.#nextAt = this.#since + this.#intervalMs
    return false
  }

  /**
   * A segment left while `rate` bytes per ms were allowed; Infinity for any. What has been idle may begin with a burst
   * of `burstBytes` (compare RFC 9002 §7.7).
   */
  count(bytes: number, rate: number, burstBytes: number, now: Instant): void {
    this.#used++
    if (rate === Number.POSITIVE_INFINITY) this.#usedUpTo = Number.NEGATIVE_INFINITY
    else {
      const creditMs = Math.max(CREDIT_MS, burstBytes / rate)
      this.#usedUpTo = Math.max(this.#usedUpTo, now - creditMs) + bytes / rate
    }
  }

  get nextAt(): Instant {
    return this.#nextAt
  }

  /** The rate is another from now on, and what was used of the old one does not count. */
  reset(): void {
    this.#usedUpTo = Number.NEGATIVE_INFINITY
  }
}
