/**
 * The segments sent and not acknowledged, and what is known of each: the scoreboard of RFC 6675. Segments
 * keep the boundaries they were first sent with (spec/03 §4). Records live in a ring and are reused; bytes
 * in flight are counted, never summed.
 */
import type { Instant } from '../machine.ts'

export interface Segment {
  /** Stream offset of the first byte. */
  offset: number
  length: number
  sentAt: Instant
  transmissions: number
  /** Number of its last transmission among all of this connection. */
  order: number
  isSacked: boolean
  isLost: boolean
  /** When sacked: all segments up to this index are sacked too. 0 when unknown. */
  sackedTo: number
}

/** RFC 6675 §2. */
const DUP_THRESH = 3

export class InFlight {
  #ring: Segment[] = []
  #head = 0
  #tail = 0

  #bytes = 0
  #pipe = 0
  #sackedCount = 0
  #lostCount = 0
  #order = 0

  /** One past the highest sacked index. */
  #sackedEnd = 0
  /** Below this index the three-sacked-above rule has been applied. */
  #judgedEnd = 0
  /** No lost segment has an index below this one. */
  #lostFrom = 0
  /** Retransmissions in the order they were made: (index, order) pairs. */
  #retransmissions: number[] = []
  #retransmissionsHead = 0

  /** Since `beginAck`: bytes delivered, and when the latest of them sent once was sent (-1 for none). */
  deliveredBytes = 0
  deliveredSentAt: Instant = -1
  #deliveredOrder = 0
  #minRttMs = 0
  #now: Instant = 0

  get count(): number {
    return this.#tail - this.#head
  }
  /** Payload bytes outstanding. */
  get bytes(): number {
    return this.#bytes
  }
  /** Bytes thought to be in the network: outstanding, neither sacked nor lost (RFC 6675 §4). */
  get pipe(): number {
    return this.#pipe
  }
  get sackedCount(): number {
    return this.#sackedCount
  }
  get lostCount(): number {
    return this.#lostCount
  }
  get oldest(): Segment | undefined {
    return this.#head === this.#tail ? undefined : this.#at(this.#head)
  }
  get newest(): Segment | undefined {
    return this.#head === this.#tail ? undefined : this.#at(this.#tail - 1)
  }

