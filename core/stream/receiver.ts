/**
 * The receiving half of a connection: where the peer's stream stands, what to acknowledge and when, and
 * which window to advertise (spec/03 §4, §4.1, §5).
 */
import type { Instant } from '../machine.ts'
import { sackBytes } from '../wire/sack.ts'
import { serialAdd, serialDistance } from '../wire/serial.ts'
import type { MemoryBudget } from './memory-budget.ts'
import { ReceiveBuffer } from './receive-buffer.ts'
import { type ConnectionTuning, LEGACY_WINDOW_SLOTS, WINDOW_SLOT_BYTES } from './tuning.ts'
import { WindowTuner } from './window-tuner.ts'

const NEVER = Number.POSITIVE_INFINITY
/** Segments shorter than this end a write: no sender has a smaller MSS (spec/03 §4). */
const SHORT_SEGMENT_BYTES = 1024
/** Segments longer than this are on a path that carries large frames. */
const LARGE_SEGMENT_BYTES = 4096
/** Pure ACKs of one number before a block is added, so that none counts as a duplicate (spec/03 §7.6). */
const SAME_ACK_MAX = 2

export class Receiver {
  readonly #tuning: ConnectionTuning
  /** Where the last gap was closed. */
  #stretchFrom = 0
  readonly #buffer: ReceiveBuffer
  readonly #tuner: WindowTuner
  #budget: MemoryBudget | undefined
  /** What of `#budget` is ours. */
  #accounted = 0
  /** Sequence number of the peer's first byte. */
  #first = 0
  /** The peer is known to be of our own kind: it reads window 0 as closed, and half-closes. */
  peerIsModern = false

  /** Offset of the peer's end of stream once a FIN told it. */
  #end: number | undefined
  #isEnded = false

  #pending = 0
  #pendingBytes = 0
  #ackAt: Instant = NEVER
  #ackNow = false
  #sackNow = false
  #advertisedSlots = 0
  #lastAck = -1
  #sameAcks = 0
  /** Received again, or last: what a block reports when the ACK alone says nothing new. */
  #duplicateLeft = 0
  #duplicateRight = 0
  #hasDuplicate = false
  #lastLeft = 0
  #lastRight = 0
  /** Where the latest piece was put out of order. */
  #lastHeld = -1

  bytesReceived = 0
  sacksSent = 0

