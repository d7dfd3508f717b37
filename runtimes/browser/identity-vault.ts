/** The identity of an origin, kept in IndexedDB: made on the first visit, exported and imported under a passphrase. */
import { SecurityError } from '../../core/errors.ts'
import type { Signer } from '../../core/identity/signer.ts'
import { browserCrypto } from './crypto.ts'
import { openSeed, sealSeed } from './identity-export.ts'
import {
  asStoredIdentity,
  generateNative,
  hasNativeKeys,
  importNative,
  type StoredIdentity,
  signerOf,
  unwrapSeed,
  wrapSeed,
} from './identity-keys.ts'
import type { IndexedDbStorage } from './indexeddb-storage.ts'

const NAME = 'identity'
const SEED_BYTES = 32

export interface IdentityStatus {
  readonly publicKey: Uint8Array
  /** `native`: the browser holds the key, no script can read it. `wrapped`: the seed lies sealed in storage. */
  readonly protection: 'native' | 'wrapped'
  /** `export` can succeed. */
  readonly isExportable: boolean
}

/** The identity of an origin; `openIdentityVault` gives the one of a storage. */
export class IdentityVault {
  readonly #storage: IndexedDbStorage

  constructor(storage: IndexedDbStorage) {
    this.#storage = storage
  }

  /**
   * The stored identity, or a new one that is then stored. A `recoveryPassphrase` matters only when it is made: a key
   * that the browser holds can never be read again, so what `export` gives is made now or not at all.
   *
   * @throws {SecurityError} `ERR_IDENTITY_INVALID`; {StorageError} `ERR_STORE_IO`.
   */
  load({ recoveryPassphrase }: { readonly recoveryPassphrase?: string } = {}): Promise<Signer> {
    return this.#exclusively(async () => {
      const stored = await this.#read()
      if (stored !== undefined) return this.#signer(stored)
      return this.#store(await create(recoveryPassphrase))
    })
  }

  /** `undefined` while there is none. @throws as `load`. */
  async status(): Promise<IdentityStatus | undefined> {
    const stored = await this.#read()
    if (stored === undefined) return undefined
    const { kind: protection, publicKey } = stored
    const isExportable = stored.kind === 'wrapped' || stored.backup !== undefined
    return { publicKey, protection, isExportable }
  }

  /**
   * The identity sealed under a passphrase, to be kept elsewhere; where the browser holds the key, under the recovery
   * passphrase that it was made with.
   *
   * @throws {SecurityError} `ERR_IDENTITY_NOT_EXPORTABLE` when it was made without one; `ERR_IDENTITY_INVALID` for
   * another passphrase, or when there is no identity.
   */
  async export(passphrase: string): Promise<Uint8Array> {
    const stored = await this.#read()
    if (stored === undefined)
      throw new SecurityError('ERR_IDENTITY_INVALID', 'there is no identity to export')
    if (stored.kind === 'wrapped') return sealSeed(await this.#unwrap(stored), passphrase)
    if (stored.backup === undefined)
      throw new SecurityError(
        'ERR_IDENTITY_NOT_EXPORTABLE',
        'this identity was made without a recovery passphrase: the browser holds its key and gives it to nobody',
      )
    const seed = await openSeed(stored.backup, passphrase)
    seed.fill(0)
    return stored.backup.slice()
  }

  /** Replaces the stored identity. @throws {SecurityError} `ERR_IDENTITY_INVALID` for a wrong passphrase or other bytes. */
  async import(exported: Uint8Array, passphrase: string): Promise<Signer> {
    const seed = await openSeed(exported, passphrase)
    const isNative = await hasNativeKeys()
    const stored = isNative ? await importNative(seed, exported.slice()) : await wrapSeed(seed)
    seed.fill(0)
    return this.#exclusively(() => this.#store(stored))
  }

  /** Two tabs opened at once must not make two identities. */
  #exclusively(work: () => Promise<Signer>): Promise<Signer> {
    return navigator.locks.request(`pilot-ts:${this.#storage.locate(NAME)}`, work)
  }

  async #read(): Promise<StoredIdentity | undefined> {
    const value = await this.#storage.get(NAME)
    if (value === undefined) return undefined
    const stored = asStoredIdentity(value)
    if (stored === undefined) throw this.#unusable(undefined)
    return stored
  }

  async #store(stored: StoredIdentity): Promise<Signer> {
    const signer = await signerOf(stored)
    await this.#storage.put(NAME, stored)
    return signer
  }

  async #signer(stored: StoredIdentity): Promise<Signer> {
    try {
      return await signerOf(stored)
    } catch (cause) {
      throw this.#unusable(cause)
    }
  }

  async #unwrap(stored: Extract<StoredIdentity, { kind: 'wrapped' }>): Promise<Uint8Array> {
    try {
      return await unwrapSeed(stored)
    } catch (cause) {
      throw this.#unusable(cause)
    }
  }

  #unusable(cause: unknown): SecurityError {
    return new SecurityError(
      'ERR_IDENTITY_INVALID',
      `${this.#storage.locate(NAME)} cannot be used; import an exported identity, or clear the site's data`,
      { cause },
    )
  }
}

async function create(recoveryPassphrase: string | undefined): Promise<StoredIdentity> {
  const isNative = await hasNativeKeys()
  if (isNative && recoveryPassphrase === undefined) return generateNative()
  const seed = browserCrypto.random(SEED_BYTES)
  try {
    if (!isNative) return await wrapSeed(seed)
    return await importNative(seed, await sealSeed(seed, recoveryPassphrase ?? ''))
  } finally {
    seed.fill(0)
  }
}
