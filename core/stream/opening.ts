/**
 * The handshake of a connection (spec/03 §2): when SYN or SYN-ACK leave, which answer counts, what a SYN
 * on a connection that exists means, and data that came with a SYN (spec/10 §20).
 */
import type { Instant } from '../machine.ts'
import { serialAdd, serialDistance } from '../wire/serial.ts'
import type { ConnectionTuning } from './tuning.ts'

const NEVER = Number.POSITIVE_INFINITY
/** Segments kept that overtook the SYN-ACK (spec/03 §7.10). */
const EARLY_MAX = 16
/** SYN-ACKs of a stale connection answered by RST and a new SYN in one dial (spec/03 §6). */
const STALE_MAX = 8
/** After the handshake, how long a SYN like the first one is taken for a late copy of it. */
const LATE_SYN_MS = 5000

export interface EarlySegment {
  readonly flags: number
  readonly seq: number
  readonly ack: number
  readonly window: number
  readonly payload: Uint8Array
}

export class Opening {
  readonly #tuning: ConnectionTuning
  readonly #isn: number
  readonly isDialer: boolean
  /** The peer's SYN number, once known. */
  #synSeq = 0
  #isDue = true
  /** How often the SYN was due again, since the path changed. */
  repeats = 0
  #isSent = false
  #sentAt: Instant = NEVER
  /** Round trip of the handshake in ms, 0 while unknown or when something of it was sent twice (Karn). */
  rttMs = 0
  #repeatAt: Instant = NEVER
  #intervalMs: number
  #deadlineAt: Instant
  #wasRepeated = false
  #staleAnswers = 0
  #early: EarlySegment[] = []
  /** Payload of SYNs that we sent at most, or of the one that we answer. */
  #earlyBytes = 0
  #heldUntil: Instant = NEVER
  #openedAt: Instant = NEVER

  private constructor(isn: number, isDialer: boolean, tuning: ConnectionTuning, now: Instant) {
    this.#isn = isn
    this.isDialer = isDialer
    this.#tuning = tuning
    this.#intervalMs = tuning.synIntervalMs
    if (isDialer) this.#repeatAt = now + this.#intervalMs
    this.#deadlineAt = now + (isDialer ? tuning.dialTimeoutMs : tuning.thirdPacketMs)
  }

  static dial(isn: number, tuning: ConnectionTuning, now: Instant): Opening {
    return new Opening(isn, true, tuning, now)
  }

  static accept(isn: number, synSeq: number, tuning: ConnectionTuning, now: Instant): Opening {
    const opening = new Opening(isn, false, tuning, now)
    opening.#synSeq = synSeq
    return opening
  }

  /** A SYN or SYN-ACK has to leave. */
  get isDue(): boolean {
    return this.#isDue
  }
  get isSent(): boolean {
    return this.#isSent
  }
  get synSeq(): number {
    return this.#synSeq
  }

  /** The SYN-ACK waits for the application's answer to what came with the SYN, until the end of this turn. */
  get isHeld(): boolean {
    return this.#heldUntil !== NEVER
  }
  get earlyBytes(): number {
    return this.#earlyBytes
  }

  /** A SYN with so much payload is sent, or was received. */
  noteEarly(bytes: number): void {
    this.#earlyBytes = Math.max(this.#earlyBytes, bytes)
  }

  holdBack(now: Instant): void {
    this.#isDue = false
    this.#heldUntil = now
  }

  handleSent(now: Instant): void {
    this.#heldUntil = NEVER
    this.#sentAt = this.#isSent ? NEVER : now
    this.#isDue = false
    this.#isSent = true
  }

  /** True when `ack` acknowledges our SYN and nothing beyond what went with it. */
  isAnswer(ack: number): boolean {
    const bytes = this.bytesTaken(ack)
    return bytes >= 0 && (bytes === 0 || (this.isDialer && bytes <= this.#earlyBytes))
  }

  /** How much of our SYN's payload an answer acknowledges. */
  bytesTaken(ack: number): number {
    return serialDistance(ack, serialAdd(this.#isn, 1))
  }

  /**
   * A SYN-ACK while dialing. `stale`: another life of this connection answered; RST and SYN are to leave
   * (spec/03 §6).
   */
  handleSynAck(seq: number, ack: number): 'open' | 'stale' | 'ignore' {
    if (!this.#isSent) return 'ignore'
    if (this.isAnswer(ack)) {
      this.#synSeq = seq >>> 0
      return 'open'
    }
    if (++this.#staleAnswers > STALE_MAX) return 'ignore'
    this.#isDue = true
    return 'stale'
  }

  /** The SYN came again before anything else: so must the SYN-ACK. */
  handleRepeatedSyn(isHalfOpen: boolean, now: Instant): void {
    this.#isDue = true
    if (!isHalfOpen) return
    this.#wasRepeated = true
    this.#deadlineAt = now + this.#tuning.synReceivedMs
  }

  /** Keeps a segment that overtook the SYN-ACK; more than 16 are dropped. */
  hold(segment: EarlySegment): void {
    if (this.#early.length < EARLY_MAX) this.#early.push(segment)
  }

  takeEarly(): readonly EarlySegment[] {
    const early = this.#early
    this.#early = []
    return early
  }

  /** The handshake is done: a SYN or SYN-ACK that was still to leave is not needed. */
  complete(now: Instant): void {
    if (this.isDialer) this.#isDue = false
    if (this.#sentAt !== NEVER) this.rttMs = now - this.#sentAt
    this.#openedAt = now
    this.#deadlineAt = this.#repeatAt = NEVER
  }

  /** Nothing of the handshake is left to do. */
  stop(): void {
    this.#isDue = false
    this.#deadlineAt = this.#repeatAt = this.#heldUntil = NEVER
    this.#early = []
  }

  /** True when this SYN, on a connection already open, is a new dial and not a copy of the first one. */
  isNewDial(synSeq: number, isHalfOpen: boolean, now: Instant): boolean {
    if (synSeq >>> 0 !== this.#synSeq) return true
    // References always begin at 0, so the number alone does not tell a late copy from a new dial.
    return !isHalfOpen && now - this.#openedAt >= LATE_SYN_MS
  }

  handlePathChange(now: Instant): void {
    this.#isDue = true
    this.repeats = 0
    if (!this.isDialer) return
    this.#intervalMs = this.#tuning.synIntervalMs
    this.#repeatAt = now + this.#intervalMs
  }

  /** `open` when a half-open connection may be taken as established, `timeout` when the time is up. */
  handleTimeout(now: Instant): 'open' | 'timeout' | undefined {
    if (now >= this.#heldUntil) {
      this.#heldUntil = NEVER
      this.#isDue = true
    }
    if (now >= this.#deadlineAt) {
      this.#deadlineAt = NEVER
      return this.isDialer || this.#wasRepeated ? 'timeout' : 'open'
    }
    if (now >= this.#repeatAt) {
      this.#isDue = true
      this.repeats++
      this.#intervalMs = Math.min(this.#tuning.synIntervalMaxMs, this.#intervalMs * 2)
      this.#repeatAt = now + this.#intervalMs
    }
    return undefined
  }

  get nextTimeoutAt(): Instant {
    return Math.min(this.#deadlineAt, this.#repeatAt, this.#heldUntil)
  }
}
