/**
 * AES-256-GCM where the platform answers later (WebCrypto): the machine stays synchronous, and its driver
 * seals on the way out and opens on the way in. Sealing leaves the packet as it is and a job behind; opening
 * gives what the driver has put ready.
 */
import { equals } from '../bytes.ts'
import type { Aead, AsyncAead } from './provider.ts'

/** An AEAD whose work is done outside of the machine. */
export class EdgeAead implements Aead {
  readonly later: AsyncAead
  #nonce: Uint8Array | undefined
  #plaintext: Uint8Array | undefined

  constructor(later: AsyncAead) {
    this.later = later
  }

  /** Does nothing: the job that `Session.seal` leaves is the driver's to do before anything is sent. */
  sealInPlace(): void {}

  /** The driver opened the frame of this nonce under this key. Serves the next `open` only. */
  putReady(nonce: Uint8Array, plaintext: Uint8Array): void {
    this.#nonce = nonce
    this.#plaintext = plaintext
  }

  open(nonce: Uint8Array): Uint8Array | undefined {
    const isReady = this.#nonce !== undefined && equals(this.#nonce, nonce)
    const plaintext = isReady ? this.#plaintext : undefined
    this.#nonce = undefined
    this.#plaintext = undefined
    return plaintext
  }
}
