/**
 * The segments sent and not acknowledged, and what is known of each: the scoreboard of RFC 6675, on which losses
 * are found by time (RFC 8985). Segments keep the boundaries they were first sent with (spec/03 §4). Bytes in flight
 * are counted, never summed; every segment is judged once per transmission.
 */
import type { Instant } from '../machine.ts'
import { DeliveryRate } from './delivery-rate.ts'
import { Rack } from './rack.ts'
import { Retransmissions } from './retransmissions.ts'
import { type Segment, SegmentRing } from './segment-ring.ts'

const NEVER = Number.POSITIVE_INFINITY

export class InFlight {
  readonly rack: Rack = new Rack()
  readonly rate: DeliveryRate = new DeliveryRate()
  readonly #ring = new SegmentRing()
  readonly #retransmissions = new Retransmissions()

  #bytes = 0
  #pipe = 0
  #sackedCount = 0
  #lostCount = 0
  #order = 0

  /** One past the highest sacked index. */
  #sackedEnd = 0
  /** Segments below this index have been judged by their first transmission. */
  #judgedEnd = 0
  /** No lost segment has an index below this one. */
  #lostFrom = 0

  /** Bytes lost since the owner set it to 0. */
  lostBytes = 0
  /** Since `beginAck`: bytes delivered, and when the latest of them sent once was sent (-1 for none). */
  deliveredBytes = 0
  deliveredSentAt: Instant = -1
  /** Since `beginAck`: segments that arrived although they counted as lost and were not sent again. */
  wronglyLost = 0
  /** When the segment judged last will be lost unless it arrives; Infinity when none is awaited. */
  dueAt: Instant = NEVER
  #minRttMs = 0
  #now: Instant = 0
  /** `#sackedEnd` before the acknowledgement at hand. */
  #sackedBefore = 0

  get count(): number {
    return this.#ring.count
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
    return this.count === 0 ? undefined : this.#ring.at(this.#ring.head)
  }
  get newest(): Segment | undefined {
    return this.count === 0 ? undefined : this.#ring.at(this.#ring.tail - 1)
  }

  /** A segment leaves for the first time. */
  push(offset: number, length: number, now: Instant): void {
    const isAlone = this.count === 0
    const segment = this.#ring.push()
    segment.offset = offset
    segment.length = length
    segment.sentAt = now
    segment.transmissions = 1
    segment.order = ++this.#order
    segment.isSacked = false
    segment.isLost = false
    segment.sackedTo = 0
    this.rate.handleSent(segment, isAlone, now)
    this.#bytes += length
    this.#pipe += length
  }

  /** Before the cumulative and selective parts of one acknowledgement are applied. */
  beginAck(minRttMs: number, now: Instant): void {
    this.deliveredBytes = this.wronglyLost = 0
    this.deliveredSentAt = -1
    this.#minRttMs = minRttMs
    this.#now = now
    this.#sackedBefore = this.#sackedEnd
    this.rate.beginAck()
  }

