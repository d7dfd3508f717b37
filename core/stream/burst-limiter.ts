/**
 * Keeps a window that opens at once from leaving at once: receivers' socket buffers hold some 25 to 90
 * datagrams (spec/03 §8.2). Coarser than pacing, and in its place.
 */
import type { Instant } from '../machine.ts'

export class BurstLimiter {
  readonly #intervalMs: number
  #since: Instant = Number.NEGATIVE_INFINITY
  #used = 0

  constructor(intervalMs: number) {
    this.#intervalMs = intervalMs
  }

  /** True when one more segment may leave now, of `limit` per interval. */
  allows(limit: number, now: Instant): boolean {
    if (now >= this.nextAt) {
      this.#since = now
      this.#used = 0
    }
    return this.#used < limit
  }

  /** One segment left. */
  count(): void {
    this.#used++
  }

  /** When the next interval begins: later than the `now` that `allows` refused. */
  get nextAt(): Instant {
    return this.#since + this.#intervalMs
  }
}
