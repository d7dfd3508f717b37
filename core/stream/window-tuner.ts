/**
 * How large a receive buffer has to be: twice what the application reads in a round trip, so that the window never holds
 * back a sender whose own window still grows (compare Linux's dynamic right-sizing).
 */
import type { Instant } from '../machine.ts'

const HEADROOM = 2
/** Shorter round trips are measured over this time: reads come in batches. */
const INTERVAL_LEAST_MS = 10

export class WindowTuner {
  readonly #maxBytes: number
  #bytes: number
  #since: Instant = 0
  #read = 0

  constructor(leastBytes: number, maxBytes: number) {
    this.#bytes = leastBytes
    this.#maxBytes = maxBytes
  }

  get bytes(): number {
    return this.#bytes
  }

  /** So many bytes were read of a path with this round trip; 0 for an unknown one. True when `bytes` grew. */
  handleRead(bytes: number, rttMs: number, now: Instant): boolean {
    this.#read += bytes
    if (rttMs === 0 || this.#bytes >= this.#maxBytes) return false
    const elapsed = now - this.#since
    if (elapsed < Math.max(rttMs, INTERVAL_LEAST_MS)) return false
    // After a pause the first interval says nothing.
    const perRound = (this.#read * rttMs) / elapsed
    this.#since = now
    this.#read = 0
    const wanted = Math.min(this.#maxBytes, HEADROOM * perRound)
    if (wanted <= this.#bytes) return false
    this.#bytes = wanted
    return true
  }
}
