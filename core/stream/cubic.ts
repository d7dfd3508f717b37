/** CUBIC (RFC 9438) with HyStart++ (RFC 9406): it refills a long path in seconds where NewReno needs minutes. */
import type { Instant } from '../machine.ts'
import {
  type AckSample,
  type CongestionController,
  type CongestionOptions,
  windowRate,
} from './congestion.ts'
import { HyStart } from './hystart.ts'

const C = 0.4 // segments per second cubed
const BETA = 0.7
const ALPHA = (3 * (1 - BETA)) / (1 + BETA)

interface Saved {
  readonly cwnd: number
  readonly ssthresh: number
  readonly wMax: number
}

export class Cubic implements CongestionController {
  #options: CongestionOptions
  #cwnd: number
  #ssthresh = Number.POSITIVE_INFINITY
  /** Window before the last reduction; the plateau of the curve. */
  #wMax = 0
  /** Start of the current curve, and seconds until it reaches its plateau. */
  #epochAt: Instant | undefined
  #k = 0
  /** What NewReno would have by now (RFC 9438 §4.3). */
  #wEst = 0
  #before: Saved | undefined
  #srttMs = 0
  readonly #hystart = new HyStart()

  constructor(options: CongestionOptions) {
    this.#options = options
    this.#cwnd = options.initialWindowBytes
  }

  get cwnd(): number {
    return this.#cwnd
  }
  get ssthresh(): number {
    return this.#ssthresh
  }

  get pacingRate(): number {
    return this.paceOf(this.#cwnd)
  }

  /** Pace of a window that is perhaps smaller than ours. */
  paceOf(cwnd: number): number {
    return windowRate(cwnd, this.#srttMs, this.#cwnd < this.#ssthresh ? 2 : 1.25)
  }

  handleAck(sample: AckSample): void {
    const { now, srttMs, deliveredBytes: bytes } = sample
    const { segmentBytes, maxWindowBytes } = this.#options
    this.#srttMs = srttMs
    const isFirstStart = this.#ssthresh === Number.POSITIVE_INFINITY
    if (isFirstStart && this.#hystart.handleAck(sample.rttMs, sample.isRoundStart))
      this.#ssthresh = this.#cwnd
    if (!sample.isLimited || sample.isRecovering || bytes === 0) return
    if (this.#cwnd < this.#ssthresh) {
      const growth = Math.min(bytes, this.#ssthresh) / this.#hystart.divisor
      this.#cwnd = Math.min(maxWindowBytes, this.#cwnd + growth)
      return
    }
    if (this.#epochAt === undefined) this.#startEpoch(now)
    const seconds = (now - this.#epochAt!) / 1000
    const curve = this.#curve(seconds)
    const alpha = this.#wEst < this.#wMax ? ALPHA : 1
    this.#wEst += (alpha * segmentBytes * bytes) / this.#cwnd
    const target = Math.min(
      Math.max(this.#curve(seconds + srttMs / 1000), this.#cwnd),
      1.5 * this.#cwnd,
    )
    const next =
      curve < this.#wEst
        ? Math.max(this.#cwnd, this.#wEst)
        : this.#cwnd + ((target - this.#cwnd) * bytes) / this.#cwnd
    this.#cwnd = Math.min(maxWindowBytes, next)
  }

  handleLoss(inFlightBytes: number): void {
    this.#reduce(inFlightBytes)
    this.#cwnd = this.#ssthresh
  }

  handleTimeout(inFlightBytes: number, isRepeat: boolean): void {
    if (!isRepeat) this.#reduce(inFlightBytes)
    this.#cwnd = this.#options.segmentBytes
  }

  /** The timer expired, but not for congestion: the window is soon what it was. */
  handleBareTimeout(): void {
    this.#before = { cwnd: this.#cwnd, ssthresh: this.#ssthresh, wMax: this.#wMax }
    this.#ssthresh = Math.max(this.#cwnd, 2 * this.#options.segmentBytes)
    this.#cwnd = this.#options.segmentBytes
    this.#epochAt = undefined
  }

  handleSpurious(): void {
    if (this.#before === undefined) return
    this.#cwnd = Math.max(this.#cwnd, this.#before.cwnd)
    this.#ssthresh = Math.max(this.#ssthresh, this.#before.ssthresh)
    this.#wMax = this.#before.wMax
    this.#before = undefined
    this.#epochAt = undefined
  }

  handleIdle(): void {
    this.#cwnd = Math.min(this.#cwnd, this.#options.initialWindowBytes)
    this.#epochAt = undefined
  }

  reset(): void {
    this.#cwnd = this.#options.initialWindowBytes
    this.#ssthresh = Number.POSITIVE_INFINITY
    this.#wMax = 0
    this.#epochAt = undefined
    this.#before = undefined
    this.#srttMs = 0
    this.#hystart.reset()
  }

  setSegment(segmentBytes: number, initialWindowBytes: number): void {
    const isUnused = this.#cwnd === this.#options.initialWindowBytes
    this.#options = { ...this.#options, segmentBytes, initialWindowBytes }
    if (isUnused) this.#cwnd = initialWindowBytes
    this.#epochAt = undefined
  }

  #reduce(inFlightBytes: number): void {
    this.#before = { cwnd: this.#cwnd, ssthresh: this.#ssthresh, wMax: this.#wMax }
    // The window that was used: an application-limited sender did not prove all of cwnd.
    const used = Math.min(this.#cwnd, Math.max(inFlightBytes, this.#options.initialWindowBytes))
    // Fast convergence (§4.7): leave room for newcomers when the plateau sinks.
    this.#wMax = used < this.#wMax ? (used * (1 + BETA)) / 2 : used
    this.#ssthresh = Math.max(2 * this.#options.segmentBytes, used * BETA)
    this.#epochAt = undefined
  }

  #startEpoch(now: Instant): void {
    this.#epochAt = now
    this.#wEst = this.#cwnd
    if (this.#wMax < this.#cwnd) this.#wMax = this.#cwnd
    this.#k = Math.cbrt((this.#wMax - this.#cwnd) / this.#options.segmentBytes / C)
  }

  #curve(seconds: number): number {
    return C * (seconds - this.#k) ** 3 * this.#options.segmentBytes + this.#wMax
  }
}
