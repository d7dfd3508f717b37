/**
 * The sending half of a connection: what is written, what is in flight and what may leave now. What is lost is
 * `recovery.ts`'s to say, how much may leave `allowance.ts`'s.
 */
import type { Instant } from '../machine.ts'
import { serialAdd, serialDistance } from '../wire/serial.ts'
import { AckDigest } from './ack-digest.ts'
import { Allowance } from './allowance.ts'
import { FAST_RTT_MS } from './congestion.ts'
import { InFlight } from './in-flight.ts'
import { type PathChange, PathTransition } from './path-transition.ts'
import { PeerWindow } from './peer-window.ts'
import { Recovery } from './recovery.ts'
import { RttEstimator } from './rtt-estimator.ts'
import { blockCount, blockLeft, blockRight, resemblesSack } from './sack-blocks.ts'
import { SendBuffer } from './send-buffer.ts'
import type { ConnectionTuning } from './tuning.ts'

const NEVER = Number.POSITIVE_INFINITY
/** A probe of a closed window carries this much. */
const PERSIST_BYTES = 64
/** A first piece this long can not be taken for a SACK, nor can what follows it (spec/03 §5). */
const LOOKALIKE_CUT_BYTES = 4

export class Sender {
  readonly #tuning: ConnectionTuning
  readonly #buffer: SendBuffer
  readonly #inFlight = new InFlight()
  readonly #rtt: RttEstimator
  readonly #transition = new PathTransition()
  readonly #window: PeerWindow
  readonly #allowance: Allowance
  readonly #recovery: Recovery
  readonly #digest: AckDigest
  /** Sequence number of our first byte. */
  readonly #first: number

  /** Everything below is acknowledged; everything below `#next` was sent. */
  #una = 0
  #next = 0
  #hasRoomWaiter = false

  #duplicateAcks = 0
  #hasSack = false
  #nagleAt: Instant = NEVER
  #lastSentAt: Instant
  #lastHeardAt: Instant

  /** Sequence number and freshness of what `next` wrote. */
  segmentSeq = 0

  bytesSent = 0
  segmentsSent = 0
  retransmits = 0
  fastRetransmits = 0
  sacksReceived = 0
  duplicateAcks = 0

  constructor(isn: number, tuning: ConnectionTuning, now: Instant) {
    this.#tuning = tuning
    this.#first = serialAdd(isn, 1)
    this.#buffer = new SendBuffer(tuning.sendBufferBytes)
    this.#rtt = new RttEstimator(tuning)
    this.#window = new PeerWindow(tuning)
    this.#lastSentAt = this.#lastHeardAt = now
    const inFlight = this.#inFlight
    const rtt = this.#rtt
    const transition = this.#transition
    this.#allowance = new Allowance({ tuning, inFlight, rtt, window: this.#window, transition })
    const { congestion } = this.#allowance
    this.#recovery = new Recovery(inFlight, rtt, congestion, transition, tuning)
    this.#digest = new AckDigest(inFlight, rtt, transition)
  }

