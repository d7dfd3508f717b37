/**
 * The sending half of a connection: what is written, what is in flight, what is lost and what may leave
 * now. Loss recovery is RFC 6675 on the scoreboard of `in-flight.ts`, with a tail loss probe (RFC 8985 §7)
 * before the timer of RFC 6298 and undoing of needless reductions by duplicate reports (RFC 3708).
 */
import type { Instant } from '../machine.ts'
import { serialAdd, serialDistance } from '../wire/serial.ts'
import { BurstLimiter } from './burst-limiter.ts'
import type { CongestionController } from './congestion.ts'
import { InFlight } from './in-flight.ts'
import { type PathChange, PathTransition } from './path-transition.ts'
import { PeerWindow } from './peer-window.ts'
import { RttEstimator } from './rtt-estimator.ts'
import { SendBuffer } from './send-buffer.ts'
import { type ConnectionTuning, WINDOW_SLOT_BYTES } from './tuning.ts'

const NEVER = Number.POSITIVE_INFINITY
/** Segments of the initial window where they are large: 10 small ones are less than one of these. */
const LARGE_INITIAL = 4
/** A probe of a closed window carries this much. */
const PERSIST_BYTES = 64
/** Timer granularity of runtimes, added to the time a late segment is given. */
const REORDER_SLACK_MS = 10
/** A first piece this long can not be taken for a SACK, nor can what follows it (spec/03 §5). */
const LOOKALIKE_CUT_BYTES = 4

type Phase = 'open' | 'recovery' | 'timeout'

export class Sender {
  readonly #tuning: ConnectionTuning
  readonly #buffer: SendBuffer
  readonly #inFlight = new InFlight()
  readonly #rtt: RttEstimator
  readonly #congestion: CongestionController
  readonly #bursts: BurstLimiter
  readonly #window: PeerWindow
  /** Sequence number of our first byte. */
  readonly #first: number

  /** Everything below is acknowledged; everything below `#next` was sent. */
  #una = 0
  #next = 0
  #hasRoomWaiter = false

  #peerIsModern = false

  #phase: Phase = 'open'
  /** Recovery ends when everything below is acknowledged. */
  #recoveryEnd = 0
  /** The first retransmission of an episode leaves whatever the window says (RFC 6675 §5). */
  #mustRetransmit = false
  /** Retransmissions of this episode not yet reported as needless; -1 when it cannot be undone. */
  #undo = -1
  #duplicateAcks = 0
  #hasSack = false
  #isWindowLimited = false

