/** Who is trusted, who asked, whom we asked: plain data and the reference's `trust.json` (spec/03 §D.5). */
import { StorageError } from '../errors.ts'
import { formatRfc3339, parseRfc3339 } from '../time-text.ts'
import { goJson } from './handshake-message.ts'

/** `publicKey` is base64, `''` while unknown; times are Unix seconds. */
export interface TrustedRecord {
  readonly nodeId: number
  readonly publicKey: string
  readonly approvedAt: number
  readonly mutual: boolean
  readonly network: number
}

export interface PendingRecord {
  readonly nodeId: number
  readonly publicKey: string
  readonly justification: string
  readonly receivedAt: number
}

/** A request of ours that nobody has answered yet. Our addition to the file: accepts need one. */
export interface OutgoingRecord {
  readonly nodeId: number
  readonly sentAt: number
}

/** Requests waiting for the user; the oldest gives way. */
export const PENDING_MAX = 256
const OUTGOING_MAX = 1024

export class TrustStore {
  readonly #trusted = new Map<number, TrustedRecord>()
  readonly #pending = new Map<number, PendingRecord>()
  readonly #outgoing = new Map<number, OutgoingRecord>()
  /** Members of the file that are not ours: written back as they were. */
  #unknown: Record<string, unknown> = {}

  getTrusted(nodeId: number): TrustedRecord | undefined {
    return this.#trusted.get(nodeId)
  }
  getPending(nodeId: number): PendingRecord | undefined {
    return this.#pending.get(nodeId)
  }
  hasOutgoing(nodeId: number): boolean {
    return this.#outgoing.has(nodeId)
  }
  get outgoingCount(): number {
    return this.#outgoing.size
  }

  /** Sorted by node id. */
  trusted(): TrustedRecord[] {
    return [...this.#trusted.values()].sort((a, b) => a.nodeId - b.nodeId)
  }
  /** Sorted by node id. */
  pending(): PendingRecord[] {
    return [...this.#pending.values()].sort((a, b) => a.nodeId - b.nodeId)
  }

  /** Sorted by node id. */
  outgoing(): OutgoingRecord[] {
    return [...this.#outgoing.values()].sort((a, b) => a.nodeId - b.nodeId)
  }

  /** Trust settles the matter: pending and outgoing requests of that node end. */
  trust(record: TrustedRecord): void {
    this.#trusted.set(record.nodeId, record)
    this.#pending.delete(record.nodeId)
    this.#outgoing.delete(record.nodeId)
  }
  addPending(record: PendingRecord): void {
    this.#pending.delete(record.nodeId)
    this.#pending.set(record.nodeId, record)
    trim(this.#pending, PENDING_MAX)
  }
  addOutgoing(record: OutgoingRecord): void {
    this.#outgoing.delete(record.nodeId)
    this.#outgoing.set(record.nodeId, record)
    trim(this.#outgoing, OUTGOING_MAX)
  }
  removeTrusted(nodeId: number): boolean {
    return this.#trusted.delete(nodeId)
  }
  removePending(nodeId: number): boolean {
    return this.#pending.delete(nodeId)
  }
  removeOutgoing(nodeId: number): boolean {
    return this.#outgoing.delete(nodeId)
  }

  /** Text of `trust.json`. */
  format(): string {
    const trusted = this.trusted().map((record) => ({
      node_id: record.nodeId,
      public_key: record.publicKey,
      approved_at: formatRfc3339(record.approvedAt),
      mutual: record.mutual,
      ...(record.network === 0 ? {} : { network: record.network }),
    }))
    const pending = this.pending().map((record) => ({
      node_id: record.nodeId,
      ...(record.publicKey === '' ? {} : { public_key: record.publicKey }),
      ...(record.justification === '' ? {} : { justification: record.justification }),
      received_at: formatRfc3339(record.receivedAt),
    }))
    const outgoing = [...this.#outgoing.values()].map((record) => ({
      node_id: record.nodeId,
      sent_at: formatRfc3339(record.sentAt),
    }))
    return goJson(
      {
        trusted: trusted.length === 0 ? null : trusted,
        ...(pending.length === 0 ? {} : { pending }),
        ...(outgoing.length === 0 ? {} : { outgoing }),
        ...this.#unknown,
      },
      2,
    )
  }

  /**
   * Reads `trust.json`. A duplicate node: the last one wins; an unreadable time counts as 0.
   *
   * @throws {StorageError} `ERR_STORE_CORRUPT` for anything but the file's shape. (The reference silently
   * starts with no trust at all, and overwrites the file.)
   */
  static parse(text: string): TrustStore {
    const store = new TrustStore()
    let json: unknown
    try {
      json = JSON.parse(text)
    } catch {
      throw corrupt('not JSON')
    }
    if (typeof json !== 'object' || json === null || Array.isArray(json))
      throw corrupt('not a JSON object')
    const { trusted, pending, outgoing, ...unknown } = json as Record<string, unknown>
    store.#unknown = unknown
    for (const entry of list(trusted, 'trusted')) {
      const nodeId = nodeIdOf(entry)
      store.#trusted.set(nodeId, {
        nodeId,
        publicKey: stringOf(entry.public_key),
        approvedAt: timeOf(entry.approved_at),
        mutual: entry.mutual === true,
        network: typeof entry.network === 'number' ? entry.network : 0,
      })
    }
    for (const entry of list(pending, 'pending'))
      store.addPending({
        nodeId: nodeIdOf(entry),
        publicKey: stringOf(entry.public_key),
        justification: stringOf(entry.justification),
        receivedAt: timeOf(entry.received_at),
      })
    for (const entry of list(outgoing, 'outgoing'))
      store.addOutgoing({ nodeId: nodeIdOf(entry), sentAt: timeOf(entry.sent_at) })
    return store
  }
}

function trim(map: Map<number, unknown>, max: number): void {
  for (const key of map.keys()) {
    if (map.size <= max) return
    map.delete(key)
  }
}

function list(value: unknown, name: string): Record<string, unknown>[] {
  if (value === undefined || value === null) return []
  if (!Array.isArray(value) || !value.every((entry) => typeof entry === 'object' && entry !== null))
    throw corrupt(`"${name}" is not a list of objects`)
  return value
}

function nodeIdOf(entry: Record<string, unknown>): number {
  const id = entry.node_id
  if (typeof id !== 'number' || !Number.isInteger(id) || id < 0 || id > 0xffffffff)
    throw corrupt('a "node_id" is not an integer of 0 to 4294967295')
  return id
}

function stringOf(value: unknown): string {
  return typeof value === 'string' ? value : ''
}

function timeOf(value: unknown): number {
  return (typeof value === 'string' ? parseRfc3339(value) : undefined) ?? 0
}

function corrupt(why: string): StorageError {
  return new StorageError('ERR_STORE_CORRUPT', `invalid trust store: ${why}`)
}
