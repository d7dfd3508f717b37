/**
 * Node identities and their attributes, with the indices by key, hostname and owner (spec/04 §7). Every
 * change goes through here, so that index, memory and store agree.
 */

import { fromBase64 } from '../core/bytes.ts'
import type { Instant } from '../core/machine.ts'
import { KEY_ROTATIONS_MAX, type KeyRotation } from '../core/trust/key-rotations.ts'
import { BROADCAST_NODE } from '../core/wire/address.ts'
import type { RegistryNow } from './registry-desk.ts'
import { NEW_NODE, type RegistryStore, type StoredNode } from './registry-store.ts'
import type { PublicKey } from './request-fields.ts'

export interface NodeRecord extends StoredNode {
  readonly keyBytes: Uint8Array
  /** Host part of `endpoint`. */
  readonly sourceIp: string
  lastSeenAt: Instant
  /** When a signature of this node was last verified in its present life. */
  authenticatedAt: Instant | undefined
}

/** What may change about a record; the key changes through `rekey`, life through `revive` and `remove`. */
export type NodeChanges = Partial<
  Pick<
    StoredNode,
    | 'owner'
    | 'endpoint'
    | 'isPublic'
    | 'hostname'
    | 'tags'
    | 'poloScore'
    | 'taskExec'
    | 'signsRegistration'
    | 'relayOnly'
    | 'keyExpiresAt'
    | 'version'
    | 'lanAddrs'
    | 'endpoints'
  >
>

export class NodeTable {
  readonly #store: RegistryStore
  readonly #byId = new Map<number, NodeRecord>()
  readonly #byKey = new Map<string, NodeRecord>()
  readonly #byHostname = new Map<string, NodeRecord>()
  readonly #byOwner = new Map<string, NodeRecord>()
  #nextId = 1
  #live = 0

  constructor(store: RegistryStore) {
    this.#store = store
  }

  /** Nodes that were live stay so as if seen just now: they may have heartbeated until we stopped (spec/04 §21.12). */
  load(nodes: Iterable<StoredNode>, nextId: number, now: Instant): void {
    this.#nextId = nextId
    for (const stored of nodes) {
      const record: NodeRecord = {
        ...stored,
        keyBytes: fromBase64(stored.publicKey)!,
        sourceIp: hostOf(stored.endpoint),
        lastSeenAt: now,
        authenticatedAt: undefined,
      }
      this.#index(record)
      if (record.isLive) this.#live++
    }
  }

  /** When a live node was last heard and proven, as far as it was kept. */
  resume(id: number, lastSeenAt: Instant, authenticatedAt: Instant | undefined): void {
    const record = this.live(id)
    if (record === undefined) return
    record.lastSeenAt = lastSeenAt
    record.authenticatedAt = authenticatedAt
  }

  /** All identities, live or not. */
  records(): Iterable<NodeRecord> {
    return this.#byId.values()
  }

  /** The id that the next new identity gets. */
  get nextId(): number {
    return this.#nextId
  }

  /** Identities ever made. */
  get size(): number {
    return this.#byId.size
  }

  get liveCount(): number {
    return this.#live
  }

  get(id: number): NodeRecord | undefined {
    return this.#byId.get(id)
  }

  /** Where a live node registered. */
  place(nodeId: number): { readonly ip: string; readonly endpoint: string } | undefined {
    const node = this.live(nodeId)
    return node === undefined ? undefined : { ip: node.sourceIp, endpoint: node.endpoint }
  }

  /** Only if registered now. */
  live(id: number): NodeRecord | undefined {
    const record = this.#byId.get(id)
    return record?.isLive === true ? record : undefined
  }

  byKey(publicKey: string): NodeRecord | undefined {
    return this.#byKey.get(publicKey)
  }

  byHostname(hostname: string): NodeRecord | undefined {
    return this.#byHostname.get(hostname)
  }

  byOwner(owner: string): NodeRecord | undefined {
    return this.#byOwner.get(owner)
  }

  *liveNodes(): IterableIterator<NodeRecord> {
    for (const record of this.#byId.values()) if (record.isLive) yield record
  }

  /** A new identity, or `undefined` when the 32-bit id space is used up. Ids are never given away twice. */
  create(
    key: PublicKey,
    owner: string,
    endpoint: string,
    now: RegistryNow,
  ): NodeRecord | undefined {
    if (this.#nextId >= BROADCAST_NODE) return undefined
    const record: NodeRecord = {
      id: this.#nextId++,
      publicKey: key.text,
      keyBytes: key.bytes,
      owner,
      endpoint,
      sourceIp: hostOf(endpoint),
      isLive: true,
      ...NEW_NODE,
      keyCreatedAt: now.unixSeconds,
      lastSeenAt: now.at,
      authenticatedAt: undefined,
    }
    this.#live++
    this.#store.saveNextNodeId(this.#nextId)
    this.#put(record)
    return record
  }

  /** Begins a new life of an identity that is not live; its attributes went with the last one. */
  revive(record: NodeRecord, endpoint: string, now: Instant): NodeRecord {
    const revived: NodeRecord = {
      ...record,
      endpoint,
      sourceIp: hostOf(endpoint),
      isLive: true,
      lastSeenAt: now,
      authenticatedAt: undefined,
    }
    this.#live++
    return this.#put(revived)
  }

  /** Ends a life: hostname and attributes go; id, key, owner and score stay (spec/04 §7, §22 W21). */
  remove(record: NodeRecord): void {
    if (!record.isLive) return
    this.#live--
    this.#put({
      ...record,
      isLive: false,
      isPublic: false,
      hostname: '',
      tags: [],
      taskExec: false,
      relayOnly: false,
      version: '',
      lanAddrs: [],
      endpoints: [],
    })
  }

  change(record: NodeRecord, changes: NodeChanges): NodeRecord {
    const changed: NodeRecord = { ...record, ...changes }
    return this.#put(
      changes.endpoint === undefined ? changed : { ...changed, sourceIp: hostOf(changes.endpoint) },
    )
  }

  /** The old key is forgotten: it would name a new identity. The new one does not expire (spec/05 §24 L13). */
  rekey(
    record: NodeRecord,
    key: PublicKey,
    unixSeconds: number,
    rotations: readonly KeyRotation[] = [],
  ): NodeRecord {
    return this.#put({
      ...record,
      publicKey: key.text,
      keyBytes: key.bytes,
      signsRegistration: false,
      keyRotatedAt: unixSeconds,
      keyExpiresAt: 0,
      keyRotations: record.keyRotations + 1,
      rotations: rotations.slice(-KEY_ROTATIONS_MAX),
    })
  }

  #put(record: NodeRecord): NodeRecord {
    const before = this.#byId.get(record.id)
    if (before !== undefined) {
      if (before.publicKey !== record.publicKey) this.#byKey.delete(before.publicKey)
      if (before.hostname !== record.hostname) this.#byHostname.delete(before.hostname)
      if (before.owner !== record.owner && this.#byOwner.get(before.owner) === before)
        this.#byOwner.delete(before.owner)
    }
    this.#index(record)
    this.#store.saveNode(record)
    return record
  }

  #index(record: NodeRecord): void {
    this.#byId.set(record.id, record)
    this.#byKey.set(record.publicKey, record)
    if (record.hostname !== '') this.#byHostname.set(record.hostname, record)
    if (record.owner !== '') this.#byOwner.set(record.owner, record)
  }
}

function hostOf(endpoint: string): string {
  const host = endpoint.slice(0, endpoint.lastIndexOf(':'))
  return host.startsWith('[') ? host.slice(1, -1) : host
}
