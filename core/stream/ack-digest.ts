/** What one acknowledgement means for round trips and for the congestion controller, told once it has been taken in. */
import type { Instant } from '../machine.ts'
import type { AckSample, CongestionController } from './congestion.ts'
import type { InFlight } from './in-flight.ts'
import type { PathTransition } from './path-transition.ts'
import type { RttEstimator } from './rtt-estimator.ts'

/** Of whichever connection is at it: nobody keeps it. */
const sample: AckSample = blank()

export class AckDigest {
  readonly #inFlight: InFlight
  readonly #rtt: RttEstimator
  readonly #transition: PathTransition
  #pipe = 0
  #rttMs = -1

  constructor(inFlight: InFlight, rtt: RttEstimator, transition: PathTransition) {
    this.#inFlight = inFlight
    this.#rtt = rtt
    this.#transition = transition
  }

  /** Before the scoreboard takes it in. */
  begin(now: Instant): void {
    this.#pipe = this.#inFlight.pipe
    this.#inFlight.beginAck(this.#rtt.minMs, now)
  }

  /** After it has: the round trip of what arrived, if it was sent on the present path. */
  measure(now: Instant): void {
    const { deliveredSentAt, rate } = this.#inFlight
    const isTold = deliveredSentAt >= 0 && this.#transition.isOfThisPath(deliveredSentAt)
    this.#rttMs = isTold ? now - deliveredSentAt : -1
    if (isTold) this.#rtt.sample(this.#rttMs)
    rate.endAck(this.#rtt.minMs)
  }

  /** After losses were looked for. `isLimited`: window or pace held the sender back. */
  tell(
    congestion: CongestionController,
    isLimited: boolean,
    isRecovering: boolean,
    now: Instant,
  ): void {
    const inFlight = this.#inFlight
    const { deliveredBytes, lostBytes, rate } = inFlight
    // What was sent on another path says nothing of this one.
    const isOfThisPath = this.#transition.isOfThisPath(inFlight.deliveredSentAt)
    if (!isOfThisPath) this.#transition.handleOldDelivered(deliveredBytes)
    const isTold = isOfThisPath || now >= this.#transition.until
    if (!isTold || (deliveredBytes === 0 && lostBytes === 0)) return
    sample.now = now
    sample.deliveredBytes = deliveredBytes
    sample.lostBytes = lostBytes
    sample.inFlightBefore = this.#pipe
    sample.inFlightBytes = inFlight.pipe
    sample.rttMs = this.#rttMs
    sample.srttMs = this.#rtt.srttMs
    sample.minRttMs = this.#rtt.minMs
    sample.rate = rate.rate
    sample.isAppLimited = rate.isAppLimited
    sample.isRoundStart = rate.isRoundStart
    sample.isLimited = isLimited
    sample.isRecovering = isRecovering
    inFlight.lostBytes = 0
    congestion.handleAck(sample)
  }
}

function blank(): AckSample {
  return {
    now: 0,
    deliveredBytes: 0,
    lostBytes: 0,
    inFlightBefore: 0,
    inFlightBytes: 0,
    rttMs: -1,
    srttMs: 0,
    minRttMs: 0,
    rate: 0,
    isAppLimited: false,
    isRoundStart: false,
    isLimited: false,
    isRecovering: false,
  }
}
