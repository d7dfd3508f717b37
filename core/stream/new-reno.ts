/** RFC 5681 with appropriate byte counting (RFC 3465): the plainest controller, to compare others with. */
import {
  type AckSample,
  type CongestionController,
  type CongestionOptions,
  windowRate,
} from './congestion.ts'

export class NewReno implements CongestionController {
  #options: CongestionOptions
  #cwnd: number
  #ssthresh = Number.POSITIVE_INFINITY
  #before: { cwnd: number; ssthresh: number } | undefined
  #srttMs = 0

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
    return windowRate(this.#cwnd, this.#srttMs, this.#cwnd < this.#ssthresh ? 2 : 1.25)
  }

  handleAck({ deliveredBytes, srttMs, isLimited, isRecovering }: AckSample): void {
    this.#srttMs = srttMs
    if (!isLimited || isRecovering) return
    const { segmentBytes, maxWindowBytes } = this.#options
    const growth =
      this.#cwnd < this.#ssthresh
        ? Math.min(deliveredBytes, this.#ssthresh - this.#cwnd)
        : (segmentBytes * deliveredBytes) / this.#cwnd
    this.#cwnd = Math.min(maxWindowBytes, this.#cwnd + growth)
  }

  handleLoss(inFlightBytes: number): void {
    this.#before = { cwnd: this.#cwnd, ssthresh: this.#ssthresh }
    this.#ssthresh = this.#half(inFlightBytes)
    this.#cwnd = this.#ssthresh
  }

  handleTimeout(inFlightBytes: number, isRepeat: boolean): void {
    if (!isRepeat) {
      this.#before = { cwnd: this.#cwnd, ssthresh: this.#ssthresh }
      this.#ssthresh = this.#half(inFlightBytes)
    }
    this.#cwnd = this.#options.segmentBytes
  }

  handleSpurious(): void {
    if (this.#before === undefined) return
    this.#cwnd = Math.max(this.#cwnd, this.#before.cwnd)
    this.#ssthresh = Math.max(this.#ssthresh, this.#before.ssthresh)
    this.#before = undefined
  }

  handleIdle(): void {
    this.#cwnd = Math.min(this.#cwnd, this.#options.initialWindowBytes)
  }

  reset(): void {
    this.#cwnd = this.#options.initialWindowBytes
    this.#ssthresh = Number.POSITIVE_INFINITY
    this.#before = undefined
    this.#srttMs = 0
  }

  setSegment(segmentBytes: number, initialWindowBytes: number): void {
    const isUnused = this.#cwnd === this.#options.initialWindowBytes
    this.#options = { ...this.#options, segmentBytes, initialWindowBytes }
    if (isUnused) this.#cwnd = initialWindowBytes
  }

  #half(inFlightBytes: number): number {
    return Math.max(2 * this.#options.segmentBytes, inFlightBytes / 2)
  }
}
