/** AES-256-GCM by OpenSSL's own functions: no object per packet, sealed and opened in place. */
import { createCipheriv } from 'node:crypto'
import type { Aead } from '../../../core/index.ts'

type Pointer = unknown
type Bytes = Uint8Array | null
type Init = (context: Pointer, cipher: Pointer, engine: null, key: Bytes, nonce: Bytes) => number
type Update = (
  context: Pointer,
  out: Bytes,
  outLength: Int32Array,
  data: Uint8Array,
  bytes: number,
) => number
type Final = (context: Pointer, out: Uint8Array, outLength: Int32Array) => number

export interface OpenSslCalls {
  readonly newContext: () => Pointer
  readonly freeContext: (context: Pointer) => void
  readonly aes256Gcm: () => Pointer
  readonly control: (context: Pointer, command: number, value: number, data: Uint8Array) => number
  readonly encryptInit: Init
  readonly encryptUpdate: Update
  readonly encryptFinal: Final
  readonly decryptInit: Init
  readonly decryptUpdate: Update
  readonly decryptFinal: Final
}

const TAG_BYTES = 16
/** EVP_CTRL_AEAD_GET_TAG and EVP_CTRL_AEAD_SET_TAG. */
const GET_TAG = 0x10
const SET_TAG = 0x11

/** Where OpenSSL writes how much it wrote, which is always all. */
const length = new Int32Array(1)
const nothing = new Uint8Array(TAG_BYTES)

/** Contexts of keys that nobody holds any more. */
const forgotten = new FinalizationRegistry<() => void>((free) => free())

export class OpenSslAead implements Aead {
  readonly #calls: OpenSslCalls
  readonly #key: Uint8Array
  #sealing: Pointer | undefined
  #opening: Pointer | undefined

  constructor(calls: OpenSslCalls, key: Uint8Array) {
    this.#calls = calls
    this.#key = key.slice()
  }

  /** Whether it makes and opens what Node's own AES-GCM does. */
  static isSound(calls: OpenSslCalls): boolean {
    try {
      const [key, nonce, aad] = [32, 12, 4].map((bytes) => new Uint8Array(bytes).fill(bytes))
      const cipher = createCipheriv('aes-256-gcm', key!, nonce!).setAAD(aad!)
      const expected = Buffer.concat([cipher.update('sound'), cipher.final(), cipher.getAuthTag()])
      const aead = new OpenSslAead(calls, key!)
      const buffer = Buffer.concat([Buffer.from('sound'), nothing])
      aead.sealInPlace(nonce!, aad!, buffer, 0, 5)
      if (!expected.equals(buffer) || aead.open(nonce!, nonce!, buffer) !== undefined) return false
      return Buffer.from(aead.open(nonce!, aad!, buffer) ?? []).equals(Buffer.from('sound'))
    } catch {
      return false
    }
  }

  sealInPlace(
    nonce: Uint8Array,
    aad: Uint8Array,
    buffer: Uint8Array,
    start: number,
    end: number,
  ): void {
    const { encryptInit, encryptUpdate, encryptFinal, control } = this.#calls
    this.#sealing ??= this.#newContext(encryptInit)
    const context = this.#sealing
    const data = buffer.subarray(start, end)
    const isSealed =
      encryptInit(context, null, null, null, nonce) === 1 &&
      (aad.length === 0 || encryptUpdate(context, null, length, aad, aad.length) === 1) &&
      (end === start || encryptUpdate(context, data, length, data, end - start) === 1) &&
      encryptFinal(context, nothing, length) === 1 &&
      control(context, GET_TAG, TAG_BYTES, buffer.subarray(end, end + TAG_BYTES)) === 1
    // Nothing may leave that is not sealed.
    if (!isSealed) throw new Error('OpenSSL did not seal')
  }

  open(nonce: Uint8Array, aad: Uint8Array, ciphertext: Uint8Array): Uint8Array | undefined {
    const end = ciphertext.length - TAG_BYTES
    if (end < 0) return undefined
    const { decryptInit, decryptUpdate, decryptFinal, control } = this.#calls
    this.#opening ??= this.#newContext(decryptInit)
    const context = this.#opening
    const data = ciphertext.subarray(0, end)
    const isAuthentic =
      decryptInit(context, null, null, null, nonce) === 1 &&
      (aad.length === 0 || decryptUpdate(context, null, length, aad, aad.length) === 1) &&
      (end === 0 || decryptUpdate(context, data, length, data, end) === 1) &&
      control(context, SET_TAG, TAG_BYTES, ciphertext.subarray(end)) === 1 &&
      decryptFinal(context, nothing, length) === 1
    if (isAuthentic) return data
    // The same key stream once more: another key may be tried on what was there.
    decryptInit(context, null, null, null, nonce)
    if (end > 0) decryptUpdate(context, data, length, data, end)
    return undefined
  }

  #newContext(init: Init): Pointer {
    const { newContext, freeContext, aes256Gcm } = this.#calls
    const context = newContext()
    if (context === null || init(context, aes256Gcm(), null, this.#key, null) !== 1)
      throw new Error('OpenSSL gave no AES-256-GCM')
    forgotten.register(this, () => freeContext(context))
    return context
  }
}
