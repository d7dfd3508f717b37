/** Round-trip time and retransmission timeout (RFC 6298, spec/03 §4.3). */

export interface RttOptions {
  readonly rtoInitialMs: number
  readonly rtoMinMs: number
  readonly rtoMaxMs: number
}

const GRANULARITY_MS = 10

export class RttEstimator {
  readonly #options: RttOptions
  #srtt = -1
  #rttvar = 0
  #min = Number.POSITIVE_INFINITY
  #backoff = 0

  constructor(options: RttOptions) {
    this.#options = options
  }

  /** True once a round trip was measured. */
  get hasSample(): boolean {
    return this.#srtt >= 0
  }
  /** Smoothed round trip in ms, 0 before the first sample. */
  get srttMs(): number {
    return this.#srtt < 0 ? 0 : this.#srtt
  }
  get rttvarMs(): number {
    return this.#rttvar
  }
  /** Smallest sample, 0 before the first. */
  get minMs(): number {
    return this.#srtt < 0 ? 0 : this.#min
  }

  /** Timeouts since something new was acknowledged. */
  get backoffs(): number {
    return this.#backoff
  }

  /** Timeout in ms, backed off. */
  get rtoMs(): number {
    const { rtoInitialMs, rtoMinMs, rtoMaxMs } = this.#options
    const base =
      this.#srtt < 0
        ? rtoInitialMs
        : Math.max(rtoMinMs, this.#srtt + Math.max(GRANULARITY_MS, 4 * this.#rttvar))
    return Math.min(rtoMaxMs, base * 2 ** this.#backoff)
  }

  /** A round trip of a segment sent once (Karn). Negative values count as 0. */
  sample(ms: number): void {
    const rtt = Math.max(0, ms)
    if (this.#srtt < 0) {
      this.#srtt = rtt
      this.#rttvar = rtt / 2
    } else {
      this.#rttvar += (Math.abs(this.#srtt - rtt) - this.#rttvar) / 4
      this.#srtt += (rtt - this.#srtt) / 8
    }
    if (rtt < this.#min) this.#min = rtt
  }

  /** The timer expired: the timeout doubles (RFC 6298 §5.5). */
  backOff(): void {
    if (this.#backoff < 16) this.#backoff++
  }

  /** New data was acknowledged. */
  clearBackOff(): void {
    this.#backoff = 0
  }

  /** The path changed: nothing measured holds, but for what a probe of the new one took, if known. */
  reset(rttMs?: number): void {
    this.#srtt = -1
    this.#rttvar = 0
    this.#min = Number.POSITIVE_INFINITY
    this.#backoff = 0
    if (rttMs !== undefined) this.sample(rttMs)
  }
}
