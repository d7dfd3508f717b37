/**
 * SQLite of a Durable Object with the registry's tables. Every write is on disk before anything that was sent after it
 * leaves the machine: the runtime holds messages back until then.
 */
import { StorageError } from '../../core/errors.ts'
import type { SqlChange, SqlDatabase } from '../sql-store.ts'
import type { Row } from '../sqlite-rows.ts'
import { MIGRATIONS, SCHEMA, SCHEMA_VERSION } from '../sqlite-schema.ts'
import type { ObjectStorage } from './platform.ts'

export class DurableDatabase implements SqlDatabase {
  readonly #storage: ObjectStorage

  /** @throws {StorageError} `ERR_STORE_CORRUPT` for tables of a later version, `ERR_STORE_IO`. */
  constructor(storage: ObjectStorage) {
    this.#storage = storage
    try {
      storage.transactionSync(() => this.#prepare())
    } catch (cause) {
      throw cause instanceof StorageError ? cause : this.problem('open', cause)
    }
  }

  all(sql: string): readonly Row[] {
    return this.#storage.sql.exec(sql).toArray()
  }

  apply(changes: readonly SqlChange[]): void {
    const { sql } = this.#storage
    this.#storage.transactionSync(() => {
      for (const [text, ...values] of changes) sql.exec(text, ...values)
    })
  }

  /** The runtime closes it with the object. */
  close(): void {}

  corrupt(what: string): StorageError {
    return new StorageError(
      'ERR_STORE_CORRUPT',
      `the storage of the rendezvous is not usable (${what}); it was left as it is`,
    )
  }

  problem(what: 'open' | 'read' | 'write', cause: unknown): StorageError {
    const reason = cause instanceof Error ? cause.message : String(cause)
    return new StorageError(
      'ERR_STORE_IO',
      `cannot ${what} the storage of the rendezvous: ${reason}`,
      { cause },
    )
  }

  /** Pragmas are not to be had here, so that the version has a table. */
  #prepare(): void {
    const { sql } = this.#storage
    sql.exec('CREATE TABLE IF NOT EXISTS schema_version (version INTEGER NOT NULL) STRICT')
    const version = this.all('SELECT version FROM schema_version')[0]?.version
    if (version === undefined) {
      sql.exec(SCHEMA)
      sql.exec('INSERT INTO schema_version VALUES (?)', SCHEMA_VERSION)
      return
    }
    if (typeof version !== 'number' || version < 1 || version > SCHEMA_VERSION)
      throw this.corrupt(`its version is ${version}, this program knows ${SCHEMA_VERSION}`)
    if (version === SCHEMA_VERSION) return
    sql.exec(MIGRATIONS.slice(version - 1).join(' '))
    sql.exec('UPDATE schema_version SET version = ?', SCHEMA_VERSION)
  }
}
