/**
 * Finds peers: asks the registry where they are and what their key is, pushes dials that get no answer, and
 * ends those that have nowhere to go (spec/02 §7, spec/01 §7.4).
 */
import { fromBase64 } from '../bytes.ts'
import { NetworkError, type PilotError } from '../errors.ts'
import { type Endpoint, type Instant, parseEndpoint, sameEndpoint } from '../machine.ts'
import { addressScope, type BeaconClient } from '../rendezvous/beacon-client.ts'
import type { RegistryMessage } from '../wire/registry-message.ts'
import type { NodeContext } from './context.ts'
import type { Inquiry, Peer } from './peer.ts'
import type { PeerTable } from './peer-table.ts'
import type { Prober } from './prober.ts'
import type { RegistryDesk } from './registry-desk.ts'
import type { Scheduler } from './scheduler.ts'
import type { TrustExchange } from './trust-exchange.ts'

/** Registry answers about a peer are believed for so long; failures are not repeated sooner than this. */
const RESOLVE_TTL_MS = 60_000
const INQUIRY_RETRY_MS = 2000
const NUDGE_MS = 1000
const ROTATE_AFTER_NUDGES = 3
/** Entries of `lan_addrs` that are looked at. */
const LAN_ADDRS_READ = 16

export interface PeerFinderParts {
  readonly context: NodeContext
  readonly beacon: BeaconClient | undefined
  readonly desk: RegistryDesk
  readonly peers: PeerTable
  readonly prober: Prober
  readonly scheduler: Scheduler
  readonly trust: TrustExchange
}

export class PeerFinder {
  readonly #parts: PeerFinderParts

  constructor(parts: PeerFinderParts) {
    this.#parts = parts
  }