  constructor(tuning: ConnectionTuning, budget?: MemoryBudget) {
    this.#budget = budget
    this.#tuner = new WindowTuner(tuning.receiveBufferBytes, tuning.receiveBufferMaxBytes)
    this.#tuning = tuning
    this.#buffer = new ReceiveBuffer(
      tuning.receiveBufferBytes,
      tuning.receiveReserveBytes,
      tuning.outOfOrderPiecesMax,
    )
  }

  /** The peer's initial sequence number is known. */
  start(synSeq: number): void {
    this.#first = serialAdd(synSeq, 1)
  }

  /** What the ack field of every packet says; one more once the peer's FIN was taken. */
  get ackNumber(): number {
    return serialAdd(this.#first, this.#buffer.next + (this.#isEnded ? 1 : 0))
  }
  get readableBytes(): number {
    return this.#buffer.readableBytes
  }
  get heldSegments(): number {
    return this.#buffer.heldPieces
  }
  /** True when every byte up to the peer's end of stream arrived. */
  get isEnded(): boolean {
    return this.#isEnded
  }
  /** True when a FIN arrived but bytes before it did not. */
  get isTruncated(): boolean {
    return this.#end !== undefined && !this.#isEnded
  }
  /** True while no byte of the peer has arrived in order. */
  get isEmpty(): boolean {
    return this.#buffer.next === 0
  }
  get offset(): number {
    return this.#buffer.next
  }

  /**
   * Free slots to advertise. At least 1 while the peer may be a reference, which reads 0 as "no limit"
   * (spec/03 §4); 0 to a peer that is known to stop at it.
   */
  get windowSlots(): number {
    const slots = Math.floor(this.windowBytes / WINDOW_SLOT_BYTES)
    return Math.min(0xffff, Math.max(this.peerIsModern ? 0 : 1, slots))
  }
  get windowBytes(): number {
    const free = this.#buffer.free
    return Math.max(0, Math.min(free, this.#budget?.freeBytes ?? free))
  }

  /** A data segment arrived. True when it extended the readable stream. */
  handleData(seq: number, payload: Uint8Array, now: Instant): boolean {
    const next = this.#buffer.next
    const offset = next + serialDistance(seq, serialAdd(this.#first, next))
    if (offset < 0) return false // before the stream's first byte: not of this connection
    let bytes = payload
    if (this.#end !== undefined && offset + payload.length > this.#end) {
      if (offset >= this.#end) return false // data after FIN is not delivered
      bytes = payload.subarray(0, this.#end - offset)
    }
    const right = offset + bytes.length
    const hadGap = this.#buffer.rangeCount > 0
    const result = this.#hasMemory(offset) ? this.#buffer.accept(offset, bytes) : 'full'
    this.#account()
    switch (result) {
      case 'delivered':
        this.bytesReceived += this.#buffer.next - next
        this.#lastLeft = Math.max(offset, next)
        this.#lastRight = this.#buffer.next
        this.#scheduleAck(hadGap, bytes.length, now)
        this.#checkEnd()
        return true
      case 'held':
        this.#lastHeld = offset
        this.#ackNow = this.#sackNow = true
        return false
      case 'duplicate':
        // A sender that missed our ACK stops once a block covers what it repeats (spec/03 §7.7).
        if (right <= next) {
          this.#duplicateLeft = offset
          this.#duplicateRight = right
          this.#hasDuplicate = true
        }
        this.#ackNow = this.#sackNow = true
        return false
      case 'full':
        // A reference takes silence for congestion and slows down; our own kind waits for a window.
        if (this.peerIsModern) this.#ackNow = true
        return false
    }
  }

  /**
   * A FIN arrived. Its number below bytes already here is a defect of G2 and cuts nothing (spec/03 §3).
   * Returns false when the number is outside anything this stream can have.
   */
  handleFin(seq: number): boolean {
    const next = this.#buffer.next
    const offset = next + serialDistance(seq, serialAdd(this.#first, next))
    const limit = this.#tuner.bytes + this.#tuning.receiveReserveBytes
    if (offset < 0 || offset > next + limit) return false
    if (this.#end === undefined) this.#end = Math.max(offset, this.#buffer.highest)
    this.#checkEnd()
    this.requestAck()
    return true
  }

  /** The peer's stream ends with what is here. */
  endHere(): void {
    if (this.#end === undefined) this.#end = this.#buffer.next
    this.#checkEnd()
  }

  /** An ACK is due at the end of this turn, unless something leaves before that tells it. */
  requestAckSoon(now: Instant): void {
    this.#ackAt = now
  }

  /** An ACK is due now. */
  requestAck(): void {
    this.#ackNow = true
  }

  /** Next bytes in order, over a path of this round trip; a window that was small and opened is announced. */
  read(rttMs: number, now: Instant): Uint8Array | undefined {
    const bytes = this.#buffer.read()
    if (bytes !== undefined) {
      if (this.#tuner.handleRead(bytes.length, rttMs, now)) this.#buffer.grow(this.#tuner.bytes)
      this.#account()
    }
    if (bytes !== undefined && !this.#isEnded) {
      const slots = this.windowSlots
      const gain = slots - this.#advertisedSlots
      if (slots >= 2 * this.#advertisedSlots && gain >= UPDATE_SLOTS) this.#ackNow = true
    }
    return bytes
  }

  get isAckDue(): boolean {
    return this.#ackNow
  }
  /** The ACK that is due carries blocks, so data cannot carry it. */
  get isSackDue(): boolean {
    return this.#sackNow && (this.#hasDuplicate || this.#buffer.rangeCount > 0)
  }

  /** A packet with our ack number and window leaves. */
  handleAckSent(slots: number): void {
    this.#ackNow = this.#sackNow = false
    this.#pending = this.#pendingBytes = 0
    this.#ackAt = NEVER
    this.#advertisedSlots = slots
  }

  /**
   * Writes the blocks a pure ACK should carry at `out[at..]` and returns their size, 0 for none: what was
   * received again, then the lowest ranges and the one that changed last, ascending (spec/03 §5).
   */
  writeSack(out: Uint8Array, at: number): number {
    const ack = this.ackNumber
    this.#sameAcks = ack === this.#lastAck ? this.#sameAcks + 1 : 1
    this.#lastAck = ack
    const ranges = this.#buffer.rangeCount
    const mayCount = !this.peerIsModern && this.#sameAcks > SAME_ACK_MAX
    if (!this.#hasDuplicate && ranges === 0 && mayCount) {
      this.#duplicateLeft = this.#lastLeft
      this.#duplicateRight = this.#lastRight
      this.#hasDuplicate = this.#lastRight > this.#lastLeft
    }
    let count = 0
    const body = at + sackBytes(0)
    if (this.#hasDuplicate) {
      this.#writeBlock(out, body, this.#duplicateLeft, this.#duplicateRight)
      count = 1
      this.#hasDuplicate = false
    }
    const room = SACK_BLOCKS - count
    const latest = ranges > room ? this.#buffer.rangeAt(this.#lastHeld) : -1
    for (let i = 0; i < ranges && count < SACK_BLOCKS; i++) {
      const index = latest > i && count === SACK_BLOCKS - 1 ? latest : i
      this.#writeBlock(
        out,
        body + 8 * count,
        this.#buffer.rangeLeft(index),
        this.#buffer.rangeRight(index),
      )
      count++
    }
    if (count === 0) return 0
    out[at] = 0x53
    out[at + 1] = 0x41
    out[at + 2] = 0x43
    out[at + 3] = 0x4b
    out[at + 4] = count
    this.sacksSent++
    return sackBytes(count)
  }

  handleTimeout(now: Instant): void {
    if (now < this.#ackAt) return
    this.#ackAt = NEVER
    this.#ackNow = true
  }

  get nextTimeoutAt(): Instant {
    return this.#ackAt
  }

  /** The connection is over: only bytes not yet read stay. */
  close(): void {
    this.#buffer.clearHeld()
    // What is left is the reader's: it can grow no more, and whether it will ever be read nobody knows.
    this.#budget?.change(-this.#accounted)
    this.#accounted = 0
    this.#budget = undefined
    this.#ackAt = NEVER
    this.#ackNow = this.#sackNow = false
  }

  /** Forgets unread bytes too. */
  discard(): void {
    this.#buffer.clear()
    this.close()
  }

  /** What the reader waits for is taken in any case, else streams whose memory is others' would never end. */
  #hasMemory(offset: number): boolean {
    if (this.#budget === undefined || this.#budget.freeBytes > 0) return true
    return offset <= this.#buffer.next && this.#buffer.readableBytes < WITHOUT_BUDGET_BYTES
  }

  #account(): void {
    if (this.#budget === undefined) return
    const { storedBytes } = this.#buffer
    if (storedBytes === this.#accounted) return
    this.#budget.change(storedBytes - this.#accounted)
    this.#accounted = storedBytes
  }

  #checkEnd(): void {
    if (this.#end !== undefined && this.#buffer.next >= this.#end) this.#isEnded = true
  }

  #scheduleAck(hadGap: boolean, length: number, now: Instant): void {
    if (hadGap) {
      this.#stretchFrom = this.#buffer.next
      this.#ackNow = true
      this.#sackNow = this.#buffer.rangeCount > 0
      return
    }
    const tuning = this.#tuning
    const { peerIsModern } = this
    this.#pending++
    this.#pendingBytes += length
    if (!peerIsModern && this.#buffer.free < WINDOW_SLOT_BYTES)
      this.#ackAt = Math.min(this.#ackAt, now + tuning.stalledAckDelayMs)
    else if (this.#pending >= this.#ackSegments(length) || this.#pendingBytes >= this.#stretchBytes)
      this.#ackNow = true
    else {
      // A reference always sends by Nagle: whatever it cut short waits for this ACK, and its segments may
      // be 4096 bytes, so that length alone does not tell (spec/03 §4.2).
      const isShort = length < SHORT_SEGMENT_BYTES || !peerIsModern
      const delay = isShort ? tuning.shortAckDelayMs : tuning.stretchAckDelayMs
      this.#ackAt = Math.min(this.#ackAt, now + delay)
    }
  }

  /** Large segments are counted by their bytes alone. */
  #ackSegments(length: number): number {
    const { ackEverySegments, stretchAckSegments, stretchAckSegmentsMax } = this.#tuning
    if (!this.peerIsModern) return ackEverySegments
    if (length > LARGE_SEGMENT_BYTES) return Number.POSITIVE_INFINITY
    const soundBytes = this.#buffer.next - this.#stretchFrom
    return Math.min(Math.max(stretchAckSegments, soundBytes / STRETCH_BYTES), stretchAckSegmentsMax)
  }

  get #stretchBytes(): number {
    const { stretchAckBytes, stretchAckBytesMax } = this.#tuning
    return Math.min(Math.max(stretchAckBytes, this.#buffer.next / 16), stretchAckBytesMax)
  }

  #writeBlock(out: Uint8Array, at: number, left: number, right: number): void {
    write32(out, at, serialAdd(this.#first, left))
    write32(out, at + 4, serialAdd(this.#first, right))
  }
}

const SACK_BLOCKS = 4
/** Bytes without a gap that let one segment more share an ACK: by then the peer's window is many times as large. */
const STRETCH_BYTES = 65_536
/** Unread bytes that a stream may hold when the node has none left to give. */
const WITHOUT_BUDGET_BYTES = 65_536
/** A window update is worth a packet when this much opened (64 KiB). */
const UPDATE_SLOTS = 16

/** True for a window only our own kind, which counts 0 as closed, advertises. */
export function isModernWindow(slots: number): boolean {
  return slots > LEGACY_WINDOW_SLOTS
}

function write32(out: Uint8Array, at: number, value: number): void {
  out[at] = value >>> 24
  out[at + 1] = value >>> 16
  out[at + 2] = value >>> 8
  out[at + 3] = value
}
