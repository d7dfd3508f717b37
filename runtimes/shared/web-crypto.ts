/** WebCrypto's AES-256-GCM for the tunnel: some 15 times as fast in a page as any JavaScript. */
import { type AsyncAead, type CryptoProvider, EdgeAead, type KeyCrypto } from '../../core/index.ts'

/** `base` does what must be synchronous: key agreement, signatures, hashes. */
export function withWebCrypto(base: KeyCrypto): CryptoProvider {
  return { ...base, isEdge: true, aead: (key) => new EdgeAead(new SubtleAead(key)) }
}

class SubtleAead implements AsyncAead {
  readonly #key: Promise<CryptoKey>

  constructor(key: Uint8Array) {
    const usages: KeyUsage[] = ['encrypt', 'decrypt']
    this.#key = crypto.subtle.importKey('raw', new Uint8Array(key), 'AES-GCM', false, usages)
  }

  async seal(nonce: Uint8Array, aad: Uint8Array, plaintext: Uint8Array): Promise<Uint8Array> {
    const key = await this.#key
    return new Uint8Array(await crypto.subtle.encrypt(params(nonce, aad), key, own(plaintext)))
  }

  async open(
    nonce: Uint8Array,
    aad: Uint8Array,
    ciphertext: Uint8Array,
  ): Promise<Uint8Array | undefined> {
    const key = await this.#key
    try {
      return new Uint8Array(await crypto.subtle.decrypt(params(nonce, aad), key, own(ciphertext)))
    } catch {
      return undefined
    }
  }
}

function params(nonce: Uint8Array, aad: Uint8Array): AesGcmParams {
  return { name: 'AES-GCM', iv: own(nonce), additionalData: own(aad) }
}

/** WebCrypto's types want memory that is not shared; ours never is. */
function own(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  return bytes as Uint8Array<ArrayBuffer>
}
