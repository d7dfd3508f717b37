/**
 * What may leave: the segment's size by path and peer, the room that the peer advertised, the window and the pace of the
 * congestion controller, bursts. And which of these it was that held a sender back.
 */
import type { Instant } from '../machine.ts'
import { type CongestionController, FAST_RTT_MS } from './congestion.ts'
import type { InFlight } from './in-flight.ts'
import { Pacer } from './pacer.ts'
import type { PathTransition } from './path-transition.ts'
import type { PeerWindow } from './peer-window.ts'
import type { RttEstimator } from './rtt-estimator.ts'
import { type ConnectionTuning, WINDOW_SLOT_BYTES } from './tuning.ts'

const NEVER = Number.POSITIVE_INFINITY
/** Segments of the initial window where they are large: 10 small ones are less than one of these. */
const LARGE_INITIAL = 4

/** The parts of a sender that are asked. */
export interface AllowanceParts {
  readonly tuning: ConnectionTuning
  readonly inFlight: InFlight
  readonly rtt: RttEstimator
  readonly window: PeerWindow
  readonly transition: PathTransition
}

export class Allowance {
  readonly congestion: CongestionController
  readonly #parts: AllowanceParts
  readonly #pacer: Pacer
  #peerIsModern = false
  /** Payload that one packet of the present path carries, when that is more than any path does. */
  #pathSegment: number | undefined
  #isLimited = false
  #pacedAt: Instant = NEVER

  constructor(parts: AllowanceParts) {
    this.#parts = parts
    const { tuning } = parts
    this.#pacer = new Pacer(tuning.burstIntervalMs)
    this.congestion = tuning.congestion({
      segmentBytes: tuning.segmentBytes,
      initialWindowBytes: this.#initialWindow(tuning.segmentBytes),
      maxWindowBytes: tuning.cwndMaxBytes,
    })
  }

  /** Window or pace were what held the sender back last. */
  get isLimited(): boolean {
    return this.#isLimited
  }
  /** When the pace lets the next segment leave; Infinity when none waits for that. */
  get pacedAt(): Instant {
    return this.#pacedAt
  }
  /** Largest payload that a segment made now has. */
  get segmentBytes(): number {
    const least = this.#parts.tuning.segmentBytes
    if (this.#pathSegment === undefined || !this.#peerIsModern) return least
    return Math.max(this.#pathSegment, least)
  }
  /** What the peer has room for. Our own kind counts bytes, a reference segments (spec/10 §1). */
  get peerWindowBytes(): number {
    const { tuning, window } = this.#parts
    return window.slots * (this.#peerIsModern ? WINDOW_SLOT_BYTES : tuning.segmentBytes)
  }
  /** Largest segment that may leave by what the peer advertised. A sliver of a window is waited with, not filled. */
  get room(): number {
    const { inFlight, tuning, window } = this.#parts
    const { legacyOutstandingMax, outstandingMax } = tuning
    const { count, bytes } = inFlight
    if (!this.#peerIsModern)
      return count < Math.min(window.slots, legacyOutstandingMax) ? this.segmentBytes : 0
    if (count >= outstandingMax) return 0
    const room = this.peerWindowBytes - bytes
    return room >= WINDOW_SLOT_BYTES || count === 0 ? Math.max(0, room) : 0
  }

  /** The peer counts bytes as we do, and holds more than 128 segments out of order. */
  noteModernPeer(): void {
    if (this.#peerIsModern) return
    this.#peerIsModern = true
    this.#fitCongestion()
  }

  /** Before the first packet on a path, or at a change. `undefined`: what every path carries. */
  setPathSegment(bytes: number | undefined): void {
    this.#pathSegment = bytes
    this.#fitCongestion()
  }

  /** Nothing that was learned of the path before holds. */
  handlePathChange(): void {
    this.congestion.reset()
    this.#pacer.reset()
  }

  /** True when the congestion window has room for `length` bytes more. */
  fits(length: number, now: Instant): boolean {
    const { pipe } = this.#parts.inFlight
    if (pipe === 0 || pipe + length <= this.#windowBytes(now)) return true
    this.#isLimited = true
    return false
  }

  /** True when the next segment has to wait for its time. */
  isPaced(now: Instant): boolean {
    if (this.#pacer.allows(this.#burstLimit, now)) return false
    this.#pacedAt = this.#pacer.nextAt
    // The pace is that of the window, or of what the path delivers: what grows with use is in use.
    if (2 * this.#parts.inFlight.pipe >= this.congestion.cwnd) this.#isLimited = true
    return true
  }

  /** A segment left. */
  count(length: number, now: Instant): void {
    const { initialWindowSegments, segmentBytes } = this.#parts.tuning
    const burstBytes = initialWindowSegments * segmentBytes
    this.#pacer.count(length, this.congestion.pacingRate, burstBytes, now)
  }

  /** Neither window nor pace is what nothing leaves for. */
  handleNothingToSend(now: Instant): void {
    const { pipe, rate } = this.#parts.inFlight
    if (pipe >= this.#windowBytes(now)) return
    this.#isLimited = false
    rate.handleAppLimited(pipe)
  }

  handleTimeout(now: Instant): void {
    if (now >= this.#pacedAt) this.#pacedAt = NEVER
  }

  stop(): void {
    this.#pacedAt = NEVER
  }

  /** What may be under way in all. */
  #windowBytes(now: Instant): number {
    const { tuning, rtt, transition } = this.#parts
    const { cwnd } = this.congestion
    const { smallFlightBytesMax, fastFlightBytesMax } = tuning
    const fastMax = this.#pathSegment === undefined ? smallFlightBytesMax : fastFlightBytesMax
    const limit = rtt.minMs < FAST_RTT_MS ? Math.min(cwnd, fastMax) : cwnd
    return limit + transition.oldBytes(now)
  }

  get #burstLimit(): number {
    const { rtt, tuning } = this.#parts
    if (!this.#peerIsModern) return tuning.legacyBurstSegments
    const isFast = rtt.hasSample && rtt.minMs < FAST_RTT_MS
    return isFast ? tuning.fastBurstSegments : tuning.burstSegments
  }

  #initialWindow(segmentBytes: number): number {
    const { initialWindowSegments, segmentBytes: least } = this.#parts.tuning
    return Math.max(initialWindowSegments * least, LARGE_INITIAL * segmentBytes)
  }

  #fitCongestion(): void {
    const { segmentBytes } = this
    this.congestion.setSegment(segmentBytes, this.#initialWindow(segmentBytes))
  }
}
