/**
 * Congestion control behind one interface. The sender decides what is lost and when a loss episode begins and ends;
 * a controller decides how much may be in flight, and how fast it leaves.
 */
import type { Instant } from '../machine.ts'

export interface CongestionOptions {
  readonly segmentBytes: number
  readonly initialWindowBytes: number
  readonly maxWindowBytes: number
}

/** What one acknowledgement told. The object is reused: keep values, not the object. */
export interface AckSample {
  now: Instant
  /** Bytes newly delivered, and newly taken for lost. */
  deliveredBytes: number
  lostBytes: number
  /** Bytes under way before and after it. */
  inFlightBefore: number
  inFlightBytes: number
  /** Round trip of the latest segment sent once, -1 without one; smoothed; the least there was. All in ms. */
  rttMs: number
  srttMs: number
  minRttMs: number
  /** Bytes per ms, 0 when unknown, and whether less was sent than allowed meanwhile. */
  rate: number
  isAppLimited: boolean
  /** All that was under way when the round began has been acknowledged. */
  isRoundStart: boolean
  /** The window, or the pace, was what held the sender back. */
  isLimited: boolean
  /** Losses are being repaired that no timer told of. */
  isRecovering: boolean
}

export interface CongestionController {
  /** Bytes that may be in flight. At least one segment. */
  readonly cwnd: number
  /** Bytes below which growth is exponential; Infinity before the first loss. */
  readonly ssthresh: number
  /** Bytes per ms that may leave; Infinity: whatever the window allows, at once. */
  readonly pacingRate: number
  handleAck(sample: AckSample): void
  /** A loss episode begins. */
  handleLoss(inFlightBytes: number, now: Instant): void
  /** The retransmission timer expired; `isRepeat` within one episode. */
  handleTimeout(inFlightBytes: number, isRepeat: boolean, now: Instant): void
  /** Every retransmission of the last episode proved needless: take its reduction back. */
  handleSpurious(): void
  /** Nothing was in flight for longer than a timeout (RFC 5681 §4.1). */
  handleIdle(): void
  /** The path changed: start over. */
  reset(): void
  /** Segments have another size from now on. */
  setSegment(segmentBytes: number, initialWindowBytes: number): void
}

/** Round trips below this are the machine's own, or a local network's: a timer is too coarse to pace them. */
export const FAST_RTT_MS = 2

/** Pace of a window that is all there is to know: somewhat faster than it, for the window is what bounds. */
export function windowRate(cwnd: number, srttMs: number, gain: number): number {
  return srttMs < FAST_RTT_MS ? Number.POSITIVE_INFINITY : (gain * cwnd) / srttMs
}
