/**
 * Who did what (spec/05 §17), newest last. Two rings, so that what any node can cause does not push out what
 * concerns keys and networks (spec/05 §24 L22). Kept only where somebody may read it.
 */
import type { AuditExports } from './audit-exports.ts'
import { AUDIT_MAX } from './limits.ts'
import type { AuditKind, RegistryStore, StoredAuditEntry } from './registry-store.ts'

export interface AuditSubject {
  readonly node?: number
  readonly network?: number
  /** Members become `k=v, k=v`. */
  readonly details?: Readonly<Record<string, string | number | boolean>>
}

/** An entry as it was added. */
export interface AuditEvent {
  readonly entry: StoredAuditEntry
  readonly details: Readonly<Record<string, string | number | boolean>>
}

const NODE_ACTIONS =
  /^(node|trust|handshake|hostname|visibility|tags|task_exec|polo_score|beacon)\./

export class AuditLog {
  readonly #store: RegistryStore
  readonly #isKept: boolean
  readonly #exports: AuditExports
  readonly #rings: Readonly<Record<AuditKind, StoredAuditEntry[]>> = { node: [], admin: [] }
  #nextSequence = 1

  constructor(store: RegistryStore, isKept: boolean, exports: AuditExports) {
    this.#exports = exports
    this.#store = store
    this.#isKept = isKept
  }

  load(entries: Iterable<StoredAuditEntry>): void {
    for (const entry of entries) {
      this.#rings[entry.kind].push(entry)
      this.#nextSequence = Math.max(this.#nextSequence, entry.sequence + 1)
    }
  }

  add(action: string, unixSeconds: number, { node, network, details }: AuditSubject): void {
    if (!this.#isKept) return
    const entry: StoredAuditEntry = {
      sequence: this.#nextSequence++,
      kind: NODE_ACTIONS.test(action) ? 'node' : 'admin',
      unixSeconds,
      action,
      node: node ?? 0,
      network: network ?? 0,
      details: Object.entries(details ?? {})
        .map(([name, value]) => `${name}=${value}`)
        .join(', '),
    }
    const ring = this.#rings[entry.kind]
    ring.push(entry)
    this.#store.saveAuditEntry(entry)
    this.#exports.add({ entry, details: details ?? {} })
    if (ring.length > AUDIT_MAX) this.#store.deleteAuditEntry(ring.shift()!.sequence)
  }

  /** Oldest first. */
  all(): readonly StoredAuditEntry[] {
    return [...this.#rings.node, ...this.#rings.admin].sort((a, b) => a.sequence - b.sequence)
  }

  /** Newest first; of one network unless that is 0. */
  newest(limit: number, network: number): readonly StoredAuditEntry[] {
    const entries = [...this.#rings.node, ...this.#rings.admin]
    return entries
      .filter((entry) => network === 0 || entry.network === network)
      .sort((a, b) => b.sequence - a.sequence)
      .slice(0, limit)
  }
}