  /** Something is to be sent to a peer: asks the registry where it is, unless that is known well enough. */
  reach(peer: Peer, now: Instant): void {
    peer.dialedAt = now
    if (peer.paths.isProven && now - peer.heardAt < RESOLVE_TTL_MS) return
    const { name } = peer.resolveInquiry
    const isOld =
      ageOf(peer.resolveInquiry, now) >= (name === 'failed' ? INQUIRY_RETRY_MS : RESOLVE_TTL_MS)
    if (isOld || (name === 'failed' && !this.#isReachable(peer))) this.#resolve(peer, now)
  }

  /** The peer is to be found anew, whatever is known of it. */
  seek(peer: Peer, now: Instant): void {
    this.#resolve(peer, now)
  }

  /** A dial to the peer begins: it is pushed while no answer comes. */
  watch(peer: Peer, now: Instant): void {
    if (peer.nudgeAt !== undefined) return
    peer.nudges = 0
    peer.nudgeAt = now + NUDGE_MS
  }

  handleTimeout(peer: Peer, now: Instant): void {
    if (peer.nudgeAt !== undefined && now >= peer.nudgeAt) this.#nudge(peer, now)
  }

  handleResolved(peerId: number, reply: RegistryMessage, now: Instant): void {
    const { context, peers, prober, scheduler, beacon } = this.#parts
    const peer = peers.get(peerId)
    if (peer === undefined) return
    peer.resolveInquiry = { name: 'answered', at: now }
    const isRelayOnly = reply.relay_only === true
    const isDirect = !isRelayOnly && context.options.relayOnly !== true
    const endpoint = isDirect ? endpointOf(reply.real_addr) : undefined
    peer.paths.setRelayOnly(isRelayOnly, now)
    peer.paths.handleResolved(endpoint === undefined ? [] : [endpoint], now)
    peer.paths.handleNeighbours(this.#neighboursOf(endpoint, reply.lan_addrs), now)
    prober.probeWanted(peer, now)
    if (endpoint === undefined && !this.#isReachable(peer) && beacon === undefined)
      this.#giveUp(
        peer,
        new NetworkError('ERR_PEER_UNRESOLVED', `node ${peerId} has no real address`),
        now,
      )
    scheduler.touchPeer(peer, now)
  }

  handleUnresolved(peerId: number, cause: PilotError, now: Instant): void {
    const { peers, scheduler, trust } = this.#parts
    const peer = peers.get(peerId)
    if (peer === undefined) return
    peer.resolveInquiry = { name: 'failed', at: now }
    peer.paths.handleResolved([], now)
    if (!this.#isReachable(peer)) {
      // Port 444 is open to whoever can prove its key, so a trust message may still find its way by relay.
      trust.handleUnresolved(peerId)
      const code =
        cause.code === 'ERR_REGISTRY' ? 'ERR_PEER_UNRESOLVED' : 'ERR_REGISTRY_UNAVAILABLE'
      const message = `resolve node ${peerId}: ${cause.message}`
      this.#giveUp(peer, new NetworkError(code, message, { cause }), now)
    }
    scheduler.touchPeer(peer, now)
  }

  /** The registered key of a node, whether a peer or not; `undefined` when the answer holds none. */
  handleLookedUp(peerId: number, reply: RegistryMessage, now: Instant): Uint8Array | undefined {
    const key = typeof reply.public_key === 'string' ? fromBase64(reply.public_key) : undefined
    if (key?.length !== 32) return undefined
    const peer = this.#parts.peers.get(peerId)
    if (peer !== undefined) {
      peer.lookupInquiry = { name: 'answered', at: now }
      peer.identityKey ??= key
    }
    return key
  }

  handleLookupFailed(peerId: number, now: Instant): void {
    const peer = this.#parts.peers.get(peerId)
    if (peer !== undefined) peer.lookupInquiry = { name: 'failed', at: now }
  }

  /**
   * Where a peer behind our own NAT may be inside of it. Those of our own /24 come first; where our public address is
   * not known, or is another one, nothing is sent to private addresses because a registry names them.
   */
  #neighboursOf(endpoint: Endpoint | undefined, given: unknown): readonly Endpoint[] {
    const { beacon, context } = this.#parts
    const isBehindOurs = endpoint !== undefined && endpoint.address === beacon?.observed?.address
    if (!isBehindOurs || addressScope(endpoint.address) === 'loopback') return []
    if (!Array.isArray(given)) return []
    const own = (context.options.lanAddresses?.() ?? []).map(endpointOf)
    const isNear = (one: Endpoint): boolean =>
      own.some((ours) => ours !== undefined && subnetOf(ours) === subnetOf(one))
    return given
      .slice(0, LAN_ADDRS_READ)
      .map(endpointOf)
      .filter((one) => one !== undefined)
      .filter((one) => addressScope(one.address) === 'private' && one.port > 0)
      .filter((one) => ![endpoint, ...own].some((other) => sameEndpoint(one, other)))
      .sort((a, b) => Number(isNear(b)) - Number(isNear(a)))
  }

  #resolve(peer: Peer, now: Instant): void {
    const { context, desk, beacon } = this.#parts
    if (peer.resolveInquiry.name === 'asked') return
    peer.resolveInquiry = { name: 'asked', at: now }
    peer.paths.handleResolving(now)
    desk.ask({ kind: 'resolve', peerId: peer.id }, context.requests.resolve(peer.id), now)
    const wantsKey = peer.identityKey === undefined && !peer.isPlaintext
    if (wantsKey && peer.lookupInquiry.name !== 'asked') {
      peer.lookupInquiry = { name: 'asked', at: now }
      desk.ask({ kind: 'lookup', peerId: peer.id }, context.requests.lookup(peer.id), now)
    }
    if (!peer.paths.isRelayOnly) beacon?.requestPunch(peer.id)
  }

  /** A dial goes unanswered: look for the peer anew, and suspect the keys (spec/01 §7.4, §12 b, d). */
  #nudge(peer: Peer, now: Instant): void {
    peer.nudgeAt = undefined
    if (![...peer.streams.values()].some(({ connection }) => connection.state === 'SYN_SENT'))
      return
    peer.nudges++
    peer.nudgeAt = now + NUDGE_MS
    if (now - peer.heardAt < NUDGE_MS) return
    peer.tunnel.requestAgain(now)
    if (!peer.paths.isRelayOnly) this.#parts.beacon?.requestPunch(peer.id)
    if (ageOf(peer.resolveInquiry, now) > INQUIRY_RETRY_MS) this.#resolve(peer, now)
    if (peer.nudges % ROTATE_AFTER_NUDGES === 0 && peer.tunnel.isKeyed && !peer.isPlaintext)
      peer.tunnel.rotate(this.#parts.context.createLocalKeys(), now)
  }

  /** There is some way to send to it, whatever the registry says. */
  #isReachable(peer: Peer): boolean {
    if (peer.paths.endpoint !== undefined || peer.paths.kind !== 'none') return true
    return this.#parts.beacon !== undefined && this.#parts.trust.isTrusted(peer.id)
  }

  #giveUp(peer: Peer, error: PilotError, now: Instant): void {
    const { context, beacon, prober, scheduler } = this.#parts
    const relayed = beacon === undefined ? undefined : 'trust-outbound'
    for (const stream of [...peer.streams.values()])
      if (stream.connection.state === 'SYN_SENT' && stream.owner !== relayed) {
        stream.error = error
        stream.connection.abort('timeout', now)
        scheduler.touchStream(stream)
      }
    for (let left = peer.shift(); left !== undefined; left = peer.shift())
      context.drop('unresolved')
    prober.failPings(peer, error)
  }
}

function ageOf(inquiry: Inquiry, now: Instant): number {
  if (inquiry.name === 'asked') return 0
  return inquiry.name === 'none' ? Number.POSITIVE_INFINITY : now - inquiry.at
}

function endpointOf(value: unknown): Endpoint | undefined {
  return typeof value === 'string' ? parseEndpoint(value) : undefined
}

/** The /24 of an IPv4 address. */
function subnetOf({ address }: Endpoint): string {
  return address.slice(0, address.lastIndexOf('.'))
}
