/**
 * Which way datagrams to one peer travel: direct to an endpoint, or through the beacon's relay (spec/02 §7).
 * Decided by authenticated evidence only. Traffic starts at once on what is there, moves to the direct path
 * when that has answered, and back to the relay when it goes silent; both are received all the time.
 */
import { type Endpoint, type Instant, sameEndpoint } from '../machine.ts'

/** How an authenticated frame came: from an endpoint, or as a relay delivery. */
export type ArrivalPath = Endpoint | 'relay'
/** What packets travel by: a path made for the peer is told by its endpoint. */
export type Way = Endpoint | 'direct' | 'relay' | 'none'
export type Route = 'direct' | 'relay' | 'both' | 'none'

/** How long an unproven direct path is tried alone (G1 relays for good after one relayed frame). */
export const DIRECT_HEAD_START_MS = 1000
/** Direct path sent on but not heard from for so long: doubted, probed on both paths. */
const DOUBT_MS = 1000
/** Doubted for so long without an answer: given up, if the relay is there. */
const GIVE_UP_MS = 2500
/** Probes while a path is doubted or being established. */
const FAST_PROBE_MS = 500
/** Probes of a direct path while relayed: after the first minute the slow figure. */
const RELAYED_PROBE_MS = 5000
const RELAYED_PROBE_SLOW_MS = 30_000
const FAST_PHASE_MS = 60_000
/** Keeps a NAT mapping of a recently used direct path open (spec/02 §7.7). */
const KEEPALIVE_MS = 25_000
/** Use within this time makes a path worth keeping open. */
const RECENT_USE_MS = 300_000
const CANDIDATES_MAX = 8
/** How long a path given up for answering nothing is not taken again on the strength of what comes by it. */
const MUTED_MS = 30_000
/** Probes of a better path that was offered and has not answered, half a second apart. */
const BETTER_PROBES_MAX = 10
/** Least time between probes of where a peer seems to have moved to. */
const MOVE_PROBE_MS = 100

/** What a path made for one peer carries, and how it compares with others. */
export interface MadePath {
  /** Largest tunnel frame it takes, in bytes. Default: what every path takes. */
  readonly frameBytesMax?: number
  /** Of two paths that work the one of the higher rank is used. Default 0; endpoints of the network have {@link NETWORK_RANK}. */
  readonly rank?: number
}

export const NETWORK_RANK = 3
/** Inside of our own network: no router in between, and no mapping that ends. */
const NEIGHBOUR_RANK = 4
/** Addresses inside of our own network that are tried. */
export const NEIGHBOURS_MAX = 4

interface Made extends MadePath {
  readonly endpoint: Endpoint
  readonly rank: number
  readonly isNeighbour?: boolean
}

export class PathSelector {
  /** Best endpoint known for the peer, proven or not. */
  #endpoint: Endpoint | undefined
  /** The endpoint has answered or sent something authentic; until it is given up. */
  #isProven = false
  #candidates: Endpoint[] = []
  /** Paths made for this peer, as against endpoints of the network. */
  #made: Made[] = []
  #hasRelay: boolean
  readonly #relayFrameBytesMax: number | undefined
  #isRelayOnly = false
  #relayHeardAt: Instant | undefined
  #directHeardAt = Number.NEGATIVE_INFINITY
  /** First send since something was last heard on the direct path. */
  #unansweredSince: Instant | undefined
  #lastUseAt = Number.NEGATIVE_INFINITY
  #firstTryAt: Instant | undefined
  #relayedSince: Instant | undefined
  /** The registry was asked where the peer is: until then the relay is not used for want of better. */
  #resolvingUntil: Instant | undefined
  #nextProbeAt: Instant | undefined
  /** Since when it is said that nothing sent on the path in use arrives, whatever comes by it. */
  #suspectedSince: Instant | undefined
  /** Was given up for that: only an answer to a probe brings it back before this time. */
  #muted: { readonly endpoint: Endpoint; readonly until: Instant } | undefined
  #betterProbes = 0
  #moveProbedAt = Number.NEGATIVE_INFINITY
  #probes: ArrivalPath[] = []

