/**
 * Which share of what was sent is lost, judged over at least a round and a number of segments; and how much of it is the
 * path's own: what is lost while no queue stands.
 */
import type { AckSample } from './congestion.ts'

/** Of fewer segments a chance loss would be a large share. */
const JUDGED_SEGMENTS = 50
/** Weights of a new judgement. */
const SMOOTHING = 1 / 2
const LEARNING = 1 / 4
/** Losses that come by chance vary: so many times the path's own are still its own. */
const OWN_GAIN = 1.5
/** What is left of losses long past is nothing. */
const LEAST = 1e-4

export class LossShare {
  #share = 0
  #own = 0
  #lost = 0
  #delivered = 0
  /** The same while no queue stood. */
  #bareLost = 0
  #bareDelivered = 0
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
    const { lostBytes, deliveredBytes, isRoundStart } = sample
    this.#judgedBytes = JUDGED_SEGMENTS * segmentBytes
    this.#lost += lostBytes
    this.#delivered += deliveredBytes
    if (!isQueued) this.#learnOwn(lostBytes, deliveredBytes)
    const all = this.#lost + this.#delivered
    if (!isRoundStart || all < this.#judgedBytes) return
    this.#share = near(this.#share, this.#lost / all, SMOOTHING)
    this.#lost = this.#delivered = 0
  }

  reset(): void {
    this.#share = this.#own = this.#lost = this.#delivered = 0
    this.#bareLost = this.#bareDelivered = 0
  }

  #learnOwn(lostBytes: number, deliveredBytes: number): void {
    this.#bareLost += lostBytes
    this.#bareDelivered += deliveredBytes
    const all = this.#bareLost + this.#bareDelivered
    if (all < this.#judgedBytes) return
    this.#own = near(this.#own, this.#bareLost / all, LEARNING)
    this.#bareLost = this.#bareDelivered = 0
  }
}

function near(old: number, value: number, weight: number): number {
  const next = old + (value - old) * weight
  return next < LEAST ? 0 : next
}