  /** Everything below `offset` arrived. A segment half covered is cut, so that it starts where the peer waits. */
  acknowledge(offset: number): void {
    while (this.#ring.head < this.#ring.tail) {
      const segment = this.#ring.at(this.#ring.head)
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
        this.#delivered(segment, this.#ring.head)
        if (segment.isLost) this.#lostCount--
      }
      this.#ring.head++
    }
  }

  /** Everything from `left` to `right` arrived. Only whole segments are marked. */
  sack(left: number, right: number): void {
    const first = this.#ring.lowerBound(left)
    let index = first
    while (index < this.#ring.tail) {
      const segment = this.#ring.at(index)
      if (segment.offset + segment.length > right) break
      if (segment.isSacked) {
        index = Math.max(index + 1, segment.sackedTo)
        continue
      }
      segment.isSacked = true
      this.#sackedCount++
      this.deliveredBytes += segment.length
      this.#delivered(segment, index)
      if (segment.isLost) {
        segment.isLost = false
        this.#lostCount--
      } else this.#pipe -= segment.length
      index++
    }
    if (index === first) return
    this.#ring.at(first).sackedTo = index
    if (index > this.#sackedEnd) this.#sackedEnd = index
  }

  /**
   * Marks as lost what is later than `windowMs` behind segments sent after it (RFC 8985 §6.2, step 5); true when
   * something newly is. `dueAt` then tells when the next will be, if nothing arrives.
   */
  detectLosses(windowMs: number, now: Instant): boolean {
    this.dueAt = NEVER
    const ring = this.#ring
    let found = false
    let index = Math.max(ring.head, this.#judgedEnd)
    for (; index < ring.tail; index++) {
      const segment = ring.at(index)
      if (segment.transmissions > 1 || segment.isSacked || segment.isLost) continue
      if (!this.#isOverdue(segment, windowMs, now)) break
      if (this.#lose(index)) found = true
    }
    this.#judgedEnd = index
    const again = this.#retransmissions
    for (; !again.isEmpty; again.shift()) {
      const at = again.index
      if (at < ring.head) continue
      const segment = ring.at(at)
      if (segment.order !== again.order || segment.isSacked || segment.isLost) continue
      if (!this.#isOverdue(segment, windowMs, now)) break
      if (this.#lose(at)) found = true
    }
    return found
  }

  /** The oldest segment is missing although nothing was sacked (duplicate ACKs). */
  loseOldest(): boolean {
    return this.#ring.head < this.#ring.tail && this.#lose(this.#ring.head)
  }

  /** Nothing that is under way will arrive. */
  loseAll(): void {
    if (this.oldest?.isSacked === true) this.#forgetSacks()
    for (let i = this.#ring.head; i < this.#ring.tail; i++) this.#lose(i)
    this.#judgedEnd = this.#ring.tail
    this.#retransmissions.clear()
  }

  /**
   * The timer expired: the oldest is lost, and what is overdue behind it (RFC 8985 §6.3). When the oldest is sacked
   * and yet not acknowledged the peer took its word back, and no mark counts any more (RFC 2018 §8).
   */
  loseOverdue(windowMs: number, now: Instant): void {
    if (this.oldest?.isSacked === true) this.#forgetSacks()
    const { head, tail } = this.#ring
    const limit = this.rack.rttMs + windowMs
    for (let i = head; i < tail; i++)
      if (i === head || now - this.#ring.at(i).sentAt >= limit) this.#lose(i)
  }

  /** The timer expired too early: what was not sent again since is still under way (compare RFC 5682). */
  findAll(): void {
    if (this.#lostCount === 0) return
    const { head, tail } = this.#ring
    for (let i = head; i < tail; i++) {
      const segment = this.#ring.at(i)
      if (!segment.isLost || segment.transmissions > 1) continue
      segment.isLost = false
      this.#lostCount--
      this.#pipe += segment.length
    }
    this.#judgedEnd = head
  }

  /** Nothing is in flight, nor was for long. */
  shrink(): void {
    this.#ring.shrink()
    if (this.count === 0) this.#retransmissions.clear()
  }

  /** The path carries less than before: what leaves again does so in pieces of at most `maxBytes`, the one case in which boundaries change. */
  cut(maxBytes: number): void {
    const before: Segment[] = []
    for (let i = this.#ring.head; i < this.#ring.tail; i++) before.push({ ...this.#ring.at(i) })
    if (before.every(({ length }) => length <= maxBytes)) return
    const judged = this.#judgedEnd - this.#ring.head
    this.clear()
    for (const [index, segment] of before.entries()) {
      for (let done = 0; done < segment.length; done += maxBytes)
        this.#pushCopy(segment, done, Math.min(maxBytes, segment.length - done))
      if (index < judged) this.#judgedEnd = this.#ring.tail
    }
  }

  /** The lost segment to send next. */
  nextLost(): Segment | undefined {
    if (this.#lostCount === 0) return undefined
    let index = Math.max(this.#lostFrom, this.#ring.head)
    while (index < this.#ring.tail && !this.#ring.at(index).isLost) index++
    this.#lostFrom = index
    return index < this.#ring.tail ? this.#ring.at(index) : undefined
  }

  /** What `nextLost` gave leaves again. */
  retransmitLost(now: Instant): void {
    const index = this.#lostFrom
    const segment = this.#ring.at(index)
    segment.isLost = false
    this.#lostCount--
    this.#pipe += segment.length
    this.#resent(segment, index, now)
  }

  /** The newest segment leaves again as a probe. */
  retransmitNewest(now: Instant): void {
    this.#resent(this.#ring.at(this.#ring.tail - 1), this.#ring.tail - 1, now)
  }

  clear(): void {
    this.#ring.clear()
    this.#bytes = this.#pipe = this.#sackedCount = this.#lostCount = 0
    this.#sackedEnd = this.#judgedEnd = this.#lostFrom = 0
    this.#retransmissions.clear()
  }

  #pushCopy(of: Segment, from: number, length: number): void {
    const { sentAt, transmissions, order, isSacked, isLost } = of
    this.push(of.offset + from, length, sentAt)
    Object.assign(this.#ring.at(this.#ring.tail - 1), { transmissions, order, isSacked, isLost })
    if (isSacked) {
      this.#sackedCount++
      this.#sackedEnd = this.#ring.tail
    }
    if (isLost) this.#lostCount++
    if (isSacked || isLost) this.#pipe -= length
    if (transmissions > 1) this.#retransmissions.push(this.#ring.tail - 1, order)
  }

  #resent(segment: Segment, index: number, now: Instant): void {
    segment.transmissions++
    segment.sentAt = now
    segment.order = ++this.#order
    this.rate.handleSent(segment, false, now)
    this.#retransmissions.push(index, segment.order)
  }

  #delivered(segment: Segment, index: number): void {
    this.rate.handleDelivered(segment, this.#now)
    this.rack.handleDelivered(segment, this.#minRttMs, this.#now)
    if (segment.isLost) this.wronglyLost++
    if (segment.transmissions > 1) return
    if (segment.sentAt > this.deliveredSentAt) this.deliveredSentAt = segment.sentAt
    // One sent after it arrived at least a round ago (RFC 8985 §6.2, step 3).
    if (index < this.#sackedBefore) this.rack.handleReordered()
  }

  #forgetSacks(): void {
    for (let i = this.#ring.head; i < this.#ring.tail; i++) {
      const segment = this.#ring.at(i)
      if (!segment.isSacked) continue
      segment.isSacked = false
      segment.sackedTo = 0
      this.#pipe += segment.length
    }
    this.#sackedCount = 0
    this.#sackedEnd = 0
    this.#judgedEnd = this.#ring.head
  }

  /** `now - sentAt` is compared, not a sum: of two equal times neither comes out later. */
  #isOverdue(segment: Segment, windowMs: number, now: Instant): boolean {
    const { rack } = this
    if (segment.order >= rack.order) return false
    const limit = rack.rttMs + windowMs
    if (now - segment.sentAt >= limit) return true
    this.dueAt = Math.min(this.dueAt, segment.sentAt + limit)
    return false
  }

  #lose(index: number): boolean {
    const segment = this.#ring.at(index)
    if (segment.isSacked || segment.isLost) return false
    segment.isLost = true
    this.#lostCount++
    this.#pipe -= segment.length
    this.lostBytes += segment.length
    if (index < this.#lostFrom) this.#lostFrom = index
    return true
  }
}
