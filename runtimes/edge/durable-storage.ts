/** Identity and trust in the storage of a Durable Object, of either kind (SQLite or key-value). */
import { StorageError } from '../../core/index.ts'
import type { Storage } from '../shared/storage.ts'

/** As much of `ctx.storage` as is used here. */
export interface DurableObjectStorageLike {
  get(key: string): Promise<unknown>
  put(key: string, value: unknown): Promise<void>
  /** Settles when everything that was written is on disk. */
  sync(): Promise<void>
}

/** Before each key, so that the object can keep its own beside them. */
const PREFIX = 'pilot:'

export class DurableStorage implements Storage {
  readonly #storage: DurableObjectStorageLike

  /**
   * `ctx.storage` of the object that runs the node. A value is at most 2 MB in an object with SQLite (some 9000 trusted
   * peers), 128 KiB in one without.
   */
  constructor(storage: DurableObjectStorageLike) {
    this.#storage = storage
  }

  /** @throws {StorageError} `ERR_STORE_IO`; `ERR_STORE_CORRUPT` when something else is kept under that name. */
  async read(name: string): Promise<Uint8Array | undefined> {
    let value: unknown
    try {
      value = await this.#storage.get(PREFIX + name)
    } catch (cause) {
      throw ioError('read', this.locate(name), cause)
    }
    if (value === undefined || value instanceof Uint8Array) return value
    throw new StorageError('ERR_STORE_CORRUPT', `${this.locate(name)} holds no bytes`)
  }

  /** @throws {StorageError} `ERR_STORE_IO`. */
  async write(name: string, data: Uint8Array): Promise<void> {
    try {
      // A copy: a view would take the whole of the memory behind it along.
      await this.#storage.put(PREFIX + name, data.slice())
      await this.#storage.sync()
    } catch (cause) {
      throw ioError('write', this.locate(name), cause)
    }
  }

  locate(name: string): string {
    return `Durable Object storage ${PREFIX}${name}`
  }
}

function ioError(verb: string, what: string, cause: unknown): StorageError {
  const reason = cause instanceof Error ? cause.message : String(cause)
  return new StorageError('ERR_STORE_IO', `cannot ${verb} ${what}: ${reason}`, { cause })
}
