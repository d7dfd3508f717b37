/** The console's own database: conversations and received files. Without storage it keeps them until the page goes. */

export const STORES = ['chat', 'files'] as const
export type StoreName = (typeof STORES)[number]

export class Database {
  readonly #database: IDBDatabase | undefined

  private constructor(database: IDBDatabase | undefined) {
    this.#database = database
  }

  /** Never rejects. */
  static async open(name = 'pilot-console'): Promise<Database> {
    try {
      const request = indexedDB.open(name, 1)
      request.onupgradeneeded = () => {
        for (const store of STORES) request.result.createObjectStore(store)
      }
      return new Database(await settled(request))
    } catch {
      return new Database(undefined)
    }
  }

  /** False: what is put here is gone with the page. */
  get isLasting(): boolean {
    return this.#database !== undefined
  }

  async get(store: StoreName, key: string): Promise<unknown> {
    return this.#run(store, 'readonly', (objects) => objects.get(key))
  }

  /** Settles when it is on disk. @throws {DOMException} e.g. `QuotaExceededError`. */
  async put(store: StoreName, key: string, value: unknown): Promise<void> {
    await this.#run(store, 'readwrite', (objects) => objects.put(value, key))
  }

  async delete(store: StoreName, key: string): Promise<void> {
    await this.#run(store, 'readwrite', (objects) => objects.delete(key))
  }

  /** Everything whose key begins so, in the order of the keys. */
  async all(store: StoreName, prefix: string): Promise<unknown[]> {
    const found = await this.#run(store, 'readonly', (objects) => objects.getAll(from(prefix)))
    return Array.isArray(found) ? found : []
  }

  /** Removes everything whose key begins so. */
  async clear(store: StoreName, prefix: string): Promise<void> {
    await this.#run(store, 'readwrite', (objects) => objects.delete(from(prefix)))
  }

  async #run(
    store: StoreName,
    mode: IDBTransactionMode,
    work: (objects: IDBObjectStore) => { readonly result: unknown },
  ): Promise<unknown> {
    if (this.#database === undefined) return undefined
    const transaction = this.#database.transaction(store, mode)
    const request = work(transaction.objectStore(store))
    await new Promise<void>((resolve, reject) => {
      transaction.oncomplete = () => resolve()
      transaction.onabort = () => reject(transaction.error ?? new Error('storage failed'))
    })
    return request.result
  }
}

function from(prefix: string): IDBKeyRange {
  return IDBKeyRange.bound(prefix, `${prefix}\uffff`)
}

function settled<T>(request: IDBRequest<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result)
    request.onerror = () => reject(request.error)
  })
}
