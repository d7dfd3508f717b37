/**
 * The identity of an origin. Its seed lies in IndexedDB, sealed under an AES-GCM key that the browser will
 * not hand out: copied storage is of no use. (The protocol's machines sign synchronously, which WebCrypto
 * cannot; hence a wrapped seed instead of a non-extractable signing key.)
 */
import { concat } from '../../core/bytes.ts'
import { type CryptoProvider, Identity, SecurityError, utf8 } from '../../core/index.ts'
import type { IndexedDbStorage } from './indexeddb-storage.ts'

const SEALED_NAME = 'identity'
const WRAP_NAME = 'identity-wrap'
const NONCE_BYTES = 12
const SALT_BYTES = 16
/** OWASP's figure for PBKDF2-HMAC-SHA256 (2023). */
const PBKDF2_ITERATIONS = 600_000
/** Leads an export: format and version. */
const EXPORT_MAGIC: Uint8Array = utf8('PILOTID1')

export class IdentityVault {
  readonly #crypto: CryptoProvider
  readonly #storage: IndexedDbStorage

  constructor(crypto: CryptoProvider, storage: IndexedDbStorage) {
    this.#crypto = crypto
    this.#storage = storage
  }

  /** The stored identity, or a new one that is then stored. @throws {SecurityError} `ERR_IDENTITY_INVALID`. */
  load(): Promise<Identity> {
    // Two tabs opened at once must not make two identities.
    return navigator.locks.request('pilot-identity', async () => {
      const seed = await this.#loadSeed()
      return seed === undefined ? this.#replace(this.#crypto.random(32)) : this.#identity(seed)
    })
  }

  /** The identity sealed under a passphrase, to be kept elsewhere. @throws {SecurityError} `ERR_IDENTITY_INVALID`. */
  async export(passphrase: string): Promise<Uint8Array> {
    const seed = await this.#loadSeed()
    if (seed === undefined)
      throw new SecurityError('ERR_IDENTITY_INVALID', 'there is no identity to export')
    const salt = this.#crypto.random(SALT_BYTES)
    const nonce = this.#crypto.random(NONCE_BYTES)
    const key = await passphraseKey(passphrase, salt)
    const sealed = await crypto.subtle.encrypt({ name: 'AES-GCM', iv: own(nonce) }, key, own(seed))
    return concat(EXPORT_MAGIC, salt, nonce, new Uint8Array(sealed))
  }

  /** Replaces the stored identity. @throws {SecurityError} `ERR_IDENTITY_INVALID` for a wrong passphrase or other bytes. */
  async import(exported: Uint8Array, passphrase: string): Promise<Identity> {
    const head = EXPORT_MAGIC.length
    const isOurs = EXPORT_MAGIC.every((byte, i) => exported[i] === byte)
    if (!isOurs || exported.length !== head + SALT_BYTES + NONCE_BYTES + 48)
      throw new SecurityError('ERR_IDENTITY_INVALID', 'this is not an exported identity')
    const salt = exported.subarray(head, head + SALT_BYTES)
    const nonce = exported.subarray(head + SALT_BYTES, head + SALT_BYTES + NONCE_BYTES)
    const sealed = exported.subarray(head + SALT_BYTES + NONCE_BYTES)
    const key = await passphraseKey(passphrase, salt)
    let seed: ArrayBuffer
    try {
      seed = await crypto.subtle.decrypt({ name: 'AES-GCM', iv: own(nonce) }, key, own(sealed))
    } catch (cause) {
      throw new SecurityError('ERR_IDENTITY_INVALID', 'the passphrase does not open it', { cause })
    }
    return this.#replace(new Uint8Array(seed))
  }

  async #loadSeed(): Promise<Uint8Array | undefined> {
    const [sealed, key] = await Promise.all([
      this.#storage.get(SEALED_NAME),
      this.#storage.get(WRAP_NAME),
    ])
    if (sealed === undefined && key === undefined) return undefined
    if (!(sealed instanceof Uint8Array) || !(key instanceof CryptoKey))
      throw new SecurityError(
        'ERR_IDENTITY_INVALID',
        `${this.#storage.locate(SEALED_NAME)} is incomplete; import an exported identity, or clear the site's data`,
      )
    const nonce = sealed.subarray(0, NONCE_BYTES)
    try {
      const seed = await crypto.subtle.decrypt(
        { name: 'AES-GCM', iv: own(nonce) },
        key,
        own(sealed.subarray(NONCE_BYTES)),
      )
      return new Uint8Array(seed)
    } catch (cause) {
      throw new SecurityError(
        'ERR_IDENTITY_INVALID',
        `${this.#storage.locate(SEALED_NAME)} does not open; import an exported identity, or clear the site's data`,
        { cause },
      )
    }
  }

  async #replace(seed: Uint8Array): Promise<Identity> {
    const identity = this.#identity(seed)
    const usages: KeyUsage[] = ['encrypt', 'decrypt']
    const key = await crypto.subtle.generateKey({ name: 'AES-GCM', length: 256 }, false, usages)
    const nonce = this.#crypto.random(NONCE_BYTES)
    const sealed = await crypto.subtle.encrypt({ name: 'AES-GCM', iv: own(nonce) }, key, own(seed))
    // Both at once: a seed without its key is lost.
    await this.#storage.putAll({
      [WRAP_NAME]: key,
      [SEALED_NAME]: concat(nonce, new Uint8Array(sealed)),
    })
    return identity
  }

  #identity(seed: Uint8Array): Identity {
    return Identity.fromSeed(this.#crypto, seed)
  }
}

async function passphraseKey(passphrase: string, salt: Uint8Array): Promise<CryptoKey> {
  const base = await crypto.subtle.importKey('raw', own(utf8(passphrase)), 'PBKDF2', false, [
    'deriveKey',
  ])
  return crypto.subtle.deriveKey(
    { name: 'PBKDF2', hash: 'SHA-256', salt: own(salt), iterations: PBKDF2_ITERATIONS },
    base,
    { name: 'AES-GCM', length: 256 },
    false,
    ['encrypt', 'decrypt'],
  )
}

/** In memory of its own, as WebCrypto's types want it. */
function own(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  return new Uint8Array(bytes)
}
