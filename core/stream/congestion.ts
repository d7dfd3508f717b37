/**
 * Congestion control behind one interface, and its plainest implementation. The sender decides what is
 * lost and when a loss episode begins and ends; a controller decides how much may be in flight.
 */
import type { Instant } from '../machine.ts'

export interface CongestionOptions {
  readonly segmentBytes: number
  readonly initialWindowBytes: number
  readonly maxWindowBytes: number
}

export interface CongestionController {
  /** Bytes that may be in flight. At least one segment. */
  readonly cwnd: number
  /** Bytes below which growth is exponential; Infinity before the first loss. */
  readonly ssthresh: number
  /** `bytes` were delivered outside fast recovery while the window was what held the sender back. */
  handleAck(bytes: number, now: Instant, srttMs: number): void
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

/** RFC 5681 with appropriate byte counting (RFC 3465). */
export class NewReno implements CongestionController {
  #options: CongestionOptions
  #cwnd: number
  #ssthresh = Number.POSITIVE_INFINITY
  #before: { cwnd: number; ssthresh: number } | undefined

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

  handleAck(bytes: number): void {
    const { segmentBytes, maxWindowBytes } = this.#options
    const growth =
      this.#cwnd < this.#ssthresh
        ? Math.min(bytes, this.#ssthresh - this.#cwnd)
        : (segmentBytes * bytes) / this.#cwnd
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
