/**
 * When sent bytes count as lost, and what a sender does about it: losses found by acknowledgements and by time (RACK-TLP,
 * RFC 8985) on the scoreboard of `in-flight.ts`, the timer of RFC 6298 behind them, and the undoing of what proved
 * needless by duplicate reports (RFC 3708) or because the originals arrived (compare RFC 5682).
 */
import type { Instant } from '../machine.ts'
import type { CongestionController } from './congestion.ts'
import type { InFlight } from './in-flight.ts'
import type { PathTransition } from './path-transition.ts'
import type { RttEstimator } from './rtt-estimator.ts'
import type { ConnectionTuning } from './tuning.ts'

const NEVER = Number.POSITIVE_INFINITY
/** Timer granularity of runtimes, added to the time a late segment is given. */
const REORDER_SLACK_MS = 10

/** `recovery` after losses found early, `timeout` after the timer. */
export type Phase = 'open' | 'recovery' | 'timeout'

export class Recovery {
  readonly #inFlight: InFlight
  readonly #rtt: RttEstimator
  readonly #congestion: CongestionController
  readonly #transition: PathTransition
  readonly #tuning: ConnectionTuning

  phase: Phase = 'open'
  /** The first retransmission of an episode leaves whatever the window says (RFC 6675 §5). */
  mustRetransmit = false
  /** A tail loss probe has to leave. */
  isProbeDue = false

  /** Recovery ends when everything below is acknowledged. */
  #end = 0
  /** Retransmissions of this episode not yet reported as needless; -1 when it cannot be undone. */
  #undo = -1
  #rtoAt: Instant = NEVER
  #probeAt: Instant = NEVER
  /** `#probeAt` ends the wait for a segment that may be late. */
  #isReorder = false
  /** End of the probe in flight, -1 for none. */
  #probeEnd = -1
  #probeWasOld = false
  #probeWasAcked = false

  constructor(
    inFlight: InFlight,
    rtt: RttEstimator,
    congestion: CongestionController,
    transition: PathTransition,
    tuning: ConnectionTuning,
  ) {
    this.#inFlight = inFlight
    this.#rtt = rtt
    this.#congestion = congestion
    this.#transition = transition
    this.#tuning = tuning
  }

