/** Who may do what, and how often. Default deny for strangers; every door has a rate (spec/03 §D.6). */
import type { Instant } from '../machine.ts'
import { TokenBucket, TokenBuckets } from '../rate-limit.ts'
import type { NodeContext } from './context.ts'
import type { Peer } from './peer.ts'
import type { TrustExchange } from './trust-exchange.ts'

const KEYS_MAX = 4096
/** A peer we dialed may answer for so long although it is not trusted (spec/07 §0.1, H2). */
const DIALED_GRACE_MS = 120_000
const SYNS_PER_STRANGER = 10
const SYNS_PER_FRIEND = 2000
const KEY_EXCHANGES_PER_SOURCE = 20
const RECOVERIES_PER_SECOND = 20
const LOOKUPS_PER_SECOND = 20
const RESETS_PER_SECOND = 50
const PONGS_PER_PEER = 1000

export class Admission {
  readonly #trust: TrustExchange
  readonly #isPublic: () => boolean
  readonly #recoveries: TokenBucket
  readonly #lookups: TokenBucket
  readonly #resets: TokenBucket
  readonly #strangers: TokenBucket
  readonly #perStranger = buckets<number>(SYNS_PER_STRANGER)
  readonly #perFriend = buckets<number>(SYNS_PER_FRIEND)
  readonly #keyExchanges = buckets<string>(KEY_EXCHANGES_PER_SOURCE)
  readonly #pongs = buckets<number>(PONGS_PER_PEER)

  constructor(context: NodeContext, trust: TrustExchange, isPublic: () => boolean) {
    const { synRateLimit = 100 } = context.options
    this.#trust = trust
    this.#isPublic = isPublic
    this.#recoveries = new TokenBucket({
      perSecond: RECOVERIES_PER_SECOND,
      burst: RECOVERIES_PER_SECOND,
    })
    this.#lookups = new TokenBucket({ perSecond: LOOKUPS_PER_SECOND, burst: LOOKUPS_PER_SECOND })
    this.#resets = new TokenBucket({ perSecond: RESETS_PER_SECOND, burst: RESETS_PER_SECOND })
    this.#strangers = new TokenBucket({ perSecond: synRateLimit, burst: synRateLimit })
  }

  /** May open streams to us, send datagrams and ping. */
  admits(peer: Peer, now: Instant): boolean {
    if (this.#isPublic() || this.#trust.isTrusted(peer.id)) return true
    return now - peer.dialedAt < DIALED_GRACE_MS
  }

  takeSyn(peer: Peer, now: Instant): boolean {
    if (this.#trust.isTrusted(peer.id)) return this.#perFriend.take(peer.id, now)
    return this.#perStranger.take(peer.id, now) && this.#strangers.take(now)
  }

  /** `source` is an IP address, or `relay` and a node id. */
  takeKeyExchange(source: string, now: Instant): boolean {
    return this.#keyExchanges.take(source, now)
  }
  takeRecovery(now: Instant): boolean {
    return this.#recoveries.take(now)
  }
  takeLookup(now: Instant): boolean {
    return this.#lookups.take(now)
  }
  takeReset(now: Instant): boolean {
    return this.#resets.take(now)
  }
  takePong(peer: Peer, now: Instant): boolean {
    return this.#pongs.take(peer.id, now)
  }
}

function buckets<Key extends string | number>(perSecond: number): TokenBuckets<Key> {
  return new TokenBuckets({ perSecond, burst: perSecond, keysMax: KEYS_MAX })
}
