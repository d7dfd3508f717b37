/** Token buckets: one, and one per key with a cap on keys. */
import type { Instant } from './machine.ts'

export class TokenBucket {
  readonly #perSecond: number
  readonly #burst: number
  #tokens: number
  #at: Instant

  constructor(perSecond: number, burst: number, now: Instant) {
    this.#perSecond = perSecond
    this.#burst = burst
    this.#tokens = burst
    this.#at = now
  }

  /** Takes a token if there is one. */
  take(now: Instant): boolean {
    if (now > this.#at) {
      this.#tokens = Math.min(
        this.#burst,
        this.#tokens + ((now - this.#at) / 1000) * this.#perSecond,
      )
      this.#at = now
    }
    if (this.#tokens < 1) return false
    this.#tokens -= 1
    return true
  }
}

/** A bucket per key; the key used least recently gives way when there are too many. */
export class KeyedTokenBuckets<K> {
  readonly #perSecond: number
  readonly #burst: number
  readonly #maxKeys: number
  readonly #buckets = new Map<K, TokenBucket>()

  constructor(perSecond: number, burst: number, maxKeys: number) {
    this.#perSecond = perSecond
    this.#burst = burst
    this.#maxKeys = maxKeys
  }

  take(key: K, now: Instant): boolean {
    const bucket = this.#buckets.get(key) ?? new TokenBucket(this.#perSecond, this.#burst, now)
    this.#buckets.delete(key)
    this.#buckets.set(key, bucket)
    if (this.#buckets.size > this.#maxKeys) this.#buckets.delete(this.#buckets.keys().next().value!)
    return bucket.take(now)
  }
}
