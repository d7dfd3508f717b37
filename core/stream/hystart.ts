/**
 * HyStart++ (RFC 9406): slow start ends when round trips grow, before the queue overflows. It first slows down for
 * some rounds, and goes on as before if they shrink again. Deviation: round trips of now are those of the latest eight
 * samples, not of the round so far: paced windows fill a queue in the middle of a round.
 */
import { RecentLeast } from './path-model.ts'

const RTT_SAMPLES = 8
const THRESHOLD_MIN_MS = 4
const THRESHOLD_MAX_MS = 16
const CONSERVATIVE_ROUNDS = 5

/** Growth of the window in slow start is divided by this in the conservative phase (§4.2). */
const CONSERVATIVE_DIVISOR = 4

export class HyStart {
  #lastMs = Number.POSITIVE_INFINITY
  #currentMs = Number.POSITIVE_INFINITY
  readonly #recent = new RecentLeast(RTT_SAMPLES)
  /** Least round trip when the conservative phase began, and rounds it has lasted; 0 outside of it. */
  #baselineMs = Number.POSITIVE_INFINITY
  #rounds = 0

  get divisor(): number {
    return this.#rounds > 0 ? CONSERVATIVE_DIVISOR : 1
  }

  /** True when slow start is over. `rttMs` is -1 without a sample. */
  handleAck(rttMs: number, isRoundStart: boolean): boolean {
    if (isRoundStart) {
      this.#lastMs = this.#currentMs
      this.#currentMs = Number.POSITIVE_INFINITY
      if (this.#rounds > 0 && ++this.#rounds > CONSERVATIVE_ROUNDS) return true
    }
    if (rttMs < 0) return false
    this.#currentMs = Math.min(this.#currentMs, rttMs)
    this.#recent.add(rttMs)
    if (!this.#recent.isFull) return false
    const nowMs = this.#recent.value
    if (this.#rounds > 0) {
      if (nowMs < this.#baselineMs) this.#rounds = 0
      return false
    }
    if (this.#lastMs === Number.POSITIVE_INFINITY) return false
    const threshold = Math.min(THRESHOLD_MAX_MS, Math.max(THRESHOLD_MIN_MS, this.#lastMs / 8))
    if (nowMs < this.#lastMs + threshold) return false
    this.#baselineMs = nowMs
    this.#rounds = 1
    return false
  }

  reset(): void {
    this.#lastMs = this.#currentMs = this.#baselineMs = Number.POSITIVE_INFINITY
    this.#recent.reset()
    this.#rounds = 0
  }
}