  /** `relayFrameBytesMax`: what a relay takes from us for peers that are on a WebSocket to it, as we are. */
  constructor(hasRelay: boolean, relayFrameBytesMax?: number) {
    this.#hasRelay = hasRelay
    this.#relayFrameBytesMax = relayFrameBytesMax
  }

  get endpoint(): Endpoint | undefined {
    return this.#endpoint
  }

  get isProven(): boolean {
    return this.#isProven
  }

  /** What users are told: the path that ordinary packets take now. */
  get kind(): 'direct' | 'relay' | 'none' {
    if (this.#isProven) return 'direct'
    return this.#relayHeardAt === undefined ? 'none' : 'relay'
  }

  /** Changes when packets take another way: the kind, or for a path made for this peer its endpoint. */
  get way(): Way {
    const { kind } = this
    return kind === 'direct' ? (this.#madeAt(this.#endpoint)?.endpoint ?? kind) : kind
  }

  /** True when packets left `before`, which may still work, for something better: what is under way there arrives. */
  isBetterThan(before: Way): boolean {
    const [was, is] = [this.#rankOfWay(before), this.#rankOfWay(this.way)]
    return was !== undefined && is !== undefined && was < is
  }

  /** Largest tunnel frame that the present way takes, when it is known to take more than every path does. */
  get frameBytesMax(): number | undefined {
    if (this.#isProven) return this.#madeAt(this.#endpoint)?.frameBytesMax
    return this.#isRelayOnly ? this.#relayFrameBytesMax : undefined
  }

  setRelay(hasRelay: boolean): void {
    this.#hasRelay = hasRelay
  }

  /** The registry says that the peer has no endpoint of the network (spec/09). */
  get isRelayOnly(): boolean {
    return this.#isRelayOnly
  }

  /** While set, no endpoint of the network counts for this peer; paths made for it do. */
  setRelayOnly(isRelayOnly: boolean, now: Instant): void {
    this.#isRelayOnly = isRelayOnly
    if (!isRelayOnly) return
    for (const endpoint of [...this.#candidates, this.#endpoint])
      if (endpoint !== undefined && !this.#counts(endpoint)) this.handleWithdrawn(endpoint, now)
  }

  /** A path made for this peer, e.g. a data channel: used as soon as it has answered, unless a better one does. */
  handleOffered(
    endpoint: Endpoint,
    now: Instant,
    path: MadePath & Pick<Made, 'isNeighbour'> = {},
  ): void {
    if (this.#madeAt(endpoint) === undefined) this.#made.push({ rank: 0, ...path, endpoint })
    this.#addCandidate(endpoint)
    this.#betterProbes = 0
    if (this.#isProven && this.#rank(endpoint) <= this.#rank(this.#endpoint)) return
    this.#wantProbe(endpoint)
    this.#schedule(now + FAST_PROBE_MS)
  }

  /**
   * Where the peer may be inside of our own network (RFC 8445 §5.1.1.1: host candidates). Other machines may have these
   * addresses, so one is used only when a probe sent there was answered, and then in place of the way around. At most
   * {@link NEIGHBOURS_MAX}; former ones that are not among them are forgotten.
   */
  handleNeighbours(endpoints: readonly Endpoint[], now: Instant): void {
    const stale = this.#made.filter(
      (made) =>
        made.isNeighbour === true &&
        !endpoints.some((one) => sameEndpoint(one, made.endpoint)) &&
        !(this.#isProven && sameEndpoint(made.endpoint, this.#endpoint)),
    )
    for (const { endpoint } of stale) this.handleWithdrawn(endpoint, now)
    for (const endpoint of endpoints.slice(0, NEIGHBOURS_MAX))
      if (!this.#isProven || !sameEndpoint(endpoint, this.#endpoint))
        this.handleOffered(endpoint, now, { rank: NEIGHBOUR_RANK, isNeighbour: true })
  }

  /** A path is closed for good: packets take another at once. */
  handleWithdrawn(endpoint: Endpoint, now: Instant): void {
    this.#made = this.#made.filter((made) => !sameEndpoint(made.endpoint, endpoint))
    this.#candidates = this.#candidates.filter((candidate) => !sameEndpoint(candidate, endpoint))
    this.#probes = this.#probes.filter(
      (probe) => probe === 'relay' || !sameEndpoint(probe, endpoint),
    )
    if (!sameEndpoint(endpoint, this.#endpoint)) return
    this.#isProven = false
    this.#unansweredSince = this.#suspectedSince = undefined
    this.#endpoint = this.#candidates[0]
    this.#relayedSince = now
    for (const { endpoint: other } of this.#made) this.#wantProbe(other)
    this.#schedule(now + FAST_PROBE_MS)
  }

  /** The registry is being asked for endpoints. */
  handleResolving(now: Instant): void {
    this.#resolvingUntil = now + DIRECT_HEAD_START_MS
  }

  /** Endpoints from the registry; they displace one that answers never, one that is silent at once. */
  handleResolved(endpoints: readonly Endpoint[], now: Instant): void {
    this.#resolvingUntil = undefined
    for (const endpoint of endpoints) this.#addCandidate(endpoint)
    const [endpoint] = endpoints
    if (endpoint === undefined || sameEndpoint(endpoint, this.#endpoint)) return
    if (this.#isProven && !this.#isDoubted(now)) return
    this.#isProven = false
    this.#unansweredSince = undefined
    this.#firstTryAt = undefined
    this.#endpoint = endpoint
    if (this.#relayHeardAt !== undefined) this.#schedule(now)
  }

  /** A key exchange of the peer verified. It may be a replay, so it proves no path and displaces none. */
  handleKeyExchange(from: ArrivalPath, now: Instant): void {
    if (from !== 'relay') {
      if (!this.#counts(from)) return
      this.#addCandidate(from)
      if (!this.#isProven) this.#endpoint = from
    } else if (!this.#isProven) {
      this.#relayHeardAt ??= now
      this.#relayedSince ??= now
      this.#schedule(now)
    }
  }

  /** A frame of the peer authenticated, and was fresh. */
  handleAuthenticated(from: ArrivalPath, now: Instant): void {
    if (from === 'relay') {
      this.#relayHeardAt = now
      if (!this.#isProven && this.#relayedSince === undefined) {
        this.#relayedSince = now
        this.#schedule(now)
      }
      return
    }
    if (!this.#counts(from) || this.#isMuted(from, now)) return
    if (this.#isProven && !sameEndpoint(from, this.#endpoint)) {
      // The peer moved, or somebody forwards its frames: what answers a probe there decides (RFC 9000 §8.2).
      if (this.#isDoubted(now)) this.#prove(from, now)
      else if (this.#rank(from) >= this.#rank(this.#endpoint)) {
        this.#addCandidate(from)
        if (now < this.#moveProbedAt + MOVE_PROBE_MS) return
        this.#moveProbedAt = now
        this.#wantProbe(from)
      }
      return
    }
    this.#prove(from, now)
  }

  /** A probe sent on `sentOn` was answered, on whatever path the answer came. */
  handleProbeAnswer(sentOn: ArrivalPath, now: Instant): void {
    if (sentOn === 'relay') {
      this.#relayHeardAt = now
      return
    }
    if (sameEndpoint(sentOn, this.#muted?.endpoint)) this.#muted = undefined
    if (sameEndpoint(sentOn, this.#endpoint)) this.#suspectedSince = undefined
    if (this.#counts(sentOn) && !this.#hasBetterThan(sentOn, now)) this.#prove(sentOn, now)
  }

  /**
   * Streams are stuck on the path in use, although the peer may be heard there: the way to it may be dead and the way
   * back not. From now on only the answer to a probe says otherwise.
   */
  suspect(now: Instant): void {
    if (!this.#isProven || !this.#hasRelay || this.#suspectedSince !== undefined) return
    this.#suspectedSince = now
    this.#wantProbe(this.#endpoint!)
    this.#wantProbe('relay')
    this.#schedule(now + FAST_PROBE_MS)
  }

  /** Something that the peer will answer was sent by `route`. */
  handleSent(now: Instant): void {
    this.#lastUseAt = now
    this.#firstTryAt ??= now
    if (this.#isProven && this.#unansweredSince === undefined) this.#unansweredSince = now
    const due = this.#isProven ? this.#unansweredSince! + DOUBT_MS : now + FAST_PROBE_MS
    // A path in doubt already has its next probe.
    if (due > now) this.#schedule(due)
    else this.#nextProbeAt ??= now + FAST_PROBE_MS
  }

  /** Where ordinary packets go. */
  route(now: Instant): Route {
    if (this.#isProven) return this.#hasRelay && this.#isDoubted(now) ? 'both' : 'direct'
    if (!this.#hasRelay) return this.#endpoint === undefined ? 'none' : 'direct'
    if (this.#endpoint === undefined)
      return this.#relayHeardAt === undefined && now < (this.#resolvingUntil ?? 0)
        ? 'none'
        : 'relay'
    // Heard through the relay and not direct: the relay works, probes look after the rest.
    if (this.#relayHeardAt !== undefined) return 'relay'
    const triedFor = this.#firstTryAt === undefined ? 0 : now - this.#firstTryAt
    return triedFor < DIRECT_HEAD_START_MS ? 'direct' : 'both'
  }

  /**
   * Where a key exchange that leaves now goes: like packets while a path works, on both while none has proven to. A peer that
   * restarted elsewhere is found only by what it can read without keys.
   */
  keyExchangeRoute(now: Instant): Route {
    this.#firstTryAt ??= now
    const route = this.route(now)
    return route === 'relay' && this.#endpoint !== undefined ? 'both' : route
  }

  handleTimeout(now: Instant): void {
    if (this.#resolvingUntil !== undefined && now >= this.#resolvingUntil)
      this.#resolvingUntil = undefined
    if (this.#nextProbeAt === undefined || now < this.#nextProbeAt) return
    this.#nextProbeAt = undefined
    if (this.#isProven) {
      this.#checkDirect(now)
      this.#probeBetter(now)
    } else if (this.#relayHeardAt !== undefined && now - this.#lastUseAt < RECENT_USE_MS) {
      const age = now - (this.#relayedSince ?? now)
      this.#probeDirect()
      this.#nextProbeAt = now + (age < FAST_PHASE_MS ? RELAYED_PROBE_MS : RELAYED_PROBE_SLOW_MS)
    }
  }

  pollTimeout(): Instant | undefined {
    const until = this.#resolvingUntil
    if (until === undefined || this.#nextProbeAt === undefined) return until ?? this.#nextProbeAt
    return Math.min(until, this.#nextProbeAt)
  }

  /** The next path on which the node should send a probe. */
  pollProbe(): ArrivalPath | undefined {
    return this.#probes.shift()
  }

  /** The network changed under us, or the peer is believed to have moved: everything is to be proven again. */
  doubt(now: Instant): void {
    if (this.#isProven)
      this.#unansweredSince = Math.min(this.#unansweredSince ?? now, now - DOUBT_MS)
    this.#schedule(now)
  }

  #checkDirect(now: Instant): void {
    if (this.#suspectedSince !== undefined && now >= this.#suspectedSince + GIVE_UP_MS) {
      this.#muted = { endpoint: this.#endpoint!, until: now + MUTED_MS }
      this.#giveUp(now)
      return
    }
    if (this.#isDoubted(now)) {
      if (now >= this.#unansweredSince! + DOUBT_MS + GIVE_UP_MS && this.#hasRelay) {
        this.#giveUp(now)
        return
      }
      this.#probes.push(this.#endpoint!)
      if (this.#hasRelay) this.#probes.push('relay')
      this.#nextProbeAt = now + FAST_PROBE_MS
      return
    }
    if (this.#unansweredSince !== undefined) {
      this.#nextProbeAt = this.#unansweredSince + DOUBT_MS
      return
    }
    if (now - this.#lastUseAt > RECENT_USE_MS) return
    if (now >= this.#directHeardAt + KEEPALIVE_MS) {
      this.#probes.push(this.#endpoint!)
      this.#unansweredSince = now
      this.#nextProbeAt = now + DOUBT_MS
    } else this.#nextProbeAt = this.#directHeardAt + KEEPALIVE_MS
  }

  #giveUp(now: Instant): void {
    this.#isProven = false
    this.#relayedSince = now
    this.#unansweredSince = this.#suspectedSince = undefined
    this.#nextProbeAt = now + RELAYED_PROBE_MS
  }

  #isMuted(endpoint: Endpoint, now: Instant): boolean {
    return sameEndpoint(endpoint, this.#muted?.endpoint) && now < (this.#muted?.until ?? 0)
  }

  #probeDirect(): void {
    for (const candidate of this.#candidates) this.#wantProbe(candidate)
  }

  /** A made path of a higher rank may have lost its first probe. */
  #probeBetter(now: Instant): void {
    if (this.#betterProbes >= BETTER_PROBES_MAX) return
    const rank = this.#rank(this.#endpoint)
    const better = this.#made.filter(({ endpoint }) => this.#rank(endpoint) > rank)
    if (better.length === 0) return
    this.#betterProbes++
    for (const { endpoint } of better) this.#wantProbe(endpoint)
    this.#schedule(now + FAST_PROBE_MS)
  }

  #wantProbe(path: ArrivalPath): void {
    if (!this.#probes.includes(path)) this.#probes.push(path)
  }

  #madeAt(endpoint: Endpoint | undefined): Made | undefined {
    return this.#made.find((made) => sameEndpoint(made.endpoint, endpoint))
  }

  #rank(endpoint: Endpoint | undefined): number {
    return this.#madeAt(endpoint)?.rank ?? NETWORK_RANK
  }

  /** `undefined` for none, and for a path that is gone. */
  #rankOfWay(way: Way): number | undefined {
    if (way === 'none') return undefined
    if (way === 'relay') return -1
    if (way === 'direct') return NETWORK_RANK
    return this.#madeAt(way)?.rank
  }

  /** The path in use is well, and preferred to this one. */
  #hasBetterThan(endpoint: Endpoint, now: Instant): boolean {
    if (!this.#isProven || this.#isDoubted(now) || sameEndpoint(endpoint, this.#endpoint))
      return false
    return this.#rank(this.#endpoint) > this.#rank(endpoint)
  }

  #prove(endpoint: Endpoint, now: Instant): void {
    if (!sameEndpoint(endpoint, this.#endpoint)) this.#suspectedSince = undefined
    this.#endpoint = endpoint
    this.#isProven = true
    this.#directHeardAt = now
    this.#unansweredSince = undefined
    this.#relayedSince = undefined
    if (this.#candidates[0] !== endpoint) this.#addCandidate(endpoint)
    const due = now + KEEPALIVE_MS
    if (this.#nextProbeAt === undefined || this.#nextProbeAt < now) this.#nextProbeAt = due
  }

  #isDoubted(now: Instant): boolean {
    if (this.#suspectedSince !== undefined) return true
    // Added up as the timer was: a difference may fall short of it by a rounding.
    return this.#unansweredSince !== undefined && now >= this.#unansweredSince + DOUBT_MS
  }

  #counts(endpoint: Endpoint): boolean {
    return !this.#isRelayOnly || this.#madeAt(endpoint) !== undefined
  }

  #schedule(at: Instant): void {
    if (this.#nextProbeAt === undefined || this.#nextProbeAt > at) this.#nextProbeAt = at
  }

  #addCandidate(endpoint: Endpoint): void {
    const known = this.#candidates.findIndex((candidate) => sameEndpoint(candidate, endpoint))
    if (known >= 0) this.#candidates.splice(known, 1)
    this.#candidates.unshift(endpoint)
    if (this.#candidates.length > CANDIDATES_MAX) this.#candidates.pop()
  }
}