  get cwnd(): number {
    return this.#allowance.congestion.cwnd
  }
  get ssthresh(): number {
    return this.#allowance.congestion.ssthresh
  }
  get rtt(): RttEstimator {
    return this.#rtt
  }
  get inRecovery(): boolean {
    return this.#recovery.phase !== 'open'
  }
  get inFlightBytes(): number {
    return this.#inFlight.bytes
  }
  get inFlightSegments(): number {
    return this.#inFlight.count
  }
  /** What the peer has room for (spec/10 §1). */
  get peerWindowBytes(): number {
    return this.#allowance.peerWindowBytes
  }
  /** Largest payload that a segment made now has. */
  get segmentBytes(): number {
    return this.#allowance.segmentBytes
  }
  get free(): number {
    return this.#buffer.free
  }
  /** Sequence number after everything sent. */
  get nextSeq(): number {
    return serialAdd(this.#first, this.#next)
  }
  /** True when every written byte was acknowledged. */
  get isDrained(): boolean {
    return this.#una === this.#buffer.end
  }
  /** Offset after everything acknowledged. */
  get offset(): number {
    return this.#una
  }

  /** Something written was never sent. */
  get hasUnsent(): boolean {
    return this.#next < this.#buffer.end
  }

  /** Copies the first bytes of the stream, for a SYN. They do not count as sent. */
  copyFirst(out: Uint8Array, at: number, max: number): number {
    const length = Math.min(max, this.segmentBytes, this.#buffer.end)
    this.#buffer.copy(0, length, out, at)
    return length
  }

  /** The answer to the SYN says that so many bytes came with it. */
  startAt(bytes: number): void {
    this.#una = this.#next = bytes
    this.#buffer.release(bytes)
    this.bytesSent += bytes
    if (bytes > 0) this.segmentsSent++
  }

  /** Window of a SYN or SYN-ACK; 0 says nothing (spec/03 §4). */
  start(slots: number, synSeq: number): void {
    this.#window.start(slots, synSeq)
  }

  /** Copies what fits. After a short write `takeRoom` tells once when there is room again. */
  write(data: Uint8Array): number {
    const taken = this.#buffer.append(data)
    if (taken < data.length) this.#hasRoomWaiter = true
    return taken
  }

  /** True once when a short write was followed by a quarter of the buffer becoming free. */
  takeRoom(): boolean {
    if (!this.#hasRoomWaiter || this.#buffer.free < this.#buffer.limit / 4) return false
    this.#hasRoomWaiter = false
    return true
  }

  /** True when `ack` is nothing this connection can have caused. */
  isBeyond(ack: number): boolean {
    return this.#una + serialDistance(ack, serialAdd(this.#first, this.#una)) > this.#next
  }

  /** True when every block lies within what was sent (spec/03 §5): else the payload is user data. */
  areOurs(sack: Uint8Array): boolean {
    for (let i = 0; i < blockCount(sack); i++) {
      const left = this.#offsetOf(blockLeft(sack, i))
      const right = this.#offsetOf(blockRight(sack, i))
      if (left < 0 || left >= right || right > this.#next) return false
    }
    return true
  }

  /**
   * Applies ack number, window and the blocks of `sack` (`undefined` for any other payload) of a segment.
   * `isEmpty` when it had no payload. An ack beyond what was sent must have been turned away before.
   */
  handleAck(
    seq: number,
    ack: number,
    slots: number,
    isEmpty: boolean,
    sack: Uint8Array | undefined,
    now: Instant,
  ): void {
    const acked = this.#offsetOf(ack)
    this.#lastHeardAt = now
    if (acked < this.#una) return
    const hadInFlight = this.#inFlight.count > 0
    const isNew = acked > this.#una
    const windowGrew = slots > this.#window.slots
    const wasKeepalive = slots === 0 && isEmpty && !isNew && !hadInFlight
    if (!wasKeepalive) this.#window.update(seq, slots, isNew)

    const flight = this.#inFlight.bytes
    this.#digest.begin(now)
    if (isNew) {
      this.#inFlight.acknowledge(acked)
      this.#buffer.release(acked)
      this.#una = acked
      this.#duplicateAcks = 0
    }
    if (sack !== undefined) this.#handleSack(sack, acked)
    else if (!isNew && isEmpty && hadInFlight && !windowGrew) {
      this.duplicateAcks++
      this.#duplicateAcks++
    }
    this.#digest.measure(now)
    if (isNew) this.#rtt.clearBackOff()
    // Without SACK there is only counting (RFC 5681 §3.2); every known peer reports gaps by SACK.
    const isCounted = !this.#hasSack && this.#duplicateAcks === 3
    this.#recovery.handleAck(acked, isNew, isEmpty, isCounted, flight, this.#next, now)
    this.#tellCongestion(now)
    this.#recovery.rearm(isNew, now)
    this.#schedulePersist(now)
  }

  /**
   * Copies the payload of the segment to send now to `out[at..]`, notes its number in `segmentSeq` and
   * returns its length; 0 when nothing may leave.
   */
  next(out: Uint8Array, at: number, now: Instant): number {
    const inFlight = this.#inFlight
    const recovery = this.#recovery
    if (recovery.isProbeDue) {
      recovery.isProbeDue = false
      const length = this.#sendProbe(out, at, now)
      if (length > 0) return length
    }
    const lost = inFlight.nextLost()
    if (lost === undefined) {
      const length = this.#newLength(now)
      return length === 0 || this.#allowance.isPaced(now) ? 0 : this.#sendNew(length, out, at, now)
    }
    const mayLeave =
      recovery.mustRetransmit ||
      (this.#allowance.fits(lost.length, now) && !this.#allowance.isPaced(now))
    if (!mayLeave) return 0
    inFlight.retransmitLost(now)
    this.retransmits++
    if (recovery.handleRetransmitted()) this.fastRetransmits++
    this.#buffer.copy(lost.offset, lost.length, out, at)
    this.#noteSent(lost.offset, lost.length, now)
    return lost.length
  }

  /** Returns `'timeout'` when the peer has not acknowledged a segment in all its transmissions. */
  handleTimeout(now: Instant): 'timeout' | undefined {
    this.#allowance.handleTimeout(now)
    if (now >= this.#nagleAt) this.#nagleAt = NEVER
    this.#window.handleTimeout(now)
    if (!this.#recovery.isTimedOut(now)) return undefined
    const { transmissionsMax, persistGiveUpMs } = this.#tuning
    if (this.#window.isClosed) {
      if (now - this.#lastHeardAt >= persistGiveUpMs) return 'timeout'
    } else if (this.#inFlight.oldest!.transmissions >= transmissionsMax) return 'timeout'
    this.#recovery.handleTimeout(this.#next, now)
    return undefined
  }

  get nextTimeoutAt(): Instant {
    return Math.min(
      this.#recovery.nextTimeoutAt,
      this.#allowance.pacedAt,
      this.#nagleAt,
      this.#window.nextTimeoutAt,
    )
  }

  /** The peer counts bytes as we do, and holds more than 128 segments out of order. */
  noteModernPeer(): void {
    this.#allowance.noteModernPeer()
  }

  /** Before the first packet on a path, or at a change. `undefined`: what every path carries. */
  setPathSegment(bytes: number | undefined): void {
    this.#allowance.setPathSegment(bytes)
  }

  /** The path changed: what was measured does not hold. */
  handlePathChange(now: Instant, { rttMs, isOldAlive = false }: PathChange = {}): void {
    const oldRttMs = this.#rtt.srttMs
    this.#rtt.reset(rttMs)
    this.#allowance.handlePathChange()
    this.#inFlight.rack.reset()
    this.#recovery.forgetUndo()
    if (isOldAlive) this.#transition.await(this.#inFlight.pipe, oldRttMs, now)
    else this.#transition.forget(now)
    if (this.#inFlight.count === 0) return
    if (isOldAlive) {
      this.#inFlight.cut(this.segmentBytes)
      this.#recovery.awaitOldPath(now)
      return
    }
    this.#inFlight.loseAll()
    this.#inFlight.lostBytes = 0 // not by congestion
    this.#inFlight.cut(this.segmentBytes)
    this.#inFlight.oldest!.transmissions = 1 // those on the old path say nothing of the new one
    this.#recovery.forgetOldPath(this.#next, now)
  }

  /** Nothing has been sent for long: memory of busier times is given back. */
  rest(): void {
    this.#inFlight.shrink()
  }

  /** The connection is over. */
  close(): void {
    this.#buffer.clear()
    this.#inFlight.clear()
    this.#una = this.#next = this.#buffer.end
    this.#window.stop()
    this.#recovery.stop()
    this.#allowance.stop()
    this.#nagleAt = NEVER
    this.#hasRoomWaiter = false
  }

  #offsetOf(seq: number): number {
    return this.#una + serialDistance(seq, serialAdd(this.#first, this.#una))
  }

  #handleSack(sack: Uint8Array, acked: number): void {
    this.sacksReceived++
    for (let i = 0; i < blockCount(sack); i++) {
      const left = this.#offsetOf(blockLeft(sack, i))
      const right = this.#offsetOf(blockRight(sack, i))
      if (right <= acked) this.#recovery.handleDuplicateReport(right)
      else {
        this.#hasSack = true
        this.#inFlight.sack(left, right)
      }
    }
  }

  #tellCongestion(now: Instant): void {
    const { congestion, isLimited } = this.#allowance
    this.#digest.tell(congestion, isLimited, this.#recovery.phase === 'recovery', now)
    // Half of it is under way, half of it is there to follow. Where round trips are short a cache's size is better.
    if (this.#rtt.minMs >= FAST_RTT_MS)
      this.#buffer.grow(Math.min(this.#tuning.sendBufferMaxBytes, 2 * congestion.cwnd))
  }

  /** Length of the new segment that may leave now, 0 for none. */
  #newLength(now: Instant): number {
    const left = this.#buffer.end - this.#next
    if (left === 0) return this.#waitForOthers(now)
    const { nagle, nagleMs } = this.#tuning
    const { segmentBytes } = this
    const inFlight = this.#inFlight
    if (this.#window.isProbeDue && inFlight.count === 0) return Math.min(left, PERSIST_BYTES)
    if (inFlight.count === 0 && now - this.#lastSentAt > this.#rtt.rtoMs && this.#next > 0)
      this.#allowance.congestion.handleIdle()
    const length = Math.min(left, segmentBytes, this.#allowance.room)
    if (length === 0) {
      this.#schedulePersist(now)
      return this.#waitForOthers(now)
    }
    if (!this.#allowance.fits(length, now)) return 0
    if (nagle && length < segmentBytes && inFlight.count > 0) {
      const due = this.#lastSentAt + nagleMs
      if (now < due) {
        this.#nagleAt = due
        return 0
      }
    }
    return length
  }

  #waitForOthers(now: Instant): number {
    this.#allowance.handleNothingToSend(now)
    return 0
  }

  #sendNew(wanted: number, out: Uint8Array, at: number, now: Instant): number {
    this.#window.handleProbeSent()
    this.#nagleAt = NEVER
    const offset = this.#next
    this.#buffer.copy(offset, wanted, out, at)
    const length = resemblesSack(out, at, wanted) ? LOOKALIKE_CUT_BYTES : wanted
    this.#inFlight.push(offset, length, now)
    this.#next += length
    this.bytesSent += length
    this.#noteSent(offset, length, now)
    this.#recovery.schedule(now)
    return length
  }

  #noteSent(offset: number, length: number, now: Instant): void {
    this.segmentSeq = serialAdd(this.#first, offset)
    this.segmentsSent++
    this.#lastSentAt = now
    this.#allowance.count(length, now)
    this.#recovery.handleSent(offset === this.#una, now)
  }

  /** One segment beyond the congestion window: new data if the peer has room, else the newest again. */
  #sendProbe(out: Uint8Array, at: number, now: Instant): number {
    const newest = this.#inFlight.newest
    if (newest === undefined || this.#recovery.phase !== 'open') return 0
    const left = this.#buffer.end - this.#next
    const wanted = Math.min(left, this.segmentBytes, this.#allowance.room)
    if (wanted > 0) {
      const length = this.#sendNew(wanted, out, at, now)
      this.#recovery.handleProbeSent(false, this.#next, now)
      return length
    }
    if (newest.isSacked) return 0
    this.#inFlight.retransmitNewest(now)
    this.retransmits++
    this.#buffer.copy(newest.offset, newest.length, out, at)
    this.#noteSent(newest.offset, newest.length, now)
    this.#recovery.handleProbeSent(true, this.#next, now)
    return newest.length
  }

  #schedulePersist(now: Instant): void {
    const isBlocked = this.#window.isClosed && this.#inFlight.count === 0
    if (isBlocked && this.#buffer.end > this.#next) this.#window.schedule(now)
  }
}
