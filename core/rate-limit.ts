/** Token buckets, one per key: a burst that refills at a steady rate. */
import type { Instant } from './machine.ts'

/** Keys remembered by default. */
export const RATE_KEYS_MAX = 100_000

interface Bucket {
  tokens: number
  at: Instant
}

export interface TokenBucketsOptions {
  readonly burst: number
  readonly perSecond: number
  /** Keys remembered; the oldest bucket is forgotten beyond it. Default `RATE_KEYS_MAX`. */
  readonly keysMax?: number
}

export class TokenBuckets<Key extends string | number> {
  readonly #buckets = new Map<Key, Bucket>()
  readonly #burst: number
  readonly #perMs: number
  readonly #keysMax: number

  constructor({ burst, perSecond, keysMax = RATE_KEYS_MAX }: TokenBucketsOptions) {
    this.#burst = burst
    this.#perMs = perSecond / 1000
    this.#keysMax = keysMax
  }

  get size(): number {
    return this.#buckets.size
  }

  /** Takes one token; false when there is none. */
  take(key: Key, now: Instant): boolean {
    const bucket = this.#bucket(key, now)
    if (bucket.tokens < 1) return false
    bucket.tokens -= 1
    return true
  }

  /** Takes up to `cost` tokens, however few are there. */
  charge(key: Key, cost: number, now: Instant): void {
    const bucket = this.#bucket(key, now)
    bucket.tokens = Math.max(0, bucket.tokens - cost)
  }

  /** Forgets the buckets that are full again: they say nothing that a new one would not. */
  sweep(now: Instant): void {
    for (const [key, bucket] of this.#buckets)
      if (this.#refilled(bucket, now) >= this.#burst) this.#buckets.delete(key)
  }

  #bucket(key: Key, now: Instant): Bucket {
    const known = this.#buckets.get(key)
    if (known !== undefined) {
      known.tokens = this.#refilled(known, now)
      known.at = now
      return known
    }
    if (this.#buckets.size >= this.#keysMax)
      for (const oldest of this.#buckets.keys()) {
        this.#buckets.delete(oldest)
        break
      }
    const bucket = { tokens: this.#burst, at: now }
    this.#buckets.set(key, bucket)
    return bucket
  }

  #refilled(bucket: Bucket, now: Instant): number {
    return Math.min(this.#burst, bucket.tokens + Math.max(0, now - bucket.at) * this.#perMs)
  }
}

/** One bucket. */
export class TokenBucket {
  readonly #buckets: TokenBuckets<number>

  constructor(options: TokenBucketsOptions) {
    this.#buckets = new TokenBuckets(options)
  }

  /** Takes one token; false when there is none. */
  take(now: Instant): boolean {
    return this.#buckets.take(0, now)
  }
}
