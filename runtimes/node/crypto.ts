/** node:crypto behind the core's provider: an order of magnitude faster than JavaScript per packet. */
import {
  createCipheriv,
  createDecipheriv,
  createHash,
  createHmac,
  createPrivateKey,
  createPublicKey,
  createSecretKey,
  diffieHellman,
  type KeyObject,
  randomBytes,
  sign,
  verify,
} from 'node:crypto'
import { crc32 } from 'node:zlib'
import { type Aead, accelerateCrc32, type CryptoProvider } from '../../core/index.ts'

accelerateCrc32(crc32)

/** DER up to the raw key, RFC 8410. */
const PKCS8 = {
  ed25519: Buffer.from('302e020100300506032b657004220420', 'hex'),
  x25519: Buffer.from('302e020100300506032b656e04220420', 'hex'),
}
const SPKI = {
  ed25519: Buffer.from('302a300506032b6570032100', 'hex'),
  x25519: Buffer.from('302a300506032b656e032100', 'hex'),
}

export const nodeCrypto: CryptoProvider = {
  random: (bytes) => randomBytes(bytes),
  sha256: (data) => createHash('sha256').update(data).digest(),
  hmacSha256: (key, data) => createHmac('sha256', key).update(data).digest(),
  aead: (key) => new NodeAead(key),
  x25519PublicKey: (privateKey) => rawPublicKey(privateKeyOf('x25519', privateKey)),
  x25519: (privateKey, peerPublicKey) => {
    if (peerPublicKey.length !== 32) return undefined
    try {
      const shared = diffieHellman({
        privateKey: privateKeyOf('x25519', privateKey),
        publicKey: publicKeyOf('x25519', peerPublicKey),
      })
      return shared.every((byte) => byte === 0) ? undefined : shared
    } catch {
      return undefined // low order
    }
  },
  ed25519PublicKey: (seed) => rawPublicKey(privateKeyOf('ed25519', seed)),
  ed25519Sign: (seed, message) => sign(undefined, message, privateKeyOf('ed25519', seed)),
  ed25519Verify: (publicKey, message, signature) => {
    if (publicKey.length !== 32 || signature.length !== 64) return false
    try {
      return verify(undefined, message, publicKeyOf('ed25519', publicKey), signature)
    } catch {
      return false
    }
  },
}

class NodeAead implements Aead {
  // A key object is made once; from raw bytes OpenSSL's is made again for every packet, at 4 times the cost.
  readonly #key: KeyObject
  constructor(key: Uint8Array) {
    this.#key = createSecretKey(key)
  }

  sealInPlace(
    nonce: Uint8Array,
    aad: Uint8Array,
    buffer: Uint8Array,
    start: number,
    end: number,
  ): void {
    const cipher = createCipheriv('aes-256-gcm', this.#key, nonce)
    if (aad.length > 0) cipher.setAAD(aad)
    buffer.set(cipher.update(buffer.subarray(start, end)), start)
    cipher.final() // a stream cipher has nothing left; this finishes the tag
    buffer.set(cipher.getAuthTag(), end)
  }

  open(nonce: Uint8Array, aad: Uint8Array, ciphertext: Uint8Array): Uint8Array | undefined {
    const end = ciphertext.length - 16
    if (end < 0) return undefined
    const decipher = createDecipheriv('aes-256-gcm', this.#key, nonce)
    if (aad.length > 0) decipher.setAAD(aad)
    decipher.setAuthTag(ciphertext.subarray(end))
    const plaintext = decipher.update(ciphertext.subarray(0, end))
    try {
      decipher.final()
    } catch {
      return undefined
    }
    return bytesOf(plaintext)
  }
}

function privateKeyOf(type: 'ed25519' | 'x25519', raw: Uint8Array): KeyObject {
  return createPrivateKey({ key: Buffer.concat([PKCS8[type], raw]), format: 'der', type: 'pkcs8' })
}

function publicKeyOf(type: 'ed25519' | 'x25519', raw: Uint8Array): KeyObject {
  return createPublicKey({ key: Buffer.concat([SPKI[type], raw]), format: 'der', type: 'spki' })
}

function rawPublicKey(key: KeyObject): Uint8Array {
  return Uint8Array.from(createPublicKey(key).export({ format: 'der', type: 'spki' }).subarray(-32))
}

/** A Buffer's bytes as what the core takes them for: `slice` of these copies. */
export function bytesOf(buffer: Buffer): Uint8Array {
  return new Uint8Array(buffer.buffer, buffer.byteOffset, buffer.length)
}
