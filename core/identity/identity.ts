/**
 * A node's permanent Ed25519 key pair and the reference's `identity.json` (spec/03 §D.5): base64 of
 * seed + public key (64 bytes) and of the public key (32 bytes).
 */
import { equals, fromBase64, toBase64, utf8 } from '../bytes.ts'
import type { KeyCrypto } from '../crypto/provider.ts'
import { SecurityError } from '../errors.ts'

/** An Ed25519 key pair in memory: the address of a node belongs to it. */
export class Identity {
  /** 32 bytes. */
  readonly publicKey: Uint8Array
  readonly #seed: Uint8Array
  readonly #crypto: KeyCrypto

  private constructor(crypto: KeyCrypto, seed: Uint8Array, publicKey: Uint8Array) {
    this.#crypto = crypto
    this.#seed = seed
    this.publicKey = publicKey
  }

  static generate(crypto: KeyCrypto): Identity {
    return Identity.fromSeed(crypto, crypto.random(32))
  }

  /** @throws {SecurityError} `ERR_IDENTITY_INVALID` when the seed is not 32 bytes. */
  static fromSeed(crypto: KeyCrypto, seed: Uint8Array): Identity {
    if (seed.length !== 32)
      throw new SecurityError('ERR_IDENTITY_INVALID', `need a seed of 32 bytes, got ${seed.length}`)
    return new Identity(crypto, seed.slice(), crypto.ed25519PublicKey(seed))
  }

  /** 64 bytes: Ed25519 (RFC 8032) over `message`; text is signed as UTF-8. */
  sign(message: Uint8Array | string): Uint8Array {
    return this.#crypto.ed25519Sign(
      this.#seed,
      typeof message === 'string' ? utf8(message) : message,
    )
  }

  /** Base64 of `sign`, the form of the registry's and the trust messages' signatures. */
  signBase64(message: Uint8Array | string): string {
    return toBase64(this.sign(message))
  }

  /** Text of `identity.json`. */
  format(): string {
    const privateKey = new Uint8Array(64)
    privateKey.set(this.#seed)
    privateKey.set(this.publicKey, 32)
    return JSON.stringify(
      { private_key: toBase64(privateKey), public_key: toBase64(this.publicKey) },
      undefined,
      2,
    )
  }

  /**
   * Reads `identity.json`. Unknown members are ignored; the two keys must match each other and the seed.
   *
   * @throws {SecurityError} `ERR_IDENTITY_INVALID`; the message never contains key material.
   */
  static parse(crypto: KeyCrypto, text: string): Identity {
    let json: unknown
    try {
      json = JSON.parse(text)
    } catch {
      throw invalid('not JSON')
    }
    if (typeof json !== 'object' || json === null) throw invalid('not a JSON object')
    const { private_key, public_key } = json as Record<string, unknown>
    const privateKey = typeof private_key === 'string' ? fromBase64(private_key.trim()) : undefined
    if (privateKey?.length !== 64) throw invalid('"private_key" must be base64 of 64 bytes')
    const identity = Identity.fromSeed(crypto, privateKey.subarray(0, 32))
    if (!equals(identity.publicKey, privateKey.subarray(32)))
      throw invalid('the two halves of "private_key" do not belong together')
    const publicKey = typeof public_key === 'string' ? fromBase64(public_key.trim()) : undefined
    if (publicKey === undefined || !equals(publicKey, identity.publicKey))
      throw invalid('"public_key" does not belong to "private_key"')
    return identity
  }
}

function invalid(why: string): SecurityError {
  return new SecurityError('ERR_IDENTITY_INVALID', `invalid identity: ${why}`)
}
