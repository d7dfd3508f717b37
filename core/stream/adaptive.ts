/**
 * The default: CUBIC where losses come with a queue, as they do where links are shared, and a model of the path where
 * they do not, as with radio. So it is as fair as CUBIC to others, and a lossy link costs it little more than what was
 * lost. What it alone makes stand in a queue is bounded by the model too; the bound is lifted while others keep the
 * queue long.
 */
import type { Instant } from '../machine.ts'
import type { AckSample, CongestionController, CongestionOptions } from './congestion.ts'
import { Cubic } from './cubic.ts'
import { LossShare } from './loss-share.ts'
import { PathModel } from './path-model.ts'

/**
 * A window of its own doing is at most what the path holds, so many times, and some segments: that part is what makes
 * flows equal, as each keeps as much of it in the queue as any other (compare TCP Vegas).
 */
const WINDOW_GAIN = 1.5
const WINDOW_MORE = 3 // initial windows
/** Round trips longer than such windows explain are others' doing, or the path is longer than it was. */
const SHARED_GAIN = 2.4
const SHARED_SLACK_MS = 10
/** How often it is looked whether the others are gone, and how long that takes. */
const LOOK_MS = 10_000
const LOOK_ROUNDS = 3
/** Rounds that a queue must last to be others': that of somebody's slow start passes. */
const SHARED_ROUNDS = 6
/** Losses beyond this share are congestion, whatever the round trips say: a queue may be too short to be seen. */
const BARE_SHARE = 0.08

export class Adaptive implements CongestionController {
  #options: CongestionOptions
  readonly #cubic: Cubic
  readonly #model = new PathModel()
  readonly #losses = new LossShare()
  #isShared = false
  #lookAt: Instant = 0
  /** The bound holds at least until this round. */
  #boundRound = 0
  #bestRate = 0
  /** The losses at hand were not congestion. */
  #isBare = false
  #minRttMs = 0

  constructor(options: CongestionOptions) {
    this.#options = options
    this.#cubic = new Cubic(options)
  }

  get cwnd(): number {
    return Math.min(this.#cubic.cwnd, this.#limit)
  }
  get ssthresh(): number {
    return this.#cubic.ssthresh
  }
  get pacingRate(): number {
    return this.#cubic.paceOf(this.cwnd)
  }

  handleAck(sample: AckSample): void {
    const model = this.#model
    model.handleAck(sample, this.cwnd)
    this.#losses.handleAck(sample, this.#options.segmentBytes, model.isQueued)
    this.#minRttMs = sample.minRttMs
    if (model.rate > this.#bestRate) this.#bestRate = model.rate
    this.#look(sample.now)
    if (this.#isBare) {
      // More losses than such paths have, or a queue by now: this episode was congestion after all.
      if (sample.isRecovering && this.#isCongested)
        this.handleLoss(sample.inFlightBefore, sample.now)
      else sample.isRecovering = false
    }
    if (this.#cubic.cwnd >= this.#limit) sample.isLimited = false
    this.#cubic.handleAck(sample)
  }

  handleLoss(inFlightBytes: number, _now: Instant): void {
    this.#isBare = !this.#isCongested
    if (!this.#isBare) this.#cubic.handleLoss(inFlightBytes)
  }

  handleTimeout(inFlightBytes: number, isRepeat: boolean): void {
    this.#isBare = false
    if (isRepeat || this.#isCongested) this.#cubic.handleTimeout(inFlightBytes, isRepeat)
    else this.#cubic.handleBareTimeout()
  }

  handleSpurious(): void {
    this.#cubic.handleSpurious()
  }

  handleIdle(): void {
    this.#cubic.handleIdle()
  }

  reset(): void {
    this.#cubic.reset()
    this.#model.reset()
    this.#losses.reset()
    this.#isShared = this.#isBare = false
    this.#minRttMs = this.#bestRate = 0
  }

  setSegment(segmentBytes: number, initialWindowBytes: number): void {
    this.#options = { ...this.#options, segmentBytes, initialWindowBytes }
    this.#cubic.setSegment(segmentBytes, initialWindowBytes)
  }

  /** Others keep a queue, or do so no more. */
  #look(now: Instant): void {
    const model = this.#model
    if (this.#isShared) {
      if (model.isQueued && now < this.#lookAt) return
      this.#isShared = false
      this.#boundRound = model.round + LOOK_ROUNDS
      return
    }
    if (this.#limit === Number.POSITIVE_INFINITY) this.#boundRound = model.round + LOOK_ROUNDS
    if (model.round < this.#boundRound) return
    const ownMs = (2 * this.#moreBytes) / this.#bestRate
    if (!model.isSlowerThan(SHARED_GAIN, SHARED_SLACK_MS + ownMs)) {
      this.#boundRound = model.round
      return
    }
    if (model.round < this.#boundRound + SHARED_ROUNDS) return
    this.#isShared = true
    this.#lookAt = now + LOOK_MS
  }

  get #moreBytes(): number {
    return WINDOW_MORE * this.#options.initialWindowBytes
  }

  get #isCongested(): boolean {
    if (this.#losses.share > BARE_SHARE) return true
    return this.#model.isQueued && (this.#isShared || this.#losses.isBeyondOwn)
  }

  /** Nothing is bounded before the rate has been seen to end its growth. */
  get #limit(): number {
    const { rate, lumpBytes } = this.#model
    if (this.#isShared || rate === 0 || this.#cubic.ssthresh === Number.POSITIVE_INFINITY)
      return Number.POSITIVE_INFINITY
    return this.#model.product(WINDOW_GAIN, this.#minRttMs) + lumpBytes + this.#moreBytes
  }
}
