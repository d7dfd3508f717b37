/**
 * Our own X25519 pair and the signed announcements (PILA) made with it. One pair serves every peer at
 * first; a peer that cannot make use of it any more gets a fresh one (spec/01 §7.4).
 */
import type { CryptoProvider } from '../crypto/provider.ts'
import type { Identity } from '../identity/identity.ts'
import {
  encodeKeyExchangeFrame,
  KEY_EXCHANGE_FLAG,
  keyExchangeSigningBytes,
} from '../wire/frame.ts'

export class LocalKeys {
  readonly publicKey: Uint8Array
  /** PILA that asks for the peer's keys, and PILA that answers one. */
  readonly request: Uint8Array
  readonly response: Uint8Array
  readonly #crypto: CryptoProvider
  readonly #privateKey: Uint8Array

  constructor(crypto: CryptoProvider, identity: Identity, nodeId: number) {
    this.#crypto = crypto
    this.#privateKey = crypto.random(32)
    this.publicKey = crypto.x25519PublicKey(this.#privateKey)
    const frame = {
      sender: nodeId,
      publicKey: this.publicKey,
      identityKey: identity.publicKey,
      signature: identity.sign(keyExchangeSigningBytes(nodeId, this.publicKey)),
    }
    // The trailer tells others that we derive by profile 2; nodes without trailers ignore it.
    this.request = encodeKeyExchangeFrame({
      ...frame,
      trailer: { capabilities: 0, flags: KEY_EXCHANGE_FLAG.request },
    })
    this.response = encodeKeyExchangeFrame({
      ...frame,
      trailer: { capabilities: 0, flags: KEY_EXCHANGE_FLAG.response },
    })
  }

  /** `undefined` for a low-order peer key. */
  agree(peerPublicKey: Uint8Array): Uint8Array | undefined {
    return this.#crypto.x25519(this.#privateKey, peerPublicKey)
  }
}
