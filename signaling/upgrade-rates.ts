/** How often an address may open a WebSocket to the registry (spec/09). */
import type { Instant } from '../core/machine.ts'
import { TokenBuckets } from '../core/rate-limit.ts'
import type { CompatLimits } from './limits.ts'
import { rateKey } from './request-fields.ts'

export class UpgradeRates {
  readonly #buckets: TokenBuckets<string>

  constructor({ upgradeBurst, upgradesPerSecond }: CompatLimits) {
    this.#buckets = new TokenBuckets({ burst: upgradeBurst, perSecond: upgradesPerSecond })
  }

  /** False when it has to wait. */
  take(address: string, now: Instant): boolean {
    return this.#buckets.take(rateKey(address), now)
  }
}
