/**
 * What one client sends, as requests: JSON frames, or binary ones when its first four bytes are `PILT`
 * (spec/05 §4.1). Says for each request how its answer is written.
 */
import { concat, equals } from '../core/bytes.ts'
import { WireError } from '../core/errors.ts'
import {
  BINARY_MAGIC,
  BINARY_TYPE,
  BINARY_VERSION,
  decodeBinaryRequest,
  encodeBinaryAnswer,
  encodeBinaryError,
} from '../core/wire/registry-binary.ts'
import {
  encodeRegistryFrame,
  RegistryFrameDecoder,
  type RegistryMessage,
} from '../core/wire/registry-message.ts'

export type IncomingRequest =
  | {
      readonly message: RegistryMessage
      readonly encode: (reply: RegistryMessage) => Uint8Array
      readonly closes: false
      readonly refusal?: undefined
    }
  /** Not a request; this is the answer, and perhaps the last. */
  | { readonly message?: undefined; readonly refusal: Uint8Array; readonly closes: boolean }

const BINARY_PREAMBLE_END = Uint8Array.of(BINARY_VERSION)

/** A client's stream between two frames, or in the middle of one. */
export interface IntakeState {
  readonly mode: 'unknown' | 'json' | 'binary'
  /** What came and is no whole frame yet. */
  readonly unread: Uint8Array
}

const PREAMBLE_BYTES = BINARY_MAGIC.length + 1

export class RegistryIntake {
  readonly #frames = new RegistryFrameDecoder()
  /** What came before the mode was known. */
  #head: Uint8Array = new Uint8Array(0)
  #mode: 'unknown' | 'json' | 'binary' | 'refused' = 'unknown'
  /** In binary mode, until the first frame. */
  #isExpecting = false

  /** Goes on where another stopped. */
  constructor(state?: IntakeState) {
    if (state === undefined) return
    this.#mode = state.mode
    this.push(state.unread)
  }

  /** Once `next` gave `undefined`. */
  state(): IntakeState {
    const frames = this.#frames.unread()
    if (this.#mode === 'json' || (this.#mode === 'binary' && !this.#isExpecting))
      return { mode: this.#mode, unread: frames }
    const preamble = this.#isExpecting ? concat(BINARY_MAGIC, BINARY_PREAMBLE_END) : this.#head
    return { mode: 'unknown', unread: concat(preamble, frames) }
  }

  /** Bytes of what has begun and is not complete; a preamble is such a beginning (spec/05 §24 L26). */
  get pendingBytes(): number {
    return this.#head.length + this.#frames.pendingBytes + (this.#isExpecting ? PREAMBLE_BYTES : 0)
  }

  push(bytes: Uint8Array): void {
    if (this.#mode !== 'unknown') {
      this.#frames.push(bytes)
      return
    }
    const head = new Uint8Array(Math.min(PREAMBLE_BYTES, this.#head.length + bytes.length))
    head.set(this.#head)
    const taken = head.length - this.#head.length
    head.set(bytes.subarray(0, taken), this.#head.length)
    this.#head = head
    this.#decide()
    if (this.mode !== 'unknown') this.#frames.push(bytes.subarray(taken))
  }

  get mode(): 'unknown' | 'json' | 'binary' | 'refused' {
    return this.#mode
  }

  /** @throws {WireError} when the stream cannot be read on. */
  next(): IncomingRequest | undefined {
    if (this.#mode === 'refused') {
      const refusal = encodeBinaryError(`unsupported wire version ${this.#head[4]}`)
      return { refusal, closes: true }
    }
    if (this.#mode === 'json') {
      const message = this.#frames.next()
      return message === undefined
        ? undefined
        : { message, encode: encodeRegistryFrame, closes: false }
    }
    const body = this.#mode === 'binary' ? this.#frames.nextBody() : undefined
    if (body === undefined) return undefined
    if (body.length === 0)
      throw new WireError('ERR_WIRE_LENGTH', 'a binary frame has at least a type')
    this.#isExpecting = false
    return binaryRequest(body)
  }

  #decide(): void {
    const head = this.#head
    if (head.length === 0) return
    const known = Math.min(head.length, BINARY_MAGIC.length)
    if (!equals(head.subarray(0, known), BINARY_MAGIC.subarray(0, known))) {
      this.#mode = 'json'
      this.#frames.push(head)
    } else if (head.length === PREAMBLE_BYTES) {
      this.#mode = head[4] === BINARY_VERSION ? 'binary' : 'refused'
      if (this.#mode === 'refused') return
      this.#isExpecting = true
    } else return
    this.#head = new Uint8Array(0)
  }
}

function binaryRequest(body: Uint8Array): IncomingRequest {
  const type = body[0]!
  let message: RegistryMessage
  try {
    message = decodeBinaryRequest(body)
  } catch (error) {
    if (!(error instanceof WireError)) throw error
    return { refusal: encodeBinaryError(error.message), closes: false }
  }
  if (type === BINARY_TYPE.json && message.type === 'subscribe_replication')
    return {
      refusal: encodeBinaryError('replication not supported over binary protocol'),
      closes: false,
    }
  return { message, encode: (reply) => encodeBinaryAnswer(type, reply), closes: false }
}
