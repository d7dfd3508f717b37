/**
 * Recent acknowledgement (RFC 8985): of all segments that arrived, the one sent last tells which of those sent
 * before it should have arrived too, and how late a segment may be before it counts as lost.
 */
import type { Instant } from '../machine.ts'
import type { Segment } from './segment-ring.ts'

/** Losses in a row, above which no reordering is assumed until it was seen (RFC 6675 §2). */
const DUP_THRESH = 3
/** Recoveries after which a reordering window that duplicate reports widened is taken back (RFC 8985 §6.2). */
const PERSIST_RECOVERIES = 16
const REORDER_STEPS_MAX = 16

export class Rack {
  #sentAt: Instant = 0
  #order = 0
  #rttMs = 0
  #isReordering = false
  #steps = 1
  #persist = 0

  /** Transmission number of the segment sent last among those that arrived. */
  get order(): number {
    return this.#order
  }
  get sentAt(): Instant {
    return this.#sentAt
  }
  /** Its round trip. */
  get rttMs(): number {
    return this.#rttMs
  }
  /** Segments were seen to overtake each other. */
  get isReordering(): boolean {
    return this.#isReordering
  }

  /** A segment arrived. One sent again faster than any round trip was acknowledged for its first time. */
  handleDelivered(segment: Segment, minRttMs: number, now: Instant): void {
    const rttMs = now - segment.sentAt
    if (segment.transmissions > 1 && rttMs < minRttMs) return
    if (segment.order <= this.#order) return
    this.#order = segment.order
    this.#sentAt = segment.sentAt
    this.#rttMs = rttMs
  }

  /** A segment sent once arrived after one sent later had. */
  handleReordered(): void {
    this.#isReordering = true
  }

  /** The peer got a segment twice: what was sent again had only been late. At most once per round trip. */
  handleDuplicate(): void {
    this.#steps = Math.min(REORDER_STEPS_MAX, this.#steps + 1)
    this.#persist = PERSIST_RECOVERIES
  }

  handleRecoveryEnd(): void {
    if (this.#persist > 0 && --this.#persist === 0) this.#steps = 1
  }

  /** Time in ms that a segment may be later than those sent after it (RFC 8985 §6.2, step 4). */
  windowMs(sackedCount: number, isRecovering: boolean, minRttMs: number, srttMs: number): number {
    if (!this.#isReordering && (isRecovering || sackedCount >= DUP_THRESH)) return 0
    return Math.min((this.#steps * minRttMs) / 4, srttMs)
  }

  /** The path changed. */
  reset(): void {
    this.#isReordering = false
    this.#steps = 1
    this.#persist = 0
  }
}
