/** Keys and hashes by @noble, for platforms that have an AEAD of their own: a fifth of `noble.ts` is its AES. */
import { ed25519, x25519 } from '@noble/curves/ed25519.js'
import { hmac } from '@noble/hashes/hmac.js'
import { sha256 } from '@noble/hashes/sha2.js'
import type { KeyCrypto } from './provider.ts'

/** `random` must be a CSPRNG: keys and nonce prefixes come from it. */
export function nobleKeys(random: (bytes: number) => Uint8Array): KeyCrypto {
  return {
    random,
    sha256: (data) => sha256(data),
    hmacSha256: (key, data) => hmac(sha256, key, data),
    x25519PublicKey: (privateKey) => x25519.getPublicKey(privateKey),
    x25519: (privateKey, peerPublicKey) => {
      if (peerPublicKey.length !== 32) return undefined
      try {
        return x25519.getSharedSecret(privateKey, peerPublicKey)
      } catch {
        return undefined // low order
      }
    },
    ed25519PublicKey: (seed) => ed25519.getPublicKey(seed),
    ed25519Sign: (seed, message) => ed25519.sign(message, seed),
    ed25519Verify: (publicKey, message, signature) => {
      if (publicKey.length !== 32 || signature.length !== 64) return false
      try {
        // RFC 8032 strict verification, as Go's: no ZIP 215 leniency.
        return ed25519.verify(signature, message, publicKey, { zip215: false })
      } catch {
        return false
      }
    },
  }
}
