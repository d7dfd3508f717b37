/** Registry clients between two messages, by the number that their WebSocket carries: what they proved, what is unread. */
import type { SessionState } from '../registry-sessions.ts'
import type { ObjectStorage } from './platform.ts'

/** Without the times, which are with the socket, and without the unread bytes. */
type KeptState = Omit<SessionState, 'frameAt' | 'begunAt' | 'intake'> & {
  readonly mode: SessionState['intake']['mode']
}

/** A client that has said nothing. */
const NOTHING: KeptState = {
  connection: { proven: [], pending: [], polled: [] },
  handed: [],
  mode: 'unknown',
}

export class SessionTable {
  readonly #sql: ObjectStorage['sql']
  /** What is in the table. */
  readonly #kept = new Map<number, { readonly text: string; readonly unreadBytes: number }>()

  constructor({ sql }: ObjectStorage) {
    this.#sql = sql
    sql.exec(`CREATE TABLE IF NOT EXISTS sessions (
      id INTEGER PRIMARY KEY, state TEXT NOT NULL, unread BLOB NOT NULL
    ) STRICT`)
  }

  /** Clients in the middle of a frame. */
  get unfinished(): number {
    let count = 0
    for (const { unreadBytes } of this.#kept.values()) if (unreadBytes > 0) count++
    return count
  }

  /** Writes what has changed. */
  save(id: number, { connection, handed, intake }: SessionState): void {
    const { mode, unread } = intake
    const text = JSON.stringify({ connection, handed, mode } satisfies KeptState)
    const kept = this.#kept.get(id)
    if (kept?.text === text && kept.unreadBytes === 0 && unread.length === 0) return
    this.#kept.set(id, { text, unreadBytes: unread.length })
    this.#sql.exec('INSERT OR REPLACE INTO sessions VALUES (?, ?, ?)', id, text, unread)
  }

  /** Of a client whose WebSocket is still there. */
  load(id: number): Pick<SessionState, 'connection' | 'handed' | 'intake'> {
    const [row] = this.#sql.exec('SELECT state, unread FROM sessions WHERE id = ?', id).toArray()
    const text = row === undefined ? undefined : String(row.state)
    const unread = new Uint8Array((row?.unread ?? new ArrayBuffer(0)) as ArrayBuffer)
    if (text !== undefined) this.#kept.set(id, { text, unreadBytes: unread.length })
    const { connection, handed, mode } =
      text === undefined ? NOTHING : (JSON.parse(text) as KeptState)
    return { connection, handed, intake: { mode, unread } }
  }

  delete(id: number): void {
    if (this.#kept.delete(id)) this.#sql.exec('DELETE FROM sessions WHERE id = ?', id)
  }

  /** Forgets all but those that were loaded: their WebSockets went while nobody was here. */
  keepLoaded(): void {
    for (const { id } of this.#sql.exec('SELECT id FROM sessions').toArray())
      if (!this.#kept.has(Number(id)))
        this.#sql.exec('DELETE FROM sessions WHERE id = ?', Number(id))
  }
}
