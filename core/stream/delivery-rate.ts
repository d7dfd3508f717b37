/**
 * How fast bytes arrive at the peer: for every acknowledgement the bytes delivered since the segment it is about
 * left, over the longer of the time their sending and their acknowledging took
 * (draft-cheng-iccrg-delivery-rate-estimation). Rounds are counted on the way: one per window sent.
 */
import type { Instant } from '../machine.ts'
import type { Segment } from './segment-ring.ts'

export class DeliveryRate {
  /** Bytes that arrived in all. */
  delivered = 0
  #deliveredAt: Instant = 0
  #firstSentAt: Instant = 0
  /** Until this many bytes arrived the sender had less to send than it might have; 0 for not at all. */
  #appLimitedUntil = 0
  #roundEnd = 0

  #hasSegment = false
  #priorDelivered = 0
  #priorAt: Instant = 0
  #sendElapsed = 0
  #lastSentAt: Instant = 0

  /** Of the last acknowledgement: bytes per ms, 0 when it tells nothing. */
  rate = 0
  /** The rate is bounded by what the application wrote or the peer had room for. */
  isAppLimited = false
  /** A whole window has been acknowledged since the last round began. */
  isRoundStart = false

  /** A segment leaves, again or for the first time. */
  handleSent(segment: Segment, isAlone: boolean, now: Instant): void {
    if (isAlone) this.#firstSentAt = this.#deliveredAt = now
    segment.firstSentAt = this.#firstSentAt
    segment.deliveredAt = this.#deliveredAt
    segment.delivered = this.delivered
    segment.isAppLimited = this.#appLimitedUntil > 0
  }

  /** `bytes` could have been sent beside the `inFlight` that are under way, had there been any. */
  handleAppLimited(inFlight: number): void {
    this.#appLimitedUntil = Math.max(1, this.delivered + inFlight)
  }

  beginAck(): void {
    this.#hasSegment = false
    this.rate = 0
    this.isRoundStart = false
  }

  /** A segment arrived, whole. The one that left last is the one measured by. */
  handleDelivered(segment: Segment, now: Instant): void {
    this.delivered += segment.length
    this.#deliveredAt = now
    const isNewer =
      !this.#hasSegment ||
      segment.delivered > this.#priorDelivered ||
      (segment.delivered === this.#priorDelivered && segment.sentAt > this.#lastSentAt)
    if (!isNewer) return
    this.#hasSegment = true
    this.#priorDelivered = segment.delivered
    this.#priorAt = segment.deliveredAt
    this.isAppLimited = segment.isAppLimited
    this.#sendElapsed = segment.sentAt - segment.firstSentAt
    this.#lastSentAt = segment.sentAt
    this.#firstSentAt = segment.sentAt
  }

  /** All of the acknowledgement was taken in. An interval below the least round trip proves nothing. */
  endAck(minRttMs: number): void {
    if (this.#appLimitedUntil > 0 && this.delivered > this.#appLimitedUntil)
      this.#appLimitedUntil = 0
    if (!this.#hasSegment) return
    if (this.#priorDelivered >= this.#roundEnd) {
      this.#roundEnd = this.delivered
      this.isRoundStart = true
    }
    const intervalMs = Math.max(this.#sendElapsed, this.#deliveredAt - this.#priorAt)
    if (intervalMs <= 0 || intervalMs < minRttMs) return
    this.rate = (this.delivered - this.#priorDelivered) / intervalMs
  }
}