  /** A segment leaves for the first time. */
  push(offset: number, length: number, now: Instant): void {
    if (this.count === this.#ring.length) this.#grow()
    const segment = this.#at(this.#tail++)
    segment.offset = offset
    segment.length = length
    segment.sentAt = now
    segment.transmissions = 1
    segment.order = ++this.#order
    segment.isSacked = false
    segment.isLost = false
    segment.sackedTo = 0
    this.#bytes += length
    this.#pipe += length
  }

  /** Before the cumulative and selective parts of one acknowledgement are applied. */
  beginAck(minRttMs: number, now: Instant): void {
    this.deliveredBytes = 0
    this.deliveredSentAt = -1
    this.#minRttMs = minRttMs
    this.#now = now
  }

  /** Everything below `offset` arrived. A segment half covered is cut, so that it starts where the peer waits. */
  acknowledge(offset: number): void {
    while (this.#head < this.#tail) {
      const segment = this.#at(this.#head)
      const covered = Math.min(segment.length, offset - segment.offset)
      if (covered <= 0) return
      this.#bytes -= covered
      if (!segment.isSacked) {
        this.deliveredBytes += covered
        if (!segment.isLost) this.#pipe -= covered
      }
      if (covered < segment.length) {
        segment.offset += covered
        segment.length -= covered
        return
      }
      if (segment.isSacked) this.#sackedCount--
      else {
        if (segment.isLost) this.#lostCount--
        this.#delivered(segment)
      }
      this.#head++
    }
  }

  /** Everything from `left` to `right` arrived. Only whole segments are marked. */
  sack(left: number, right: number): void {
    const first = this.#lowerBound(left)
    let index = first
    while (index < this.#tail) {
      const segment = this.#at(index)
      if (segment.offset + segment.length > right) break
      if (segment.isSacked) {
        index = Math.max(index + 1, segment.sackedTo)
        continue
      }
      segment.isSacked = true
      this.#sackedCount++
      this.deliveredBytes += segment.length
      if (segment.isLost) {
        segment.isLost = false
        this.#lostCount--
      } else this.#pipe -= segment.length
      this.#delivered(segment)
      index++
    }
    if (index === first) return
    this.#at(first).sackedTo = index
    if (index > this.#sackedEnd) this.#sackedEnd = index
  }

  /** Marks what must be lost by now; true when something newly is. */
  detectLosses(): boolean {
    let found = false
    if (this.#sackedCount >= DUP_THRESH) {
      let above = 0
      let index = this.#sackedEnd
      while (index > this.#head && above < DUP_THRESH) if (this.#at(--index).isSacked) above++
      for (let i = Math.max(this.#head, this.#judgedEnd); i < index; i++)
        if (this.#lose(i)) found = true
      if (index > this.#judgedEnd) this.#judgedEnd = index
    }
    if (this.#detectLostRetransmissions()) found = true
    return found
  }

  /** Time has shown that what is missing below a sacked segment was not merely late; true when something is. */
  loseBelowSacked(): boolean {
    let found = false
    for (let i = Math.max(this.#head, this.#judgedEnd); i < this.#sackedEnd; i++)
      if (this.#lose(i)) found = true
    if (this.#sackedEnd > this.#judgedEnd) this.#judgedEnd = this.#sackedEnd
    return found
  }

  /** The oldest segment is missing although nothing was sacked (duplicate ACKs). */
  loseOldest(): boolean {
    return this.#head < this.#tail && this.#lose(this.#head)
  }

  /**
   * The timer expired: all that is not sacked is lost. When the oldest is sacked and yet not acknowledged
   * the peer took its word back, and no mark counts any more (RFC 2018 §8).
   */
  loseAll(): void {
    if (this.oldest?.isSacked === true) {
      for (let i = this.#head; i < this.#tail; i++) {
        const segment = this.#at(i)
        if (!segment.isSacked) continue
        segment.isSacked = false
        segment.sackedTo = 0
        this.#pipe += segment.length
      }
      this.#sackedCount = 0
      this.#sackedEnd = 0
    }
    for (let i = this.#head; i < this.#tail; i++) this.#lose(i)
    this.#judgedEnd = this.#tail
    this.#retransmissions.length = 0
    this.#retransmissionsHead = 0
  }

  /** The path carries less than before: what leaves again does so in pieces of at most `maxBytes`, the one case in which boundaries change. */
  cut(maxBytes: number): void {
    const before: Segment[] = []
    for (let i = this.#head; i < this.#tail; i++) before.push({ ...this.#at(i) })
    if (before.every(({ length }) => length <= maxBytes)) return
    const judged = this.#judgedEnd - this.#head
    this.clear()
    for (const [index, segment] of before.entries()) {
      for (let done = 0; done < segment.length; done += maxBytes)
        this.#pushCopy(segment, done, Math.min(maxBytes, segment.length - done))
      if (index < judged) this.#judgedEnd = this.#tail
    }
  }

  /** The lost segment to send next. */
  nextLost(): Segment | undefined {
    if (this.#lostCount === 0) return undefined
    let index = Math.max(this.#lostFrom, this.#head)
    while (index < this.#tail && !this.#at(index).isLost) index++
    this.#lostFrom = index
    return index < this.#tail ? this.#at(index) : undefined
  }

  /** What `nextLost` gave leaves again. */
  retransmitLost(now: Instant): void {
    const index = this.#lostFrom
    const segment = this.#at(index)
    segment.isLost = false
    this.#lostCount--
    this.#pipe += segment.length
    this.#resent(segment, index, now)
  }

  /** The newest segment leaves again as a probe. */
  retransmitNewest(now: Instant): void {
    this.#resent(this.#at(this.#tail - 1), this.#tail - 1, now)
  }

  clear(): void {
    this.#ring = []
    this.#head = this.#tail = 0
    this.#bytes = this.#pipe = this.#sackedCount = this.#lostCount = 0
    this.#sackedEnd = this.#judgedEnd = this.#lostFrom = 0
    this.#retransmissions.length = 0
    this.#retransmissionsHead = 0
  }

  #pushCopy(of: Segment, from: number, length: number): void {
    const { sentAt, transmissions, order, isSacked, isLost } = of
    this.push(of.offset + from, length, sentAt)
    Object.assign(this.#at(this.#tail - 1), { transmissions, order, isSacked, isLost })
    if (isSacked) {
      this.#sackedCount++
      this.#sackedEnd = this.#tail
    }
    if (isLost) this.#lostCount++
    if (isSacked || isLost) this.#pipe -= length
  }

  #resent(segment: Segment, index: number, now: Instant): void {
    segment.transmissions++
    segment.sentAt = now
    segment.order = ++this.#order
    this.#retransmissions.push(index, segment.order)
  }

  #delivered(segment: Segment): void {
    // A segment sent again counts as delivered by its last transmission only if a round trip has passed.
    if (segment.transmissions === 1) {
      if (segment.sentAt > this.deliveredSentAt) this.deliveredSentAt = segment.sentAt
    } else if (this.#now - segment.sentAt < this.#minRttMs) return
    if (segment.order > this.#deliveredOrder) this.#deliveredOrder = segment.order
  }

  /** A retransmission is lost when something sent three transmissions later arrived. */
  #detectLostRetransmissions(): boolean {
    const queue = this.#retransmissions
    let found = false
    while (this.#retransmissionsHead < queue.length) {
      const index = queue[this.#retransmissionsHead]!
      const order = queue[this.#retransmissionsHead + 1]!
      if (order + DUP_THRESH > this.#deliveredOrder) break
      this.#retransmissionsHead += 2
      if (index >= this.#head && this.#at(index).order === order && this.#lose(index)) found = true
    }
    if (this.#retransmissionsHead === queue.length) queue.length = this.#retransmissionsHead = 0
    else if (this.#retransmissionsHead > 256) {
      queue.splice(0, this.#retransmissionsHead)
      this.#retransmissionsHead = 0
    }
    return found
  }

  #lose(index: number): boolean {
    const segment = this.#at(index)
    if (segment.isSacked || segment.isLost) return false
    segment.isLost = true
    this.#lostCount++
    this.#pipe -= segment.length
    if (index < this.#lostFrom) this.#lostFrom = index
    return true
  }

  /** Index of the first segment that starts at or after `offset`. */
  #lowerBound(offset: number): number {
    let low = this.#head
    let high = this.#tail
    while (low < high) {
      const middle = low + ((high - low) >>> 1)
      if (this.#at(middle).offset < offset) low = middle + 1
      else high = middle
    }
    return low
  }

  #at(index: number): Segment {
    return this.#ring[index & (this.#ring.length - 1)]!
  }

  #grow(): void {
    const size = Math.max(16, this.#ring.length * 2)
    const ring: Segment[] = new Array(size)
    for (let i = 0; i < size; i++) {
      const index = this.#head + i
      ring[index & (size - 1)] = index < this.#tail ? this.#at(index) : blank()
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
  }
}