  #rtoAt: Instant = NEVER
  #probeAt: Instant = NEVER
  #probeDue = false
  /** `#probeAt` ends the wait for a segment that may be late. */
  #probeIsReorder = false
  /** End of the probe in flight, -1 for none. */
  #probeEnd = -1
  #probeWasOld = false
  #probeWasAcked = false
  #burstAt: Instant = NEVER
  #nagleAt: Instant = NEVER
  /** Payload that one packet of the present path carries, when that is more than any path does. */
  #pathSegment: number | undefined
  readonly #transition = new PathTransition()
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
    this.#bursts = new BurstLimiter(tuning.burstIntervalMs)
    this.#window = new PeerWindow(tuning)
    this.#lastSentAt = this.#lastHeardAt = now
    this.#congestion = tuning.congestion({
      segmentBytes: tuning.segmentBytes,
      initialWindowBytes: this.#initialWindow(tuning.segmentBytes),
      maxWindowBytes: tuning.cwndMaxBytes,
    })
  }

  get cwnd(): number {
    return this.#congestion.cwnd
  }
  get ssthresh(): number {
    return this.#congestion.ssthresh
  }
  get rtt(): RttEstimator {
    return this.#rtt
  }
  get inRecovery(): boolean {
    return this.#phase !== 'open'
  }
  get inFlightBytes(): number {
    return this.#inFlight.bytes
  }
  get inFlightSegments(): number {
    return this.#inFlight.count
  }
  /** What the peer has room for. Our own kind counts bytes, a reference segments (spec/10 §1). */
  get peerWindowBytes(): number {
    const slotBytes = this.#peerIsModern ? WINDOW_SLOT_BYTES : this.#tuning.segmentBytes
    return this.#window.slots * slotBytes
  }
  /** Largest payload that a segment made now has. */
  get segmentBytes(): number {
    if (this.#pathSegment === undefined || !this.#peerIsModern) return this.#tuning.segmentBytes
    return Math.max(this.#pathSegment, this.#tuning.segmentBytes)
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
    if (!this.#hasRoomWaiter || this.#buffer.free < this.#tuning.sendBufferBytes / 4) return false
    this.#hasRoomWaiter = false
    return true
  }

  /** True when `ack` is nothing this connection can have caused. */
  isBeyond(ack: number): boolean {
    return this.#una + serialDistance(ack, serialAdd(this.#first, this.#una)) > this.#next
  }

  /** True when every block lies within what was sent (spec/03 §5): else the payload is user data. */
  areOurs(payload: Uint8Array, count: number): boolean {
    for (let i = 0; i < count; i++) {
      const left = this.#offsetOf(read32(payload, 5 + 8 * i))
      const right = this.#offsetOf(read32(payload, 9 + 8 * i))
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
    this.#inFlight.beginAck(this.#rtt.minMs, now)
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
    // What was sent on another path says nothing of this one.
    const { deliveredSentAt } = this.#inFlight
    const isOfThisPath = this.#transition.isOfThisPath(deliveredSentAt)
    if (deliveredSentAt >= 0 && isOfThisPath) this.#rtt.sample(now - deliveredSentAt)
    if (isNew) this.#rtt.clearBackOff()
    this.#settleProbe(acked, isNew, isEmpty, now)

    if (this.#phase !== 'open' && this.#una >= this.#recoveryEnd) this.#phase = 'open'
    let lost = now >= this.#transition.until && this.#inFlight.detectLosses()
    // Without SACK there is only counting (RFC 5681 §3.2); every known peer reports gaps by SACK.
    if (!this.#hasSack && this.#duplicateAcks === 3) lost = this.#inFlight.loseOldest() || lost
    if (lost && this.#phase === 'open') this.#enterRecovery(flight, now)

    const delivered = this.#inFlight.deliveredBytes
    if (!isOfThisPath) this.#transition.handleOldDelivered(delivered)
    const mayGrow = this.#phase !== 'recovery' && this.#isWindowLimited
    if (delivered > 0 && mayGrow && (isOfThisPath || now >= this.#transition.until))
      this.#congestion.handleAck(delivered, now, this.#rtt.srttMs)
    if (isNew || this.#inFlight.count === 0) this.#restartTimers(now)
    else if (delivered > 0) this.#scheduleProbe(now)
    this.#schedulePersist(now)
  }

  /**
   * Copies the payload of the segment to send now to `out[at..]`, notes its number in `segmentSeq` and
   * returns its length; 0 when nothing may leave.
   */
  next(out: Uint8Array, at: number, now: Instant): number {
    const inFlight = this.#inFlight
    if (this.#probeDue) {
      this.#probeDue = false
      const length = this.#sendProbe(out, at, now)
      if (length > 0) return length
    }
    const limit = this.#peerIsModern ? this.#tuning.burstSegments : this.#tuning.legacyBurstSegments
    const lost = inFlight.nextLost()
    if (lost !== undefined) {
      const fits = inFlight.pipe === 0 || inFlight.pipe + lost.length <= this.#windowBytes(now)
      if (!fits && !this.#mustRetransmit) {
        this.#isWindowLimited = true
        return 0
      }
      if (!this.#bursts.allows(limit, now)) return this.#waitForBurst()
      this.#mustRetransmit = false
      inFlight.retransmitLost(now)
      this.retransmits++
      if (this.#phase === 'recovery') this.fastRetransmits++
      if (this.#undo >= 0) this.#undo++
      return this.#emit(lost.offset, lost.length, out, at, now)
    }
    const length = this.#newLength(now)
    if (length === 0) return 0
    if (!this.#bursts.allows(limit, now)) return this.#waitForBurst()
    return this.#sendNew(length, out, at, now)
  }

  /** Returns `'timeout'` when the peer has not acknowledged a segment in all its transmissions. */
  handleTimeout(now: Instant): 'timeout' | undefined {
    if (now >= this.#burstAt) this.#burstAt = NEVER
    if (now >= this.#nagleAt) this.#nagleAt = NEVER
    this.#window.handleTimeout(now)
    if (now >= this.#probeAt) this.#handleProbeTimeout(now)
    if (now < this.#rtoAt) return undefined
    const oldest = this.#inFlight.oldest
    if (oldest === undefined) {
      this.#rtoAt = NEVER
      return undefined
    }
    const { transmissionsMax, persistGiveUpMs } = this.#tuning
    if (this.#window.isClosed) {
      if (now - this.#lastHeardAt >= persistGiveUpMs) return 'timeout'
    } else if (oldest.transmissions >= transmissionsMax) return 'timeout'
    const flight = this.#inFlight.bytes
    this.#transition.giveUp()
    const isRepeat = this.#phase === 'timeout'
    this.#inFlight.loseAll()
    this.#rtt.backOff()
    this.#congestion.handleTimeout(flight, isRepeat, now)
    if (!isRepeat) this.#undo = 0
    this.#phase = 'timeout'
    this.#recoveryEnd = this.#next
    this.#mustRetransmit = true
    this.#probeEnd = -1
    this.#probeDue = this.#probeIsReorder = false
    this.#probeAt = NEVER
    this.#rtoAt = this.#rtoFrom(now)
    return undefined
  }

  get nextTimeoutAt(): Instant {
    return Math.min(
      this.#rtoAt,
      this.#probeAt,
      this.#burstAt,
      this.#nagleAt,
      this.#window.nextTimeoutAt,
    )
  }

  /** The peer counts bytes as we do, and holds more than 128 segments out of order. */
  noteModernPeer(): void {
    if (this.#peerIsModern) return
    this.#peerIsModern = true
    this.#fitCongestion()
  }

  /** Before the first packet on a path, or at a change. `undefined`: what every path carries. */
  setPathSegment(bytes: number | undefined): void {
    this.#pathSegment = bytes
    this.#fitCongestion()
  }

  /** The path changed: what was measured does not hold. */
  handlePathChange(now: Instant, { rttMs, isOldAlive = false }: PathChange = {}): void {
    const oldRttMs = this.#rtt.srttMs
    this.#rtt.reset(rttMs)
    this.#congestion.reset()
    this.#undo = -1
    if (isOldAlive) this.#transition.await(this.#inFlight.pipe, oldRttMs, now)
    else this.#transition.forget(now)
    if (this.#inFlight.count === 0) return
    if (isOldAlive) this.#awaitOldPath(now)
    else this.#forgetOldPath(now)
  }

  /** What comes by the new path overtakes what is on the old one: that is not missed before its time. */
  #awaitOldPath(now: Instant): void {
    this.#inFlight.cut(this.segmentBytes)
    this.#probeEnd = -1
    this.#probeDue = this.#probeIsReorder = false
    this.#scheduleProbe(now)
    this.#rtoAt = this.#rtoFrom(now)
  }

  /** The oldest segment leaves at once, and the others behind it. */
  #forgetOldPath(now: Instant): void {
    this.#inFlight.loseAll()
    this.#inFlight.cut(this.segmentBytes)
    this.#inFlight.oldest!.transmissions = 1 // those on the old path say nothing of the new one
    this.#phase = 'timeout'
    this.#recoveryEnd = this.#next
    this.#mustRetransmit = true
    this.#probeEnd = -1
    this.#restartTimers(now)
  }

  /** The connection is over. */
  close(): void {
    this.#buffer.clear()
    this.#inFlight.clear()
    this.#una = this.#next = this.#buffer.end
    this.#window.stop()
    this.#rtoAt = this.#probeAt = this.#burstAt = this.#nagleAt = NEVER
    this.#probeDue = this.#mustRetransmit = this.#hasRoomWaiter = false
  }

  #offsetOf(seq: number): number {
    return this.#una + serialDistance(seq, serialAdd(this.#first, this.#una))
  }

  #handleSack(sack: Uint8Array, acked: number): void {
    this.sacksReceived++
    const count = sack[4]!
    for (let i = 0; i < count; i++) {
      const left = this.#offsetOf(read32(sack, 5 + 8 * i))
      const right = this.#offsetOf(read32(sack, 9 + 8 * i))
      if (right <= acked) this.#handleDuplicateReport(right)
      else {
        this.#hasSack = true
        this.#inFlight.sack(left, right)
      }
    }
  }

  /** The peer got bytes twice: one of our retransmissions was needless. */
  #handleDuplicateReport(right: number): void {
    if (right === this.#probeEnd) this.#probeEnd = -1
    if (this.#undo > 0 && --this.#undo === 0 && this.#inFlight.lostCount === 0) {
      this.#congestion.handleSpurious()
      this.#undo = -1
    }
  }

  /** Whether a probe repaired a loss nobody else saw (RFC 8985 §7.4). */
  #settleProbe(acked: number, isNew: boolean, isEmpty: boolean, now: Instant): void {
    if (this.#probeEnd < 0 || acked < this.#probeEnd) return
    if (!this.#probeWasOld) this.#probeEnd = -1
    else if (acked === this.#probeEnd && isNew) this.#probeWasAcked = true
    else if (acked === this.#probeEnd && isEmpty && this.#probeWasAcked) this.#probeEnd = -1
    else if (acked > this.#probeEnd) {
      this.#probeEnd = -1
      if (this.#phase === 'open') this.#congestion.handleLoss(this.#inFlight.bytes, now)
    }
  }

  #enterRecovery(flight: number, now: Instant): void {
    this.#phase = 'recovery'
    this.#recoveryEnd = this.#next
    this.#mustRetransmit = true
    this.#undo = 0
    this.#probeEnd = -1
    this.#probeAt = NEVER
    this.#probeDue = this.#probeIsReorder = false
    this.#congestion.handleLoss(flight, now)
  }

  /** Length of the new segment that may leave now, 0 for none. */
  #newLength(now: Instant): number {
    const left = this.#buffer.end - this.#next
    if (left === 0) {
      this.#isWindowLimited = false
      return 0
    }
    const { nagle, nagleMs } = this.#tuning
    const { segmentBytes } = this
    const inFlight = this.#inFlight
    if (this.#window.isProbeDue && inFlight.count === 0) return Math.min(left, PERSIST_BYTES)
    if (inFlight.count === 0 && now - this.#lastSentAt > this.#rtt.rtoMs && this.#next > 0)
      this.#congestion.handleIdle()
    const length = Math.min(left, segmentBytes, this.#room)
    if (length === 0) {
      this.#isWindowLimited = false
      this.#schedulePersist(now)
      return 0
    }
    if (inFlight.pipe > 0 && inFlight.pipe + length > this.#windowBytes(now)) {
      this.#isWindowLimited = true
      return 0
    }
    if (nagle && length < segmentBytes && inFlight.count > 0) {
      const due = this.#lastSentAt + nagleMs
      if (now < due) {
        this.#nagleAt = due
        return 0
      }
    }
    return length
  }

  /** Largest segment that may leave by what the peer advertised. A sliver of a window is waited with, not filled. */
  get #room(): number {
    const { legacyOutstandingMax, outstandingMax } = this.#tuning
    const { count, bytes } = this.#inFlight
    if (!this.#peerIsModern)
      return count < Math.min(this.#window.slots, legacyOutstandingMax) ? this.segmentBytes : 0
    if (count >= outstandingMax) return 0
    const room = this.peerWindowBytes - bytes
    return room >= WINDOW_SLOT_BYTES || count === 0 ? Math.max(0, room) : 0
  }

  /** What may be under way in all. */
  #windowBytes(now: Instant): number {
    const { cwnd } = this.#congestion
    const { smallFlightBytesMax } = this.#tuning
    const limit = this.#pathSegment === undefined ? Math.min(cwnd, smallFlightBytesMax) : cwnd
    return limit + this.#transition.oldBytes(now)
  }

  #initialWindow(segmentBytes: number): number {
    const { initialWindowSegments, segmentBytes: least } = this.#tuning
    return Math.max(initialWindowSegments * least, LARGE_INITIAL * segmentBytes)
  }

  #fitCongestion(): void {
    const { segmentBytes } = this
    this.#congestion.setSegment(segmentBytes, this.#initialWindow(segmentBytes))
  }

  #waitForBurst(): number {
    this.#burstAt = this.#bursts.nextAt
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
    this.#noteSent(offset, now)
    this.#scheduleProbe(now)
    return length
  }

  #emit(offset: number, length: number, out: Uint8Array, at: number, now: Instant): number {
    this.#buffer.copy(offset, length, out, at)
    // The timer runs from the oldest segment's last transmission.
    if (offset === this.#una) this.#rtoAt = this.#rtoFrom(now)
    this.#noteSent(offset, now)
    return length
  }

  #noteSent(offset: number, now: Instant): void {
    this.segmentSeq = serialAdd(this.#first, offset)
    this.segmentsSent++
    this.#lastSentAt = now
    this.#bursts.count()
    if (this.#rtoAt === NEVER) this.#rtoAt = this.#rtoFrom(now)
  }

  /** One segment beyond the congestion window: new data if the peer has room, else the newest again. */
  #sendProbe(out: Uint8Array, at: number, now: Instant): number {
    const newest = this.#inFlight.newest
    if (newest === undefined || this.#phase !== 'open') return 0
    const left = this.#buffer.end - this.#next
    this.#probeWasAcked = false
    const wanted = Math.min(left, this.segmentBytes, this.#room)
    if (wanted > 0) {
      const length = this.#sendNew(wanted, out, at, now)
      this.#probeEnd = this.#next
      this.#probeWasOld = false
      this.#probeAt = NEVER
      this.#rtoAt = this.#rtoFrom(now)
      return length
    }
    if (newest.isSacked) return 0
    this.#inFlight.retransmitNewest(now)
    this.retransmits++
    this.#probeEnd = this.#next
    this.#probeWasOld = true
    this.#rtoAt = this.#rtoFrom(now)
    this.#buffer.copy(newest.offset, newest.length, out, at)
    this.#noteSent(newest.offset, now)
    return newest.length
  }

  /** What is still expected by the path before this one is given its time first. */
  #rtoFrom(now: Instant): Instant {
    return Math.max(now, this.#transition.until) + this.#rtt.rtoMs
  }

  #restartTimers(now: Instant): void {
    this.#probeAt = NEVER
    this.#probeDue = this.#probeIsReorder = false
    this.#rtoAt = this.#inFlight.count === 0 ? NEVER : this.#rtoFrom(now)
    if (this.#inFlight.count > 0) this.#scheduleProbe(now)
  }

  /**
   * Arms the timer that comes before the retransmission timer: a tail loss probe while nothing is known to
   * be missing, else the end of the time a late segment is given to arrive (RFC 8985 §6.2, §7).
   */
  #scheduleProbe(now: Instant): void {
    const isOldAwaited = now < this.#transition.until
    if (this.#phase !== 'open' || !(this.#rtt.hasSample || isOldAwaited)) return
    const { srttMs } = this.#rtt
    if (this.#inFlight.sackedCount > 0 || isOldAwaited) {
      if (!this.#probeIsReorder)
        this.#probeAt = Math.max(this.#transition.until, now + srttMs / 4 + REORDER_SLACK_MS)
      this.#probeIsReorder = true
    } else if (this.#probeEnd < 0) this.#probeAt = now + 2 * srttMs + this.#tuning.probeSlackMs
    if (this.#probeAt >= this.#rtoAt) this.#probeAt = NEVER
  }

  #handleProbeTimeout(now: Instant): void {
    this.#probeAt = NEVER
    if (!this.#probeIsReorder) this.#probeDue = true
    else if (this.#phase === 'open' && this.#inFlight.loseBelowSacked())
      this.#enterRecovery(this.#inFlight.bytes, now)
    this.#probeIsReorder = false
  }

  #schedulePersist(now: Instant): void {
    const isBlocked = this.#window.isClosed && this.#inFlight.count === 0
    if (isBlocked && this.#buffer.end > this.#next) this.#window.schedule(now)
  }
}

/** As `looksLikeSack`, on bytes within a larger buffer. */
function resemblesSack(out: Uint8Array, at: number, length: number): boolean {
  if (out[at] !== 0x53 || length < 13) return false
  if (out[at + 1] !== 0x41 || out[at + 2] !== 0x43 || out[at + 3] !== 0x4b) return false
  const count = out[at + 4]!
  return count >= 1 && count <= 4 && length >= 5 + 8 * count
}

function read32(bytes: Uint8Array, at: number): number {
  return (
    ((bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!) >>> 0
  )
}
