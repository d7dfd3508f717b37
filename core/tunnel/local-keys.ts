/**
 * Our own X25519 pair and the signed announcements (PILA) made with it. One pair serves every peer at
 * first; a peer that cannot make use of it any more gets a fresh one (spec/01 §7.4).
 */
import type { CryptoProvider } from '../crypto/provider.ts'
import {
  encodeKeyExchangeFrame,
  KEY_EXCHANGE_FLAG,
  keyExchangeSigningBytes,
} from '../wire/frame.ts'

/** PILA that asks for the peer's keys, and PILA that answers one. */
export interface Announcements {
  readonly request: Uint8Array
  readonly response: Uint8Array
}

export class LocalKeys {
  readonly publicKey: Uint8Array
  readonly #crypto: CryptoProvider
  readonly #privateKey: Uint8Array
  readonly #nodeId: number
  readonly #identityKey: Uint8Array
  #announcements: Announcements | undefined

  constructor(crypto: CryptoProvider, identityKey: Uint8Array, nodeId: number) {
    this.#crypto = crypto
    this.#identityKey = identityKey
    this.#nodeId = nodeId
    this.#privateKey = crypto.random(32)
    this.publicKey = crypto.x25519PublicKey(this.#privateKey)
  }

  /** What the identity signs before these keys can be announced. */
  get signingBytes(): Uint8Array {
    return keyExchangeSigningBytes(this.#nodeId, this.publicKey)
  }

  setSignature(signature: Uint8Array): void {
    const { publicKey } = this
    const frame = { sender: this.#nodeId, publicKey, identityKey: this.#identityKey, signature }
    // The trailer tells others that we derive by profile 2; nodes without trailers ignore it.
    const announce = (flags: number): Uint8Array =>
      encodeKeyExchangeFrame({ ...frame, trailer: { capabilities: 0, flags } })
    this.#announcements = {
      request: announce(KEY_EXCHANGE_FLAG.request),
      response: announce(KEY_EXCHANGE_FLAG.response),
    }
  }

  /** `undefined` until they are signed. */
  get announcements(): Announcements | undefined {
    return this.#announcements
  }

  /** `undefined` for a low-order peer key. */
  agree(peerPublicKey: Uint8Array): Uint8Array | undefined {
    return this.#crypto.x25519(this.#privateKey, peerPublicKey)
  }
}
