/**
 * What the registry asks of its storage: read everything once, then record changes and make them durable
 * together. The registry keeps its state in memory; a store never answers questions.
 */
import type { KeyRotation } from '../core/trust/key-rotations.ts'

/** One identity: its id and key stay forever, the attributes belong to the present life (spec/04 §7). */
export interface StoredNode {
  readonly id: number // 1..2^32-2
  /** Canonical base64 of the 32-byte Ed25519 key. */
  readonly publicKey: string
  readonly owner: string
  /** `ip:port`. */
  readonly endpoint: string
  readonly isLive: boolean
  readonly isPublic: boolean
  readonly hostname: string
  readonly tags: readonly string[]
  readonly poloScore: number
  readonly taskExec: boolean
  /** A registration of this key was signed once; unsigned ones are refused since (spec/04 §22 W3). */
  readonly signsRegistration: boolean
  /** Reached through a beacon only; `endpoint` is told to nobody (spec/09). */
  readonly relayOnly: boolean
  /** Unix seconds, 0 when not known, when it never was rotated, when it does not expire (spec/05 §6.3). */
  readonly keyCreatedAt: number
  readonly keyRotatedAt: number
  readonly keyExpiresAt: number
  readonly keyRotations: number
  /** The latest changes of key, each signed with the key before, oldest first (spec/10 §16). */
  readonly rotations: readonly KeyRotation[]
  /** What the daemon said at its last registration (spec/05 §5.1). */
  readonly version: string
  /** `ip:port`. */
  readonly lanAddrs: readonly string[]
  readonly endpoints: readonly ExtraEndpoint[]
}

/** What a node begins with, beside who and where it is. */
export const NEW_NODE: Omit<
  StoredNode,
  'id' | 'publicKey' | 'owner' | 'endpoint' | 'isLive' | 'keyCreatedAt'
> = {
  isPublic: false,
  hostname: '',
  tags: [],
  poloScore: 0,
  taskExec: false,
  signsRegistration: false,
  relayOnly: false,
  keyRotatedAt: 0,
  keyExpiresAt: 0,
  keyRotations: 0,
  rotations: [],
  version: '',
  lanAddrs: [],
  endpoints: [],
}

/** Another way to reach a node, as it named it (spec/05 §5.1). */
export interface ExtraEndpoint {
  readonly network: string // `tcp` or `turn`
  readonly addr: string
}

export type JoinRule = 'open' | 'token' | 'invite'
/** `''` in a network whose roles were dropped with its enterprise flag (spec/05 §12). */
export type MemberRole = 'owner' | 'admin' | 'member' | ''

export interface StoredNetwork {
  readonly id: number // 1..65535
  readonly name: string
  readonly joinRule: JoinRule
  /** In clear, `''` when there is none: snapshots for a reference carry them, and this file is private. */
  readonly token: string
  readonly adminToken: string
  readonly isEnterprise: boolean
  /** Unix seconds. */
  readonly createdAt: number
  /** 0: no limit. */
  readonly maxMembers: number
  /** `null` when never set. */
  readonly allowedPorts: readonly number[] | null
  readonly description: string
  /** JSON texts, `''` when there is none. */
  readonly rules: string
  readonly exprPolicy: string
}

export interface StoredMember {
  readonly network: number
  readonly node: number
  readonly role: MemberRole
  readonly tags: readonly string[]
  /** Unix seconds since when it is deregistered; 0 while it is not. */
  readonly departedAt: number
}

export interface StoredInvite {
  readonly network: number
  readonly target: number
  readonly inviter: number
  readonly unixSeconds: number
}

/** `node`: what any node can cause; `admin`: what concerns keys and networks. They do not displace each other. */
export type AuditKind = 'node' | 'admin'

export interface StoredAuditEntry {
  /** From 1, never used twice. */
  readonly sequence: number
  readonly kind: AuditKind
  readonly unixSeconds: number
  readonly action: string
  /** 0: none. */
  readonly node: number
  readonly network: number
  /** `k=v, k=v` */
  readonly details: string
}

/** `asked`: a relayed request, an accepting answer or reported trust. `resolved`: it resolved the receiver. */
export type ConsentKind = 'asked' | 'resolved'

export interface StoredConsent {
  readonly giver: number
  readonly receiver: number
  readonly kind: ConsentKind
}

export interface StoredRequest {
  readonly target: number
  readonly from: number
  readonly justification: string
  readonly unixSeconds: number
}

export interface StoredResponse {
  readonly target: number
  readonly from: number
  readonly accept: boolean
  readonly unixSeconds: number
}

/** That `from` once asked `target` through this registry. */
export interface StoredRelayed {
  readonly target: number
  readonly from: number
  readonly unixSeconds: number
}

