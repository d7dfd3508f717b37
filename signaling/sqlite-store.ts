/**
 * The registry's state in one SQLite file: WAL, every commit synced before it returns. The file is ours
 * alone while it is open (spec/04 §22 W19 to W22, W26).
 */
import { chmodSync, closeSync, existsSync, fsyncSync, mkdirSync, openSync, statSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import { DatabaseSync, type StatementSync } from 'node:sqlite'
import { StorageError } from '../core/errors.ts'
import { type SqlChange, type SqlDatabase, SqlStore } from './sql-store.ts'
import type { Row } from './sqlite-rows.ts'
import { APPLICATION_ID, MIGRATIONS, SCHEMA, SCHEMA_VERSION, SQL } from './sqlite-schema.ts'

export class SqliteStore extends SqlStore {
  readonly path: string

  /**
   * Opens or creates the file (mode 0600) and its directory (0700).
   *
   * @throws {StorageError} `ERR_STORE_CORRUPT` when the file is not a sound store of this program,
   * `ERR_STORE_IO` when it cannot be opened, written, or another process has it open.
   */
  constructor(path: string) {
    const file = new SqliteFile(resolve(path))
    super(file)
    this.path = file.path
  }
}

class SqliteFile implements SqlDatabase {
  readonly path: string
  readonly #database: DatabaseSync
  readonly #statements = new Map<string, StatementSync>()

  constructor(path: string) {
    this.path = path
    prepareFile(this.path)
    try {
      this.#database = new DatabaseSync(this.path)
    } catch (cause) {
      throw this.problem('open', cause)
    }
    try {
      this.#prepare()
    } catch (cause) {
      this.#database.close()
      throw cause instanceof StorageError ? cause : this.problem('open', cause)
    }
  }

  all(sql: string): readonly Row[] {
    return this.#database.prepare(sql).all() as Row[]
  }

  apply(changes: readonly SqlChange[]): void {
    const database = this.#database
    try {
      database.exec('BEGIN IMMEDIATE')
      for (const [sql, ...values] of changes) this.#statements.get(sql)!.run(...values)
      database.exec('COMMIT')
    } catch (cause) {
      try {
        if (database.isTransaction) database.exec('ROLLBACK')
      } catch {
        // The failure that matters is the first one; SQLite has rolled back by itself then.
      }
      throw cause
    }
  }

  close(): void {
    this.#database.close()
  }

  corrupt(what: string): StorageError {
    return new StorageError(
      'ERR_STORE_CORRUPT',
      `store ${this.path} is not usable (${what}); it was left as it is: restore a backup or name another file`,
    )
  }

  /** By SQLite's result codes: 5 busy, 6 locked, 11 corrupt, 26 not a database. */
  problem(what: 'open' | 'read' | 'write', cause: unknown): StorageError {
    const code = (cause as { errcode?: number }).errcode ?? 0
    const reason = cause instanceof Error ? cause.message : String(cause)
    if ((code & 0xff) === 11 || (code & 0xff) === 26) return this.corrupt(reason)
    const text = (code & 0xff) === 5 || (code & 0xff) === 6 ? 'another process has it open' : reason
    return new StorageError('ERR_STORE_IO', `cannot ${what} store ${this.path}: ${text}`, { cause })
  }

  #prepare(): void {
    const database = this.#database
    // Exclusive: no shared-memory file, and a second process is told at once.
    database.exec('PRAGMA locking_mode = EXCLUSIVE; PRAGMA busy_timeout = 0')
    const applicationId = this.#number('PRAGMA application_id', 'application_id')
    const version = this.#number('PRAGMA user_version', 'user_version')
    const tables = this.#number('SELECT count(*) AS n FROM sqlite_master', 'n')
    const isNew = applicationId === 0 && version === 0 && tables === 0
    if (!isNew) {
      if (applicationId !== APPLICATION_ID) throw this.corrupt('it belongs to another program')
      if (version < 1 || version > SCHEMA_VERSION)
        throw this.corrupt(`its version is ${version}, this program knows ${SCHEMA_VERSION}`)
      const check = database.prepare('PRAGMA quick_check(1)').get() as Row | undefined
      if (check?.quick_check !== 'ok') throw this.corrupt('its integrity check fails')
    }
    database.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL')
    if (isNew)
      database.exec(
        `BEGIN IMMEDIATE; ${SCHEMA} PRAGMA application_id = ${APPLICATION_ID}; PRAGMA user_version = ${SCHEMA_VERSION}; COMMIT`,
      )
    // Takes the write lock now, so that a store that cannot be written is found at the start.
    else if (version === SCHEMA_VERSION) database.exec('BEGIN IMMEDIATE; COMMIT')
    else
      database.exec(
        `BEGIN IMMEDIATE; ${MIGRATIONS.slice(version - 1).join(' ')} PRAGMA user_version = ${SCHEMA_VERSION}; COMMIT`,
      )
    for (const sql of Object.values(SQL)) this.#statements.set(sql, database.prepare(sql))
  }

  #number(sql: string, column: string): number {
    return Number(this.all(sql)[0]?.[column])
  }
}

function prepareFile(path: string): void {
  const directory = dirname(path)
  try {
    makeDirectory(directory)
    if (existsSync(path)) {
      if (!statSync(path).isFile()) throw new Error('it is not a regular file')
      chmodSync(path, 0o600)
      return
    }
    closeSync(openSync(path, 'ax', 0o600))
    // The name itself must survive a power cut, not only the contents.
    const handle = openSync(directory, 'r')
    try {
      fsyncSync(handle)
    } finally {
      closeSync(handle)
    }
  } catch (cause) {
    throw new StorageError(
      'ERR_STORE_IO',
      `cannot create store ${path}: ${cause instanceof Error ? cause.message : String(cause)}`,
      { cause },
    )
  }
}

/** Not `recursive`: where a file system refuses with ENOENT (as /proc does), Node tries for ever. */
function makeDirectory(path: string): void {
  try {
    mkdirSync(path, { mode: 0o700 })
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'EEXIST') return
    if (code !== 'ENOENT' || dirname(path) === path) throw error
    makeDirectory(dirname(path))
    mkdirSync(path, { mode: 0o700 })
  }
}
