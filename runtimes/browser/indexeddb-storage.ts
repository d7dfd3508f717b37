/** Named byte strings and keys of one origin in IndexedDB. */
import { StorageError } from '../../core/errors.ts'
import type { Storage } from '../shared/storage.ts'

const STORE = 'values'

/** Default database. */
export const STORAGE_NAME = 'pilot'

export class IndexedDbStorage implements Storage {
  readonly #database: IDBDatabase
  readonly #name: string

  private constructor(database: IDBDatabase, name: string) {
    this.#database = database
    this.#name = name
  }

  /** Opens or makes the database. @throws {StorageError} `ERR_STORE_IO`, e.g. in a private window. */
  static async open(name: string = STORAGE_NAME): Promise<IndexedDbStorage> {
    const request = indexedDB.open(name, 1)
    request.onupgradeneeded = () => request.result.createObjectStore(STORE)
    try {
      return new IndexedDbStorage(await settled(request), name)
    } catch (cause) {
      throw new StorageError('ERR_STORE_IO', `IndexedDB "${name}" cannot be opened`, { cause })
    }
  }

  locate(name: string): string {
    return `IndexedDB ${this.#name}/${name}`
  }

  async read(name: string): Promise<Uint8Array | undefined> {
    const value = await this.get(name)
    return value instanceof Uint8Array ? value : undefined
  }

  write(name: string, data: Uint8Array): Promise<void> {
    return this.put(name, data)
  }

  /** Whatever was stored, a `CryptoKey` too. @throws {StorageError} `ERR_STORE_IO`. */
  async get(name: string): Promise<unknown> {
    let request: IDBRequest<unknown> | undefined
    await this.#run('readonly', name, (store) => {
      request = store.get(name)
    })
    return request?.result
  }

  put(name: string, value: unknown): Promise<void> {
    return this.putAll({ [name]: value })
  }

  /** All of them or none; settles when that has been committed. @throws {StorageError} `ERR_STORE_IO`. */
  putAll(values: Readonly<Record<string, unknown>>): Promise<void> {
    return this.#run('readwrite', Object.keys(values).join(', '), (store) => {
      for (const [name, value] of Object.entries(values)) store.put(value, name)
    })
  }

  close(): void {
    this.#database.close()
  }

  async #run(
    mode: IDBTransactionMode,
    names: string,
    work: (store: IDBObjectStore) => void,
  ): Promise<void> {
    try {
      const transaction = this.#database.transaction(STORE, mode)
      work(transaction.objectStore(STORE))
      await new Promise<void>((resolve, reject) => {
        transaction.oncomplete = () => resolve()
        transaction.onabort = () => reject(transaction.error)
      })
    } catch (cause) {
      throw new StorageError('ERR_STORE_IO', `${this.locate(names)} cannot be used`, { cause })
    }
  }
}

function settled<T>(request: IDBRequest<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result)
    request.onerror = () => reject(request.error)
  })
}
