/**
 * Frames for registered nodes whose WebSocket is not there just now, as after every deployment, when all of them come
 * back in any order: kept for a few seconds, and given out when the node is back (spec/10 §8).
 */
import type { Instant } from '../../core/machine.ts'
import type { ObjectStorage } from './platform.ts'

/** Frames and bytes for one node, bytes for all; more are dropped. */
const FRAMES_MAX = 64
const BYTES_MAX = 256 * 1024
const BYTES_SUM_MAX: number = 4 * 1024 * 1024
/** Whoever sent it has sent it again by then, or given up. */
export const HELD_MS = 15_000
const PURGE_MS = 5000

interface Waiting {
  frames: number
  bytes: number
}

export class HeldFrames {
  readonly #sql: ObjectStorage['sql']
  /** What is in the table, by node. */
  readonly #waiting = new Map<number, Waiting>()
  #bytes = 0
  #purgeAt: Instant = 0

  constructor({ sql }: ObjectStorage) {
    this.#sql = sql
    sql.exec(`CREATE TABLE IF NOT EXISTS held (
      id INTEGER PRIMARY KEY AUTOINCREMENT, node INTEGER NOT NULL, at INTEGER NOT NULL, frame BLOB NOT NULL
    ) STRICT`)
    sql.exec('CREATE INDEX IF NOT EXISTS held_by_node ON held (node)')
    this.#count()
  }

  get size(): number {
    let frames = 0
    for (const waiting of this.#waiting.values()) frames += waiting.frames
    return frames
  }

  /** False when there is no room for it. */
  add(nodeId: number, frame: Uint8Array, now: Instant): boolean {
    const { frames, bytes } = this.#waiting.get(nodeId) ?? { frames: 0, bytes: 0 }
    if (
      frames >= FRAMES_MAX ||
      bytes + frame.length > BYTES_MAX ||
      this.#bytes + frame.length > BYTES_SUM_MAX
    )
      return false
    this.#sql.exec('INSERT INTO held (node, at, frame) VALUES (?, ?, ?)', nodeId, now, frame)
    this.#note(nodeId, frame.length)
    return true
  }

  /** Hands over what waits for a node, oldest first. */
  take(nodeId: number, now: Instant): readonly Uint8Array[] {
    if (!this.#waiting.has(nodeId)) return []
    const rows = this.#sql
      .exec('SELECT at, frame FROM held WHERE node = ? ORDER BY id', nodeId)
      .toArray()
    this.#sql.exec('DELETE FROM held WHERE node = ?', nodeId)
    this.#bytes -= this.#waiting.get(nodeId)?.bytes ?? 0
    this.#waiting.delete(nodeId)
    return rows
      .filter(({ at }) => now - Number(at) < HELD_MS)
      .map(({ frame }) => new Uint8Array(frame as ArrayBuffer))
  }

  /** Drops what nobody came for in time; says how many. */
  purge(now: Instant): number {
    if (this.#waiting.size === 0 || now < this.#purgeAt) return 0
    this.#purgeAt = now + PURGE_MS
    const before = this.size
    this.#sql.exec('DELETE FROM held WHERE at <= ?', now - HELD_MS)
    this.#count()
    return before - this.size
  }

  #count(): void {
    this.#waiting.clear()
    this.#bytes = 0
    for (const { node, bytes } of this.#sql
      .exec('SELECT node, length(frame) AS bytes FROM held')
      .toArray())
      this.#note(Number(node), Number(bytes))
  }

  #note(nodeId: number, bytes: number): void {
    const waiting = this.#waiting.get(nodeId) ?? { frames: 0, bytes: 0 }
    this.#waiting.set(nodeId, { frames: waiting.frames + 1, bytes: waiting.bytes + bytes })
    this.#bytes += bytes
  }
}
