/**
 * What losses say about the room a path has. Losses that come at any load say nothing and are learned as the path's
 * own; those beyond them while a queue stands, or far beyond, mean that more was in flight than fits (compare the
 * `inflight_hi` of BBR, draft-ietf-ccwg-bbr §4.5.10).
 */
import type { AckSample } from './congestion.ts'

/** Loss beyond the path's own, of a round, that is congestion where a queue stands, and where none does. */
const QUEUED_LOSS = 0.02
const BARE_LOSS = 0.15
/** Growth of the round trip that means a queue: relative, and that of timers and delayed ACKs. */
const QUEUE_GAIN = 1.15
const QUEUE_SLACK_MS = 2
const BETA = 0.7
/** Growth per round without congestion. */
const GROWTH = 1.04
const LEARNING = 1 / 8
/** Segments judged together: of fewer a chance loss would be a large share. */
const JUDGED_SEGMENTS = 50

export class LossBound {
  /** Bytes that may be in flight; Infinity while nothing was lost to congestion. */
  bytes: number = Number.POSITIVE_INFINITY
  #own = 0
  #lost = 0
  #delivered = 0
  #roundRttMs = Number.POSITIVE_INFINITY
  #isQueued = false
  #peakBytes = 0

  /** A queue stood through all of the last round. */
  get isQueued(): boolean {
    return this.#isQueued
  }

  /** Returns true when, with this acknowledgement, rounds end whose losses were congestion. */
  handleAck(sample: AckSample, segmentBytes: number, leastBytes: number): boolean {
    this.#lost += sample.lostBytes
    this.#delivered += sample.deliveredBytes
    if (sample.rttMs >= 0) this.#roundRttMs = Math.min(this.#roundRttMs, sample.rttMs)
    if (sample.inFlightBefore > this.#peakBytes) this.#peakBytes = sample.inFlightBefore
    const isEnough = this.#lost + this.#delivered >= JUDGED_SEGMENTS * segmentBytes
    return sample.isRoundStart && isEnough && this.#endRound(sample, leastBytes)
  }

  reset(): void {
    this.bytes = this.#roundRttMs = Number.POSITIVE_INFINITY
    this.#own = this.#lost = this.#delivered = this.#peakBytes = 0
    this.#isQueued = false
  }

  #endRound({ minRttMs, isLimited }: AckSample, leastBytes: number): boolean {
    const share = this.#lost / Math.max(1, this.#lost + this.#delivered)
    if (this.#roundRttMs !== Number.POSITIVE_INFINITY)
      this.#isQueued = this.#roundRttMs > minRttMs * QUEUE_GAIN + QUEUE_SLACK_MS
    const beyond = share - this.#own
    const isCongested = this.#lost > 0 && beyond > (this.#isQueued ? QUEUED_LOSS : BARE_LOSS)
    if (!this.#isQueued && !isCongested) this.#own += (share - this.#own) * LEARNING
    if (isCongested) this.bytes = Math.max(leastBytes, Math.min(this.bytes, this.#peakBytes) * BETA)
    else if (isLimited) this.bytes *= GROWTH
    this.#lost = this.#delivered = this.#peakBytes = 0
    this.#roundRttMs = Number.POSITIVE_INFINITY
    return isCongested
  }
}
