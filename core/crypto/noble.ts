/** The default provider: @noble in pure JavaScript, the same in every runtime. Randomness is passed in. */
import { gcm } from '@noble/ciphers/aes.js'
import { nobleKeys } from './noble-keys.ts'
import type { Aead, CryptoProvider } from './provider.ts'

export { nobleKeys } from './noble-keys.ts'

/** `random` must be a CSPRNG: keys and nonce prefixes come from it. */
export function nobleCrypto(random: (bytes: number) => Uint8Array): CryptoProvider {
  return { ...nobleKeys(random), aead: (key) => new NobleAead(key) }
}

class NobleAead implements Aead {
  readonly #key: Uint8Array
  constructor(key: Uint8Array) {
    this.#key = key.slice()
  }

  sealInPlace(
    nonce: Uint8Array,
    aad: Uint8Array,
    buffer: Uint8Array,
    start: number,
    end: number,
  ): void {
    buffer.set(gcm(this.#key, nonce, aad).encrypt(buffer.subarray(start, end)), start)
  }

  open(nonce: Uint8Array, aad: Uint8Array, ciphertext: Uint8Array): Uint8Array | undefined {
    if (ciphertext.length < 16) return undefined
    try {
      return gcm(this.#key, nonce, aad).decrypt(ciphertext)
    } catch {
      return undefined
    }
  }
}
