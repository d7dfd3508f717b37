/**
 * What the core needs from cryptography, synchronous and injected. `noble.ts` is the default for every
 * runtime; a runtime with native synchronous primitives supplies its own.
 */

/** AES-256-GCM under one key (spec/01 §4.2): 12-byte nonces, 16-byte tags. */
export interface Aead {
  /**
   * Encrypts `buffer[start..end)` in place and writes the 16-byte tag at `buffer[end..end + 16)`.
   * `nonce` must never repeat under this key.
   */
  sealInPlace(
    nonce: Uint8Array,
    aad: Uint8Array,
    buffer: Uint8Array,
    start: number,
    end: number,
  ): void
  /**
   * Plaintext of `ciphertext` (tag at its end), perhaps in the same memory, which the caller gives up; or `undefined`
   * when it does not authenticate, and then `ciphertext` is as it was. Never throws for bad bytes; fewer than 16 bytes
   * do not authenticate.
   */
  open(nonce: Uint8Array, aad: Uint8Array, ciphertext: Uint8Array): Uint8Array | undefined
  /** Set where the work is done later, at the edge of the machine (`edge-aead.ts`). */
  readonly later?: AsyncAead
}

/** The same where the platform answers later. */
export interface AsyncAead {
  /** Ciphertext with its tag. */
  seal(nonce: Uint8Array, aad: Uint8Array, plaintext: Uint8Array): Promise<Uint8Array>
  /** `undefined` when it does not authenticate; never rejects for bad bytes. */
  open(nonce: Uint8Array, aad: Uint8Array, ciphertext: Uint8Array): Promise<Uint8Array | undefined>
}

/** What is left to do to a frame before it may leave: it still holds its packet in the clear. */
export interface SealJob {
  readonly aead: AsyncAead
  readonly nonce: Uint8Array
  readonly aad: Uint8Array
}

export interface KeyPair {
  readonly privateKey: Uint8Array // 32 bytes
  readonly publicKey: Uint8Array // 32 bytes
}

/** Keys and hashes: what must answer at once, wherever the AEAD comes from. */
export interface KeyCrypto {
  /** Bytes from the platform's CSPRNG. */
  random(bytes: number): Uint8Array
  sha256(data: Uint8Array): Uint8Array
  hmacSha256(key: Uint8Array, data: Uint8Array): Uint8Array
  x25519PublicKey(privateKey: Uint8Array): Uint8Array
  /** 32 bytes, or `undefined` for a peer key that gives an all-zero secret (spec/01 §11.16). */
  x25519(privateKey: Uint8Array, peerPublicKey: Uint8Array): Uint8Array | undefined
  /** Public key of a 32-byte seed. */
  ed25519PublicKey(seed: Uint8Array): Uint8Array
  ed25519Sign(seed: Uint8Array, message: Uint8Array): Uint8Array
  /** False, never an error, for malformed keys and signatures. */
  ed25519Verify(publicKey: Uint8Array, message: Uint8Array, signature: Uint8Array): boolean
}

export interface CryptoProvider extends KeyCrypto {
  /** Its `aead` is an `EdgeAead`: the driver must seal and open. */
  readonly isEdge?: boolean
  /** AES-256-GCM under a 32-byte key, which is copied. */
  aead(key: Uint8Array): Aead
}

/** HKDF-SHA256 with an empty salt and one 32-byte output block (RFC 5869). */
export function hkdfSha256(
  crypto: CryptoProvider,
  secret: Uint8Array,
  info: Uint8Array,
): Uint8Array {
  const prk = crypto.hmacSha256(new Uint8Array(32), secret)
  const block = new Uint8Array(info.length + 1)
  block.set(info)
  block[info.length] = 1
  return crypto.hmacSha256(prk, block)
}
