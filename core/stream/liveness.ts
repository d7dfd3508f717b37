/**
 * A quiet connection: keepalives toward the peer, which hold open what a G1 peer would close (spec/03 §4.6),
 * and an optional end after silence. Timers are moved when they expire, not with every packet.
 */
import type { Instant } from '../machine.ts'
import type { ConnectionTuning } from './tuning.ts'

const NEVER = Number.POSITIVE_INFINITY

export class Liveness {
  readonly #tuning: ConnectionTuning
  #lastSentAt: Instant
  #lastHeardAt: Instant
  #keepaliveAt: Instant = NEVER
  #isKeepaliveDue = false
  #idleAt: Instant = NEVER

  constructor(tuning: ConnectionTuning, now: Instant) {
    this.#tuning = tuning
    this.#lastSentAt = this.#lastHeardAt = now
  }

  get isKeepaliveDue(): boolean {
    return this.#isKeepaliveDue
  }

  /** The connection is open. */
  start(now: Instant): void {
    const { keepaliveMs, idleTimeoutMs } = this.#tuning
    this.#keepaliveAt = now + keepaliveMs
    if (idleTimeoutMs > 0) this.#idleAt = now + idleTimeoutMs
  }

  handleSent(now: Instant): void {
    this.#lastSentAt = now
    this.#isKeepaliveDue = false
  }

  handleHeard(now: Instant): void {
    this.#lastHeardAt = now
  }

  /** `timeout` when nothing was heard for `idleTimeoutMs`. */
  handleTimeout(now: Instant): 'timeout' | undefined {
    const { keepaliveMs, idleTimeoutMs } = this.#tuning
    if (now >= this.#keepaliveAt) {
      this.#isKeepaliveDue = now >= this.#lastSentAt + keepaliveMs
      this.#keepaliveAt = (this.#isKeepaliveDue ? now : this.#lastSentAt) + keepaliveMs
    }
    if (now >= this.#idleAt) {
      this.#idleAt = this.#lastHeardAt + idleTimeoutMs
      if (now >= this.#idleAt) return 'timeout'
    }
    return undefined
  }

  get nextTimeoutAt(): Instant {
    return Math.min(this.#keepaliveAt, this.#idleAt)
  }

  stop(): void {
    this.#keepaliveAt = this.#idleAt = NEVER
    this.#isKeepaliveDue = false
  }
}
