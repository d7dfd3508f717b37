/**
 * One direction of a link: what it does to a datagram is when it arrives, how often, or that it does not.
 * Order is kept unless `reorder` says otherwise; jitter alone is a queue and overtakes nothing.
 */
import type { Instant } from '../../core/machine.ts'
import type { Random } from './random.ts'

export interface LinkOptions {
  /** One way. Default 0. */
  readonly latencyMs?: number
  /** Added, evenly spread from 0. Default 0. */
  readonly jitterMs?: number
  /** Independent losses, 0 to 1. */
  readonly loss?: number
  /** Losses in bursts (Gilbert-Elliott): per datagram the chance to enter, to leave, and to lose while inside. */
  readonly burst?: { readonly enter: number; readonly leave: number; readonly loss: number }
  /** Chance that a datagram comes twice. */
  readonly duplicate?: number
  /** Chance that a datagram is held for up to `reorderMs` while others pass. */
  readonly reorder?: number
  readonly reorderMs?: number
  /** Bytes per ms, headers included; no limit by default. */
  readonly rateBytesPerMs?: number
  /** What may wait for the rate before datagrams are dropped. Default 256 KiB. */
  readonly bufferBytes?: number
  /** Larger datagrams are dropped (no fragmentation). */
  readonly mtuBytes?: number
  /** Nothing passes. */
  readonly isDown?: boolean
}

/** UDP and IPv4 headers, which use the rate too. */
const HEADER_BYTES = 28

export class Link {
  options: LinkOptions
  readonly #random: Random
  #freeAt: Instant = 0
  #lastAt: Instant = 0
  #inBurst = false

  sent = 0
  lost = 0
  overflowed = 0
  maxQueueBytes = 0

  constructor(options: LinkOptions, random: Random) {
    this.options = options
    this.#random = random
  }

  /** Arrival times of a datagram of `bytes` sent now: none, one or two. */
  send(bytes: number, now: Instant): Instant[] {
    const { loss = 0, duplicate = 0, burst, mtuBytes, isDown = false } = this.options
    this.sent++
    if (isDown || (mtuBytes !== undefined && bytes > mtuBytes)) {
      this.lost++
      return []
    }
    const readyAt = this.#transmit(bytes + HEADER_BYTES, now)
    if (readyAt === undefined) {
      this.overflowed++
      return []
    }
    let isLost = loss > 0 && this.#random.chance(loss)
    if (burst !== undefined) {
      this.#inBurst = this.#random.chance(this.#inBurst ? 1 - burst.leave : burst.enter)
      if (this.#inBurst && this.#random.chance(burst.loss)) isLost = true
    }
    if (isLost) {
      this.lost++
      return []
    }
    const arrivals = [this.#arrival(readyAt)]
    if (duplicate > 0 && this.#random.chance(duplicate)) arrivals.push(this.#arrival(readyAt))
    return arrivals
  }

  /** When the last byte is on the wire; `undefined` when the buffer is full. */
  #transmit(bytes: number, now: Instant): Instant | undefined {
    const { rateBytesPerMs, bufferBytes = 262_144 } = this.options
    if (rateBytesPerMs === undefined) return now
    const start = Math.max(now, this.#freeAt)
    const queued = (start - now) * rateBytesPerMs
    if (queued + bytes > bufferBytes) return undefined
    this.maxQueueBytes = Math.max(this.maxQueueBytes, queued + bytes)
    this.#freeAt = start + bytes / rateBytesPerMs
    return this.#freeAt
  }

  #arrival(readyAt: Instant): Instant {
    const { latencyMs = 0, jitterMs = 0, reorder = 0, reorderMs = 20 } = this.options
    const at = readyAt + latencyMs + (jitterMs > 0 ? this.#random.next() * jitterMs : 0)
    if (reorder > 0 && this.#random.chance(reorder)) return at + this.#random.next() * reorderMs
    this.#lastAt = Math.max(this.#lastAt, at)
    return this.#lastAt
  }
}
