/** Identity and trust in Deno.Kv: on Deno Deploy, or where there is a database already. */
import { StorageError } from '../../core/index.ts'
import type { Storage } from '../shared/storage.ts'
import { missing } from './permission.ts'

/** Before each key, so that others can use the same database. */
const PREFIX = 'pilot'

/** Identity and trust in Deno.Kv. */
export class KvStorage implements Storage, Disposable {
  readonly #kv: Deno.Kv

  /** Of a database that the caller opened, and closes. A value is at most 64 KiB, some 300 trusted peers. */
  constructor(kv: Deno.Kv) {
    this.#kv = kv
  }

  /**
   * Opens a database: a file, or Deno's own for the script (on Deploy that of the project).
   *
   * @throws {PilotError} `ERR_PERMISSION` without `--unstable-kv`, or when the file may not be used; `ERR_STORE_IO`.
   */
  static async open(path?: string): Promise<KvStorage> {
    if (typeof Deno.openKv !== 'function') throw missing('Deno.Kv', '--unstable-kv')
    try {
      return new KvStorage(await Deno.openKv(path))
    } catch (error) {
      if (error instanceof Deno.errors.NotCapable && path !== undefined)
        throw missing(`the database ${path}`, `--allow-read=${path} --allow-write=${path}`, error)
      throw ioError('open', path ?? 'the default database', error)
    }
  }

  locate(name: string): string {
    return `Deno.Kv ${PREFIX}/${name}`
  }

  async read(name: string): Promise<Uint8Array | undefined> {
    const { value } = await this.#get(name)
    if (value === null || value instanceof Uint8Array) return value ?? undefined
    throw new StorageError('ERR_STORE_CORRUPT', `${this.locate(name)} holds no bytes`)
  }

  async write(name: string, data: Uint8Array): Promise<void> {
    try {
      await this.#kv.set([PREFIX, name], data)
    } catch (error) {
      throw ioError('write', this.locate(name), error)
    }
  }

  close(): void {
    this.#kv.close()
  }

  [Symbol.dispose](): void {
    this.close()
  }

  async #get(name: string): Promise<Deno.KvEntryMaybe<unknown>> {
    try {
      return await this.#kv.get([PREFIX, name])
    } catch (error) {
      throw ioError('read', this.locate(name), error)
    }
  }
}

function ioError(verb: string, what: string, cause: unknown): StorageError {
  const reason = cause instanceof Error ? cause.message : String(cause)
  return new StorageError('ERR_STORE_IO', `cannot ${verb} ${what}: ${reason}`, { cause })
}
