/**
 * When nodes were last heard and proven, over sleep and restarts. The registry keeps that in memory; here memory goes
 * ten seconds after the last message, and a node that nobody hears any more must be reaped all the same.
 */
import type { Instant } from '../../core/machine.ts'
import type { NodeRecord, NodeTable } from '../node-table.ts'
import type { ObjectStorage } from './platform.ts'

/** What is kept may be so much older than the truth: a write costs more than a heartbeat. */
const GRAIN_MS = 30_000
/** The alarm comes every minute while nodes live: a longer silence means that nobody could be heard. */
const AWAKE_MS = 90_000

export class NodeLives {
  readonly #sql: ObjectStorage['sql']
  readonly #kept = new Map<number, { readonly seenAt: Instant; readonly provenAt: Instant }>()
  #awakeAt: Instant

  /** Gives the live nodes of a registry that was just loaded their times back. */
  constructor({ sql }: ObjectStorage, nodes: NodeTable, now: Instant) {
    this.#sql = sql
    sql.exec(`CREATE TABLE IF NOT EXISTS lives (
      node INTEGER PRIMARY KEY, seen_at INTEGER NOT NULL, proven_at INTEGER NOT NULL
    ) STRICT`)
    sql.exec(
      'CREATE TABLE IF NOT EXISTS awake (id INTEGER PRIMARY KEY, at INTEGER NOT NULL) STRICT',
    )
    const awakeAt = sql.exec('SELECT at FROM awake').toArray()[0]?.at
    // The time when nobody was here to listen does not count.
    const missedMs = awakeAt === undefined ? 0 : Math.max(0, now - Number(awakeAt) - AWAKE_MS)
    for (const { node, seen_at, proven_at } of sql.exec('SELECT * FROM lives').toArray()) {
      const seenAt = Math.min(now, Number(seen_at) + missedMs)
      const provenAt = proven_at === 0 ? 0 : Math.min(now, Number(proven_at) + missedMs)
      this.#kept.set(Number(node), { seenAt, provenAt })
      const heardAt = Math.min(now, seenAt + GRAIN_MS)
      nodes.resume(Number(node), heardAt, provenAt === 0 ? undefined : provenAt)
    }
    if (missedMs > 0)
      sql.exec(
        `UPDATE lives SET seen_at = min(?, seen_at + ?),
         proven_at = CASE proven_at WHEN 0 THEN 0 ELSE min(?, proven_at + ?) END`,
        now,
        missedMs,
        now,
        missedMs,
      )
    for (const node of nodes.liveNodes()) if (!this.#kept.has(node.id)) this.note(node)
    this.#awakeAt = 0
    this.awake(now)
  }

  /** To be called after whatever may have changed a node. */
  note({ id, isLive, lastSeenAt, authenticatedAt }: NodeRecord): void {
    const kept = this.#kept.get(id)
    if (!isLive) {
      if (kept === undefined) return
      this.#kept.delete(id)
      this.#sql.exec('DELETE FROM lives WHERE node = ?', id)
      return
    }
    const provenAt = authenticatedAt ?? 0
    // As far as a node is taken to have been heard since, after a sleep: that must not be kept as if it had been.
    const isClose =
      kept !== undefined &&
      lastSeenAt - kept.seenAt <= GRAIN_MS &&
      provenAt - kept.provenAt <= GRAIN_MS &&
      (provenAt === 0) === (kept.provenAt === 0)
    if (isClose) return
    const seenAt = Math.floor(lastSeenAt)
    this.#kept.set(id, { seenAt, provenAt: Math.floor(provenAt) })
    this.#sql.exec(
      'INSERT OR REPLACE INTO lives VALUES (?, ?, ?)',
      id,
      seenAt,
      Math.floor(provenAt),
    )
  }

  /** Forgets nodes that have none. */
  sweep(nodes: NodeTable): void {
    for (const id of [...this.#kept.keys()]) {
      const node = nodes.get(id)
      if (node !== undefined) this.note(node)
    }
  }

  /** We were here to listen. */
  awake(now: Instant): void {
    if (now - this.#awakeAt < GRAIN_MS) return
    this.#awakeAt = now
    this.#sql.exec('INSERT OR REPLACE INTO awake VALUES (1, ?)', Math.floor(now))
  }
}
