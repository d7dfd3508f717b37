/**
 * What every registry operation works with: the tables, the options, and the two checks that all share,
 * authentication (spec/04 §6) and the refusal.
 */
import { utf8 } from '../core/bytes.ts'
import type { CryptoProvider } from '../core/crypto/provider.ts'
import type { Instant } from '../core/machine.ts'
import { TokenBuckets } from '../core/rate-limit.ts'
import type { RegistryMessage } from '../core/wire/registry-message.ts'
import { AuditExports } from './audit-exports.ts'
import { AuditLog } from './audit-log.ts'
import { BeaconDirectory } from './beacon-directory.ts'
import { Farewells } from './farewells.ts'
import { HandshakeInbox } from './handshake-inbox.ts'
import {
  BAD_SIGNATURE_COST,
  DEFAULT_REGISTRY_LIMITS,
  DEREGISTER_BURST,
  DEREGISTER_PER_SECOND,
  type RegistryLimits,
} from './limits.ts'
import { NetworkTable } from './network-table.ts'
import { type NodeRecord, NodeTable } from './node-table.ts'
import type { RegistryConnection } from './registry-connection.ts'
import { MemoryStore, type RegistryStore, type StoredState } from './registry-store.ts'
import { parseSignature, stringField } from './request-fields.ts'
import { TrustTable } from './trust-table.ts'

/** The two clocks: monotonic for lifetimes, wall clock for what answers and inboxes say. */
export interface RegistryNow {
  readonly at: Instant
  readonly unixSeconds: number
}

export interface RegistryOptions {
  readonly store: RegistryStore
  readonly verify: CryptoProvider['ed25519Verify']
  readonly limits?: Partial<RegistryLimits>
  /** A new key with the owner text of an offline node takes over its id (spec/04 §22 W1). Default false. */
  readonly allowOwnerRecovery?: boolean
  /** `rotate_key` signed without the new key is accepted (spec/04 §22 W4). Default false. */
  readonly allowUnboundRotation?: boolean
  /** `ip:port` of the beacon for a client that reached us at this address; without it none is named. */
  readonly beaconAt?: (localAddress: string | undefined) => string | undefined
  /** Beacons from loopback and private addresses may announce any endpoint (spec/04 §22 W12). Default false. */
  readonly trustLocalBeacons?: boolean
  /** Opens what needs it (spec/05 §11), custom networks among it. Without one nobody may. */
  readonly adminToken?: string
  /** Why a URL is not one to send to. Without it nothing is sent, and what asks for it is refused. */
  readonly exportUrlProblem?: (url: string) => string | undefined
  /** What a standby says to receive the whole state (spec/04 §16). Without one none is served. */
  readonly replicationToken?: string
  /** Only answers, from what a primary sends; nothing expires (spec/04 §16). Default false. */
  readonly isStandby?: boolean
}

export interface RegistryRequest {
  readonly message: RegistryMessage
  readonly connection: RegistryConnection
  readonly now: RegistryNow
}

export type Operation = (desk: RegistryDesk, request: RegistryRequest) => RegistryMessage

/** An answer that says no, and why. */
export class Refusal {
  readonly reply: RegistryMessage
  constructor(reason: string) {
    this.reply = refuse(reason)
  }
}

export function refuse(reason: string): RegistryMessage {
  return { type: 'error', error: reason }
}

export function nodeNotFound(nodeId: number): string {
  return `node ${nodeId}: node not found`
}

export interface AuthenticationTexts {
  readonly missing?: string
  readonly wrong?: string
}

export class RegistryDesk {
  readonly options: RegistryOptions
  readonly limits: RegistryLimits
  nodes: NodeTable
  trust: TrustTable
  readonly farewells: Farewells = new Farewells()
  inbox: HandshakeInbox
  readonly beacons: BeaconDirectory
  networks: NetworkTable
  readonly audit: AuditLog
  /** Where the audit log goes besides. */
  readonly exports: AuditExports
  /** Unix seconds at which network 0 came to be: when this registry started. */
  readonly createdAt: number
  readonly registrations: TokenBuckets<string>
  readonly requests: TokenBuckets<string>
  readonly nodeRequests: TokenBuckets<number>
  readonly deregistrations: TokenBuckets<number>
  readonly scoreUpdates: TokenBuckets<string>
  /** Signatures verified for a node from an address other than its registered one (spec/04 §22 W5). */
  foreignSignatures = 0

