/**
 * Which share of what was sent is lost, judged over at least a round and a number of segments; and how much of it is the
 * path's own: what is lost while no queue stands.
 */
import type { AckSample } from './congestion.ts'

/** Of fewer segments a chance loss would be a large share. */
const JUDGED_SEGMENTS = 50
const LEARNING = 1 / 4
/** Losses that come by chance vary: so many times the path's own are still its own. */
const OWN_GAIN = 1.5

export class LossShare {
  #share = 0
  #own = 0
  #lost = 0
  #delivered = 0
  #wasQueued = false
  #judgedBytes = 0

  /** Smoothed. */
  get share(): number {
    return this.#share
  }
  /** More is lost than the path loses by itself: where it loses nothing, anything. */
  get isBeyondOwn(): boolean {
    const all = this.#lost + this.#delivered
    const isTold = all > 0 && (this.#own === 0 || all >= this.#judgedBytes)
    return Math.max(this.#share, isTold ? this.#lost / all : 0) > this.#own * OWN_GAIN
  }

  handleAck(sample: AckSample, segmentBytes: number, isQueued: boolean): void {
    this.#lost += sample.lostBytes
    this.#delivered += sample.deliveredBytes
    if (isQueued) this.#wasQueued = true
    this.#judgedBytes = JUDGED_SEGMENTS * segmentBytes
    const all = this.#lost + this.#delivered
    if (!sample.isRoundStart || all < this.#judgedBytes) return
    const share = this.#lost / all
    this.#share += (share - this.#share) / 2
    if (!this.#wasQueued) this.#own += (share - this.#own) * LEARNING
    // What is left of losses long past is nothing.
    if (this.#own < 1e-4) this.#own = 0
    if (this.#share < 1e-4) this.#share = 0
    this.#lost = this.#delivered = 0
    this.#wasQueued = isQueued
  }

  reset(): void {
    this.#share = this.#own = this.#lost = this.#delivered = 0
    this.#wasQueued = false
  }
}
