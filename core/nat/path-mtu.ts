/**
 * How large a datagram one direct path carries: packetization layer path MTU discovery (RFC 8899), with probes that
 * are pings of the size in question. Nothing of a stream ever travels in a probe.
 */
import { type Endpoint, type Instant, sameEndpoint } from '../machine.ts'

/** UDP payload that every path is taken to carry: a whole segment of 1152 bytes in a relay datagram. */
export const BASE_DATAGRAM_BYTES = 1232
/** Beyond it a datagram costs little less per byte, and one that is lost much more. */
export const DATAGRAM_BYTES_MAX = 32_768

/** What is probed below the largest, in order: jumbo frames; Ethernet and what tunnels leave of it, IPv4 and IPv6. */
const COMMON_BYTES = [16_384, 8972, 8952, 4052, 1472, 1452, 1432, 1392, 1372, 1312] as const
/** Probes of a size that get no answer, before a smaller one is tried (RFC 8899 §5.1.2 allows 3). */
const PROBES_MAX = 2
/** An answer is waited for so long, and no less than three round trips. */
const PROBE_MS = 500
/** A search that ended below the largest size is repeated (RFC 8899 §5.1.1). */
const RAISE_MS = 600_000
/** After a size that had worked stopped to: not before the path can be believed to be another. */
const BLACK_HOLE_MS = 60_000

export class PathMtu {
  /** The path that all of this is about. */
  #endpoint: Endpoint | undefined
  #sizes: readonly number[] = []
  #confirmed = BASE_DATAGRAM_BYTES
  /** Index in `#sizes` of what is being probed; its length when the search is over. */
  #at = 0
  #sent = 0
  #nextAt: Instant | undefined

  /**
   * Datagrams go to `endpoint` now. The search begins when that is a new path; `largest` tells what the interface
   * takes that leads there.
   */
  follow(endpoint: Endpoint, largest: (to: Endpoint) => number, now: Instant): void {
    if (sameEndpoint(endpoint, this.#endpoint)) return
    this.#endpoint = endpoint
    this.#confirmed = BASE_DATAGRAM_BYTES
    const most = Math.min(largest(endpoint), DATAGRAM_BYTES_MAX)
    this.#sizes = [most, ...COMMON_BYTES.filter((size) => size < most)]
    this.#search(now)
  }

  /** Datagrams take a path that is none of the network. */
  leave(): void {
    this.#endpoint = undefined
    this.#confirmed = BASE_DATAGRAM_BYTES
    this.#nextAt = undefined
  }

  /** UDP payload that the path to `endpoint` is known to carry, where that is more than every path does. */
  bytesTo(endpoint: Endpoint | undefined): number | undefined {
    if (endpoint === undefined || !sameEndpoint(endpoint, this.#endpoint)) return undefined
    return this.#confirmed > BASE_DATAGRAM_BYTES ? this.#confirmed : undefined
  }

  /** UDP payload of the probe that is due on the path; it is sent at once. */
  pollProbe(rttMs: number, now: Instant): number | undefined {
    if (this.#nextAt === undefined || now < this.#nextAt) return undefined
    if (this.#at >= this.#sizes.length) this.#search(now)
    if (this.#sent >= PROBES_MAX) {
      this.#at++
      this.#sent = 0
    }
    const bytes = this.#sizes[this.#at] ?? 0
    if (bytes <= this.#confirmed) {
      this.#finish(now, RAISE_MS)
      return undefined
    }
    this.#sent++
    this.#nextAt = now + Math.max(PROBE_MS, 3 * rttMs)
    return bytes
  }

  /** A probe of so many bytes was answered. True when larger datagrams may leave from now on. */
  handleAnswer(endpoint: Endpoint, bytes: number, now: Instant): boolean {
    if (!sameEndpoint(endpoint, this.#endpoint) || bytes <= this.#confirmed) return false
    this.#confirmed = bytes
    this.#finish(now, bytes === this.#sizes[0] ? undefined : RAISE_MS)
    return true
  }

  /** Nothing large arrives any more (RFC 8899 §4.3). True when smaller datagrams may help. */
  handleBlackHole(now: Instant): boolean {
    if (this.#confirmed === BASE_DATAGRAM_BYTES) return false
    this.#confirmed = BASE_DATAGRAM_BYTES
    this.#finish(now, BLACK_HOLE_MS)
    return true
  }

  pollTimeout(): Instant | undefined {
    return this.#nextAt
  }

  #search(now: Instant): void {
    this.#at = 0
    this.#sent = 0
    this.#nextAt = this.#sizes[0]! > this.#confirmed ? now : undefined
  }

  #finish(now: Instant, againMs: number | undefined): void {
    this.#at = this.#sizes.length
    this.#sent = 0
    this.#nextAt = againMs === undefined ? undefined : now + againMs
  }
}
