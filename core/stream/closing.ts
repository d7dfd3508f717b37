/**
 * The end of a connection (spec/03 §3): drain, FIN, linger; and the peer's FIN with bytes still missing
 * before it. FIN takes a number in every generation's answer, whatever it takes in the sender's count.
 */
import type { Instant } from '../machine.ts'
import { serialAdd } from '../wire/serial.ts'
import type { Receiver } from './receiver.ts'
import type { Sender } from './sender.ts'
import type { ConnectionTuning } from './tuning.ts'

const NEVER = Number.POSITIVE_INFINITY

export type ClosingOutcome = 'done' | 'timeout' | 'truncated'

export class Closing {
  readonly #tuning: ConnectionTuning
  readonly #sender: Sender
  readonly #receiver: Receiver

  #isRequested = false
  #isStarted = false
  #isDue = false
  #isSent = false
  #tries = 0
  #isAcked = false
  #repeatAt: Instant = NEVER
  #truncatedAt: Instant = NEVER
  #lingerAt: Instant = NEVER
  #lastHeardAt: Instant
  #lastDataAt: Instant

  constructor(sender: Sender, receiver: Receiver, tuning: ConnectionTuning, now: Instant) {
    this.#sender = sender
    this.#receiver = receiver
    this.#tuning = tuning
    this.#lastHeardAt = this.#lastDataAt = now
  }

  /** The application closed. */
  get isRequested(): boolean {
    return this.#isRequested
  }
  /** Everything written was acknowledged, and FIN is under way. */
  get isStarted(): boolean {
    return this.#isStarted
  }
  get isDue(): boolean {
    return this.#isDue
  }
  get isSent(): boolean {
    return this.#isSent
  }
  /** Both streams are whole and the peer knows. */
  get isDone(): boolean {
    return this.#isAcked && this.#receiver.isEnded
  }

  request(): void {
    this.#isRequested = true
  }

  handleHeard(now: Instant): void {
    this.#lastHeardAt = now
  }

  handleDelivered(now: Instant): void {
    this.#lastDataAt = now
    if (this.#receiver.isEnded) this.#truncatedAt = NEVER
    else if (this.#truncatedAt !== NEVER) this.#truncatedAt = now + this.#tuning.truncationMs
  }

  /** FIN leaves. */
  handleSent(now: Instant): void {
    this.#isDue = false
    this.#isSent = true
    const { rtoMaxMs } = this.#tuning
    this.#repeatAt = now + Math.min(rtoMaxMs, this.#sender.rtt.rtoMs * 2 ** this.#tries)
    this.#tries++
  }

  /** True when `ack` acknowledges our FIN. */
  handleAck(ack: number): boolean {
    if (!this.#isSent || ack >>> 0 !== serialAdd(this.#sender.nextSeq, 1)) return false
    this.#isAcked = true
    this.#isDue = false
    this.#repeatAt = NEVER
    return true
  }

  /** A FIN arrived before all bytes before it: they may still come. */
  handleGap(now: Instant): void {
    if (this.#truncatedAt === NEVER) this.#truncatedAt = now + this.#tuning.truncationMs
  }

  /** Moves on as far as it can go; to be called after anything happened on an open connection. */
  advance(now: Instant): void {
    if (this.#isRequested && !this.#isStarted && this.#sender.isDrained) {
      this.#isStarted = true
      this.#isDue = true
    }
    // Draining ends with the last ACK or with the last transmission. Only a reference that sent FIN has
    // stopped listening, and will acknowledge nothing more (spec/03 §3).
    const isLingering = this.#isStarted
      ? this.#isAcked
      : this.#receiver.isEnded && !this.#receiver.peerIsModern && !this.#sender.isDrained
    if (!isLingering) this.#lingerAt = NEVER
    else if (this.#lingerAt === NEVER) this.#lingerAt = now + this.#patienceMs
  }

  handlePathChange(now: Instant): void {
    this.#lastHeardAt = this.#lastDataAt = now
    this.#tries = 0
    if (this.#repeatAt === NEVER) return
    this.#repeatAt = NEVER
    this.#isDue = true
  }

  handleTimeout(now: Instant): ClosingOutcome | undefined {
    if (now >= this.#truncatedAt) {
      this.#truncatedAt = NEVER
      if (this.#receiver.isTruncated) return 'truncated'
      // Only FINs with payload came (see `Connection`): the stream ends where they left it.
      this.#receiver.endHere()
    }
    if (now >= this.#repeatAt) {
      this.#repeatAt = NEVER
      if (this.#tries < this.#tuning.finTransmissionsMax) this.#isDue = true
      // The peer's stream is whole and ours was acknowledged: only the goodbye is missing.
      else return this.#receiver.isEnded ? 'done' : 'timeout'
    }
    if (now >= this.#lingerAt) {
      const since = this.#isStarted ? this.#lastDataAt : this.#lastHeardAt
      this.#lingerAt = since + this.#patienceMs
      if (now >= this.#lingerAt) return 'timeout'
    }
    return undefined
  }

  get nextTimeoutAt(): Instant {
    return Math.min(this.#repeatAt, this.#truncatedAt, this.#lingerAt)
  }

  stop(): void {
    this.#isDue = false
    this.#repeatAt = this.#truncatedAt = this.#lingerAt = NEVER
  }

  get #patienceMs(): number {
    return this.#isStarted ? this.#tuning.finWaitMs : this.#tuning.lingerMs
  }
}
