/**
 * Sliding window over received 64-bit counters (spec/01 §10, RFC 6479 ring). Ask `accepts` before
 * opening, call `mark` only for what authenticated.
 */
import { REPLAY_WINDOW } from '../constants.ts'

const WORDS = REPLAY_WINDOW / 32

export class ReplayWindow {
  readonly #bits: Uint32Array = new Uint32Array(WORDS)
  #high = 0 // of the highest counter marked
  #low = 0
  #isEmpty = true

  /** Counter as two uint32 halves: a double would lose bits beyond 2^53. */
  accepts(high: number, low: number): boolean {
    if (this.#isEmpty) return true
    const ahead = this.#ahead(high, low)
    if (ahead > 0) return true
    if (-ahead >= REPLAY_WINDOW) return false
    return (this.#bits[(low >>> 5) % WORDS]! & (1 << (low & 31))) === 0
  }

  /** Only for a counter that `accepts` said yes to and whose frame authenticated. */
  mark(high: number, low: number): void {
    const ahead = this.#isEmpty ? REPLAY_WINDOW : this.#ahead(high, low)
    if (ahead > 0) {
      if (ahead >= REPLAY_WINDOW) this.#bits.fill(0)
      else
        for (let i = 1; i <= ahead; i++) {
          const bit = (this.#low + i) >>> 0
          this.#bits[(bit >>> 5) % WORDS]! &= ~(1 << (bit & 31))
        }
      this.#isEmpty = false
      this.#high = high
      this.#low = low
    }
    this.#bits[(low >>> 5) % WORDS]! |= 1 << (low & 31)
  }

  // Exact where it matters: a difference too large for a double is far outside the window anyway.
  #ahead(high: number, low: number): number {
    return (high - this.#high) * 0x1_0000_0000 + (low - this.#low)
  }
}
