/**
 * What the peer has room for, in slots (spec/03 §4), and the timer that probes it when it is closed: no
 * reference announces by itself that it opened again (spec/03 §7.13).
 */
import type { Instant } from '../machine.ts'
import { serialDistance } from '../wire/serial.ts'
import type { ConnectionTuning } from './tuning.ts'

const NEVER = Number.POSITIVE_INFINITY

export class PeerWindow {
  readonly #tuning: ConnectionTuning
  #slots: number
  /** Sequence number of the segment that told. */
  #seq = 0
  #probeAt: Instant = NEVER
  #probes = 0
  #isProbeDue = false

  constructor(tuning: ConnectionTuning) {
    this.#tuning = tuning
    this.#slots = tuning.legacyOutstandingMax
  }

  get slots(): number {
    return this.#slots
  }
  get isClosed(): boolean {
    return this.#slots === 0
  }
  /** One small segment may leave although the window is closed. */
  get isProbeDue(): boolean {
    return this.#isProbeDue
  }

  /** Window of a SYN or SYN-ACK; 0 says nothing there. */
  start(slots: number, synSeq: number): void {
    if (slots > 0) this.#slots = slots
    this.#seq = synSeq
  }

  /** A segment with this number told; `isNew` when it acknowledged something. Late ones do not shrink the window. */
  update(seq: number, slots: number, isNew: boolean): void {
    const age = serialDistance(seq, this.#seq)
    const shrinks = slots < this.#slots && slots > 0
    if (!isNew && (age < 0 || (age === 0 && shrinks))) return
    this.#seq = seq
    this.#slots = slots
    if (slots > 0) {
      this.stop()
      this.#probes = 0
    }
  }

  /** There is something to send into a closed window, and nothing in flight whose ACK could tell more. */
  schedule(now: Instant): void {
    if (this.#probeAt !== NEVER || this.#isProbeDue) return
    const { persistMs, persistMaxMs } = this.#tuning
    this.#probeAt = now + Math.min(persistMaxMs, persistMs * 2 ** Math.min(16, this.#probes))
  }

  handleProbeSent(): void {
    this.#isProbeDue = false
  }

  handleTimeout(now: Instant): void {
    if (now < this.#probeAt) return
    this.#probeAt = NEVER
    this.#isProbeDue = true
    this.#probes++
  }

  get nextTimeoutAt(): Instant {
    return this.#probeAt
  }

  stop(): void {
    this.#probeAt = NEVER
    this.#isProbeDue = false
  }
}