export interface StoredState {
  /** The id that the next new identity gets: above every id ever given away. */
  readonly nextNodeId: number
  readonly nodes: Iterable<StoredNode>
  /** Unordered pairs, lower id first. */
  readonly pairs: Iterable<readonly [number, number]>
  readonly consents: Iterable<StoredConsent>
  /** Oldest first, as are the two below. */
  readonly requests: Iterable<StoredRequest>
  readonly responses: Iterable<StoredResponse>
  readonly relayed: Iterable<StoredRelayed>
  /** Above every network id ever given away. */
  readonly nextNetworkId: number
  readonly networks: Iterable<StoredNetwork>
  /** In the order of joining. */
  readonly members: Iterable<StoredMember>
  readonly invites: Iterable<StoredInvite>
  /** Oldest first. */
  readonly audit: Iterable<StoredAuditEntry>
}

export interface RegistryStore {
  /** What was committed before; called once, before anything else. @throws {StorageError} `ERR_STORE_CORRUPT`, `ERR_STORE_IO`. */
  load(): StoredState

  saveNextNodeId(next: number): void
  saveNode(node: StoredNode): void
  savePair(low: number, high: number): void
  deletePair(low: number, high: number): void
  saveConsent(consent: StoredConsent): void
  deleteConsent(giver: number, receiver: number): void
  saveRequest(request: StoredRequest): void
  deleteRequest(target: number, from: number): void
  saveResponse(response: StoredResponse): void
  deleteResponse(target: number, from: number): void
  saveRelayed(relayed: StoredRelayed): void
  deleteRelayed(target: number, from: number): void
  saveNextNetworkId(next: number): void
  saveNetwork(network: StoredNetwork): void
  deleteNetwork(id: number): void
  saveMember(member: StoredMember): void
  deleteMember(network: number, node: number): void
  saveInvite(invite: StoredInvite): void
  deleteInvite(network: number, target: number): void
  saveAuditEntry(entry: StoredAuditEntry): void
  deleteAuditEntry(sequence: number): void
  /** What an operator set, by name; no part of the state that standbys and snapshots have. */
  loadSettings(): ReadonlyMap<string, string>
  saveSetting(name: string, value: string): void
  /** In place of everything before but the settings; durable with the next commit. */
  clear(): void

  /** Changes since the last successful `commit`. */
  readonly pendingChanges: number
  /**
   * Makes every change so far durable, all or nothing. After a failure they are still pending.
   *
   * @throws {StorageError} `ERR_STORE_IO`.
   */
  commit(): void
  /** Commits what is pending and releases the file. @throws {StorageError} `ERR_STORE_IO`. */
  close(): void
}

/** Writes a whole state into an empty store; it is durable with the next commit. */
export function saveState(store: RegistryStore, state: StoredState): void {
  store.saveNextNodeId(state.nextNodeId)
  store.saveNextNetworkId(state.nextNetworkId)
  for (const node of state.nodes) store.saveNode(node)
  for (const [low, high] of state.pairs) store.savePair(low, high)
  for (const consent of state.consents) store.saveConsent(consent)
  for (const request of state.requests) store.saveRequest(request)
  for (const response of state.responses) store.saveResponse(response)
  for (const relayed of state.relayed) store.saveRelayed(relayed)
  for (const network of state.networks) store.saveNetwork(network)
  for (const member of state.members) store.saveMember(member)
  for (const invite of state.invites) store.saveInvite(invite)
  for (const entry of state.audit) store.saveAuditEntry(entry)
}

/** Keeps nothing: for tests and registries whose state may go with the process. */
export class MemoryStore implements RegistryStore {
  readonly pendingChanges = 0

  load(): StoredState {
    return {
      nextNodeId: 1,
      nodes: [],
      pairs: [],
      consents: [],
      requests: [],
      responses: [],
      relayed: [],
      nextNetworkId: 1,
      networks: [],
      members: [],
      invites: [],
      audit: [],
    }
  }

  saveNextNodeId(): void {}
  saveNode(): void {}
  savePair(): void {}
  deletePair(): void {}
  saveConsent(): void {}
  deleteConsent(): void {}
  saveRequest(): void {}
  deleteRequest(): void {}
  saveResponse(): void {}
  deleteResponse(): void {}
  saveRelayed(): void {}
  deleteRelayed(): void {}
  saveNextNetworkId(): void {}
  saveNetwork(): void {}
  deleteNetwork(): void {}
  saveMember(): void {}
  deleteMember(): void {}
  saveInvite(): void {}
  deleteInvite(): void {}
  saveAuditEntry(): void {}
  deleteAuditEntry(): void {}
  loadSettings(): ReadonlyMap<string, string> {
    return new Map()
  }
  saveSetting(): void {}
  clear(): void {}
  commit(): void {}
  close(): void {}
}