  get nextTimeoutAt(): Instant {
    return Math.min(this.#rtoAt, this.#probeAt)
  }

  /** The peer got bytes up to `right` twice: one of our retransmissions was needless. */
  handleDuplicateReport(right: number): void {
    this.#inFlight.rack.handleDuplicate()
    if (right === this.#probeEnd) this.#probeEnd = -1
    if (this.#undo > 0 && --this.#undo === 0 && this.#inFlight.lostCount === 0) {
      this.#congestion.handleSpurious()
      this.#undo = -1
    }
  }

  /**
   * The scoreboard has taken an acknowledgement of everything below `acked` in. `flight` bytes were out before it,
   * `sentEnd` is the end of all that was sent; `isCounted` when duplicates alone tell that the oldest is missing.
   */
  handleAck(
    acked: number,
    isNew: boolean,
    isEmpty: boolean,
    isCounted: boolean,
    flight: number,
    sentEnd: number,
    now: Instant,
  ): void {
    const inFlight = this.#inFlight
    this.#settleProbe(acked, isNew, isEmpty, now)
    if (this.phase === 'timeout' && this.#undo >= 0 && inFlight.wronglyLost > 0) this.#resume()
    if (this.phase !== 'open' && acked >= this.#end) {
      this.phase = 'open'
      inFlight.rack.handleRecoveryEnd()
    }
    let isLost = now >= this.#transition.until && this.#detect(now)
    if (isCounted) isLost = inFlight.loseOldest() || isLost
    if (isLost && this.phase === 'open') this.#enter(flight, sentEnd, now)
  }

  /** After an acknowledgement: `isNew` when it moved the oldest segment. */
  rearm(isNew: boolean, now: Instant): void {
    if (isNew || this.#inFlight.count === 0) this.restart(now)
    else if (this.#inFlight.deliveredBytes > 0) this.schedule(now)
  }

  /** What was lost leaves again. True when no timer was waited for. */
  handleRetransmitted(): boolean {
    this.mustRetransmit = false
    if (this.#undo >= 0) this.#undo++
    return this.phase === 'recovery'
  }

  /** A segment leaves. The timer runs from the oldest segment's last transmission. */
  handleSent(isOldest: boolean, now: Instant): void {
    if (isOldest || this.#rtoAt === NEVER) this.#rtoAt = this.#rtoFrom(now)
  }

  /** A probe leaves: new bytes, or the newest segment once more. */
  handleProbeSent(isOld: boolean, sentEnd: number, now: Instant): void {
    this.#probeEnd = sentEnd
    this.#probeWasOld = isOld
    this.#probeWasAcked = false
    this.#probeAt = NEVER
    this.#rtoAt = this.#rtoFrom(now)
  }

  /** Returns true when the retransmission timer expired: the caller decides whether it was the last time. */
  isTimedOut(now: Instant): boolean {
    if (now >= this.#probeAt) this.#handleProbeTimeout(now)
    if (now < this.#rtoAt) return false
    if (this.#inFlight.count > 0) return true
    this.#rtoAt = NEVER
    return false
  }

  /** What is overdue leaves again, beginning with the oldest. */
  handleTimeout(sentEnd: number, now: Instant): void {
    const flight = this.#inFlight.bytes
    this.#transition.giveUp()
    const isRepeat = this.phase === 'timeout'
    this.#inFlight.loseOverdue(this.#windowMs, now)
    this.#rtt.backOff()
    this.#congestion.handleTimeout(flight, isRepeat, now)
    if (!isRepeat) this.#undo = 0
    this.#begin('timeout', sentEnd)
    this.#rtoAt = this.#rtoFrom(now)
  }

  /** What comes by the new path overtakes what is on the old one: that is not missed before its time. */
  awaitOldPath(now: Instant): void {
    this.#undo = -1
    this.#stopProbe()
    this.schedule(now)
    this.#rtoAt = this.#rtoFrom(now)
  }

  /** The oldest segment leaves at once, and the others behind it. */
  forgetOldPath(sentEnd: number, now: Instant): void {
    this.#undo = -1
    this.#begin('timeout', sentEnd)
    this.restart(now)
  }

  /** Nothing of an episode counts any more. */
  forgetUndo(): void {
    this.#undo = -1
  }

  restart(now: Instant): void {
    this.#probeAt = NEVER
    this.isProbeDue = this.#isReorder = false
    this.#rtoAt = this.#inFlight.count === 0 ? NEVER : this.#rtoFrom(now)
    if (this.#inFlight.count > 0) this.schedule(now)
  }

  /**
   * Arms the timer that comes before the retransmission timer: the end of the time a late segment is given to arrive,
   * else a tail loss probe while nothing is known to be missing (RFC 8985 §6.2, §7).
   */
  schedule(now: Instant): void {
    const { until } = this.#transition
    const isOldAwaited = now < until
    if (!this.#rtt.hasSample && !isOldAwaited) return
    const { srttMs } = this.#rtt
    const { dueAt } = this.#inFlight
    if (isOldAwaited) {
      if (!this.#isReorder) this.#probeAt = Math.max(until, now + srttMs / 4 + REORDER_SLACK_MS)
      this.#isReorder = true
    } else if (dueAt !== NEVER) {
      this.#probeAt = Math.max(now, dueAt) + REORDER_SLACK_MS
      this.#isReorder = true
    } else if (this.phase === 'open' && this.#probeEnd < 0) {
      this.#probeAt = now + 2 * srttMs + this.#tuning.probeSlackMs
      this.#isReorder = false
    }
    if (this.#probeAt >= this.#rtoAt) this.#probeAt = NEVER
  }

  /** The connection is over. */
  stop(): void {
    this.#rtoAt = this.#probeAt = NEVER
    this.isProbeDue = this.mustRetransmit = false
  }

  get #windowMs(): number {
    const { rack, sackedCount } = this.#inFlight
    return rack.windowMs(sackedCount, this.phase !== 'open', this.#rtt.minMs, this.#rtt.srttMs)
  }

  #detect(now: Instant): boolean {
    return this.#inFlight.detectLosses(this.#windowMs, now)
  }

  #enter(flight: number, sentEnd: number, now: Instant): void {
    this.#begin('recovery', sentEnd)
    this.#undo = 0
    this.#congestion.handleLoss(flight, now)
  }

  #begin(phase: Phase, sentEnd: number): void {
    this.phase = phase
    this.#end = sentEnd
    this.mustRetransmit = true
    this.#stopProbe()
  }

  #stopProbe(): void {
    this.#probeEnd = -1
    this.#probeAt = NEVER
    this.isProbeDue = this.#isReorder = false
  }

  /** The timer expired although what it gave up was only late. */
  #resume(): void {
    this.#inFlight.findAll()
    this.#congestion.handleSpurious()
    this.#undo = -1
    this.phase = 'open'
    this.mustRetransmit = false
  }

  /** Whether a probe repaired a loss nobody else saw (RFC 8985 §7.4). */
  #settleProbe(acked: number, isNew: boolean, isEmpty: boolean, now: Instant): void {
    if (this.#probeEnd < 0 || acked < this.#probeEnd) return
    if (!this.#probeWasOld) this.#probeEnd = -1
    else if (acked === this.#probeEnd && isNew) this.#probeWasAcked = true
    else if (acked === this.#probeEnd && isEmpty && this.#probeWasAcked) this.#probeEnd = -1
    else if (acked > this.#probeEnd) {
      this.#probeEnd = -1
      if (this.phase === 'open') this.#congestion.handleLoss(this.#inFlight.bytes, now)
    }
  }

  #handleProbeTimeout(now: Instant): void {
    this.#probeAt = NEVER
    const wasReorder = this.#isReorder
    this.#isReorder = false
    if (!wasReorder) this.isProbeDue = true
    else if (this.#detect(now) && this.phase === 'open') {
      const { bytes, newest } = this.#inFlight
      this.#enter(bytes, newest === undefined ? 0 : newest.offset + newest.length, now)
    }
    if (wasReorder) this.schedule(now)
  }

  /** What is still expected by the path before this one is given its time first. */
  #rtoFrom(now: Instant): Instant {
    return Math.max(now, this.#transition.until) + this.#rtt.rtoMs
  }
}
