/** Which share of what was sent is lost, judged over at least a round and a number of segments. */
import type { AckSample } from './congestion.ts'

/** Of fewer segments a chance loss would be a large share. */
const JUDGED_SEGMENTS = 50

export class LossShare {
  /** Smoothed. */
  share = 0
  #lost = 0
  #delivered = 0

  /** Returns true when a judgement is new. */
  handleAck({ lostBytes, deliveredBytes, isRoundStart }: AckSample, segmentBytes: number): boolean {
    this.#lost += lostBytes
    this.#delivered += deliveredBytes
    const all = this.#lost + this.#delivered
    if (!isRoundStart || all < JUDGED_SEGMENTS * segmentBytes) return false
    this.share += (this.#lost / all - this.share) / 2
    this.#lost = this.#delivered = 0
    return true
  }

  reset(): void {
    this.share = this.#lost = this.#delivered = 0
  }
}
