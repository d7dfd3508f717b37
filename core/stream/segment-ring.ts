/** Records of segments in flight: a ring that grows by doubling and is reused, so that sending allocates nothing. */
import type { Instant } from '../machine.ts'

export interface Segment {
  /** Stream offset of the first byte. */
  offset: number
  length: number
  /** Of its last transmission. */
  sentAt: Instant
  transmissions: number
  /** Number of its last transmission among all of this connection. */
  order: number
  isSacked: boolean
  isLost: boolean
  /** When sacked: all segments up to this index are sacked too. 0 when unknown. */
  sackedTo: number
  /** What `DeliveryRate` knew when it left last. */
  delivered: number
  deliveredAt: Instant
  firstSentAt: Instant
  isAppLimited: boolean
}

/** Of all that is empty. */
const NONE: Segment[] = []

/** Indices count from the first segment ever, so that they stay valid while others come and go. */
export class SegmentRing {
  #ring: Segment[] = NONE
  head = 0
  tail = 0

  get count(): number {
    return this.tail - this.head
  }

  at(index: number): Segment {
    return this.#ring[index & (this.#ring.length - 1)]!
  }

  /** The record after the newest; its fields are those of whatever it held before. */
  push(): Segment {
    if (this.count === this.#ring.length) this.#grow()
    return this.at(this.tail++)
  }

  /** Index of the first segment that starts at or after `offset`. */
  lowerBound(offset: number): number {
    let low = this.head
    let high = this.tail
    while (low < high) {
      const middle = low + ((high - low) >>> 1)
      if (this.at(middle).offset < offset) low = middle + 1
      else high = middle
    }
    return low
  }

  /** Gives its memory back while nothing is in flight. */
  shrink(): void {
    if (this.count === 0) this.#ring = NONE
  }

  clear(): void {
    this.#ring = NONE
    this.head = this.tail = 0
  }

  #grow(): void {
    const size = Math.max(1, this.#ring.length * 2)
    const ring: Segment[] = new Array(size)
    for (let i = 0; i < size; i++) {
      const index = this.head + i
      ring[index & (size - 1)] = index < this.tail ? this.at(index) : blank()
    }
    this.#ring = ring
  }
}

function blank(): Segment {
  return {
    offset: 0,
    length: 0,
    sentAt: 0,
    transmissions: 0,
    order: 0,
    isSacked: false,
    isLost: false,
    sackedTo: 0,
    delivered: 0,
    deliveredAt: 0,
    firstSentAt: 0,
    isAppLimited: false,
  }
}