  constructor(options: RegistryOptions, now: RegistryNow) {
    this.options = options
    this.limits = { ...DEFAULT_REGISTRY_LIMITS, ...options.limits }
    const { store } = options
    this.nodes = new NodeTable(store)
    this.trust = new TrustTable(store)
    this.inbox = new HandshakeInbox(store)
    this.beacons = new BeaconDirectory(options.trustLocalBeacons ?? false)
    const { limits } = this
    this.networks = new NetworkTable(store)
    this.exports = new AuditExports(store)
    this.audit = new AuditLog(store, (options.adminToken ?? '') !== '', this.exports)
    this.createdAt = now.unixSeconds
    this.registrations = new TokenBuckets({
      burst: limits.registrationsPerMinute,
      perSecond: limits.registrationsPerMinute / 60,
    })
    this.requests = new TokenBuckets({
      burst: limits.requestBurst,
      perSecond: limits.requestsPerSecond,
    })
    this.nodeRequests = new TokenBuckets({
      burst: limits.nodeRequestBurst,
      perSecond: limits.nodeRequestsPerSecond,
    })
    this.deregistrations = new TokenBuckets({
      burst: DEREGISTER_BURST,
      perSecond: DEREGISTER_PER_SECOND,
    })
    this.scoreUpdates = new TokenBuckets({
      burst: limits.poloBurst,
      perSecond: limits.poloPerSecond,
    })
    const state = store.load()
    this.#load(state, now)
    this.audit.load(state.audit)
    this.exports.load()
  }

  /** A missing, undecodable or wrong signature is refused; each costs its source more than a request. */
  verify(
    request: RegistryRequest,
    key: Uint8Array,
    challenge: string,
    { missing, wrong }: AuthenticationTexts = {},
  ): Refusal | undefined {
    const text = stringField(request.message, 'signature')
    if (text === '') return new Refusal(missing ?? 'signature required for authenticated node')
    const signature = parseSignature(text)
    if (signature === undefined)
      return new Refusal('invalid signature encoding: need base64 of 64 bytes')
    if (this.options.verify(key, utf8(challenge), signature)) return undefined
    this.chargeForgery(request)
    return new Refusal(wrong ?? 'signature verification failed')
  }

  /** A wrong secret costs its source more than a request. */
  chargeForgery({ connection, now }: RegistryRequest): void {
    this.requests.charge(connection.rateKey, BAD_SIGNATURE_COST, now.at)
  }

  /**
   * The live node of this id, once the request proves its key. A registration this connection made for it
   * and that waited for the proof takes effect.
   */
  authenticate(
    request: RegistryRequest,
    nodeId: number,
    challenge: string,
    texts?: AuthenticationTexts,
  ): NodeRecord | Refusal {
    const node = this.nodes.live(nodeId)
    if (node === undefined) return new Refusal(nodeNotFound(nodeId))
    const refusal = this.verify(request, node.keyBytes, challenge, texts)
    if (refusal !== undefined) return refusal
    const { connection, now } = request
    if (!this.nodeRequests.take(nodeId, now.at))
      return new Refusal(`rate limited: too many requests from node ${nodeId}`)
    return this.accept(node, connection, now)
  }

  /** Notes that the connection has proven the key of this live node. */
  accept(node: NodeRecord, connection: RegistryConnection, now: RegistryNow): NodeRecord {
    connection.prove(node)
    node.authenticatedAt = now.at
    const registration = connection.takeRegistration(node.id)
    let current = node
    if (registration !== undefined) {
      const { endpoint, relayOnly, extras } = registration
      current = this.nodes.change(node, { endpoint, relayOnly, ...extras })
      current.lastSeenAt = now.at
      if (
        registration.hostname !== '' &&
        this.nodes.byHostname(registration.hostname) === undefined
      )
        current = this.nodes.change(current, { hostname: registration.hostname })
    }
    if (current.sourceIp !== connection.source.address) this.foreignSignatures++
    return current
  }

  /** Forgets nodes, trust, inboxes and networks for those of a primary; nothing of them goes to the store. */
  replace(state: StoredState, now: RegistryNow): void {
    const store = new MemoryStore()
    this.nodes = new NodeTable(store)
    this.trust = new TrustTable(store)
    this.inbox = new HandshakeInbox(store)
    this.networks = new NetworkTable(store)
    this.#load(state, now)
  }

  #load(state: StoredState, now: RegistryNow): void {
    this.nodes.load(state.nodes, state.nextNodeId, now.at)
    this.trust.load(state.pairs, state.consents)
    this.inbox.load(state.requests, state.responses, state.relayed)
    this.networks.load(state)
  }

  /** Everything the store keeps. */
  state(): StoredState {
    const { nodes, trust, inbox, networks } = this
    return {
      nextNodeId: nodes.nextId,
      nodes: [...nodes.records()],
      pairs: [...trust.pairs()],
      consents: [...trust.consents()],
      requests: [...inbox.requests()],
      responses: [...inbox.responses()],
      relayed: [...inbox.relayed()],
      nextNetworkId: networks.nextId,
      networks: [...networks.all()],
      members: [...networks.memberships()],
      invites: [...networks.invites()],
      audit: this.audit.all(),
    }
  }

  /**
   * Whether `requester` may learn the endpoint of `target` (spec/04 §8.5). Deviation: a pair is not enough,
   * the target must have consented (spec/04 §22 W7).
   */
  mayResolve(requester: number, target: NodeRecord): boolean {
    if (target.isPublic || this.networks.share(requester, target.id)) return true
    return this.trust.hasPair(requester, target.id) && this.trust.hasConsent(target.id, requester)
  }
}
