/**
 * Sending a file by FILESTREAM (spec/07 §6.5). The machine decides which part of the file comes next; the
 * caller reads it and writes frames to the stream.
 */
import { equals, utf8 } from '../bytes.ts'
import { UsageError, WireError } from '../errors.ts'
import type { Instant, Machine } from '../machine.ts'
import { DATA_FRAME, type DataFrame } from './data-exchange.ts'
import {
  decodeFileStream,
  encodeFileStreamFrame,
  FILE_CHUNK_BYTES,
  FILE_WINDOW_CHUNKS,
  type FileStreamMessage,
  SHA256_BYTES,
  TRANSFER_ID_BYTES,
} from './file-stream-message.ts'

/** Time for the INIT-ACK, after which the peer is taken not to know FILESTREAM; and for every other step. */
export const FILE_INIT_TIMEOUT_MS = 5000
export const FILE_STEP_TIMEOUT_MS = 60_000

export interface FileSenderOptions {
  /** Bytes of the file, and the SHA-256 over all of them. */
  readonly size: number
  readonly sha256: Uint8Array
  /** As the receiver is to see it: see `portableFileName`. */
  readonly name: string
  readonly now: Instant
}

/**
 * - `resume`: the receiver has the first `offset` bytes already.
 * - `progress`: so many bytes are on its disk.
 * - `complete`: it holds a verified copy. Last.
 * - `unsupported`: it does not know FILESTREAM; send a FILE frame on a new connection. Last.
 * - `failed`: last.
 */
export type FileSenderEvent =
  | { readonly type: 'resume'; readonly offset: number }
  | { readonly type: 'progress'; readonly offset: number }
  | { readonly type: 'complete'; readonly message: string }
  | { readonly type: 'unsupported' }
  | { readonly type: 'failed'; readonly reason: string }

type State = 'init' | 'sending' | 'finishing' | 'over'

export class FileSender implements Machine<FileSenderEvent> {
  readonly transferId: Uint8Array
  readonly #size: number
  #state: State = 'init'
  /** Everything below was handed out for sending; everything below `#acked` is on the receiver's disk. */
  #next = 0
  #acked = 0
  #deadlineAt: Instant
  #frames: Uint8Array[] = []
  #events: FileSenderEvent[] = []

  /** @throws {UsageError} `ERR_INVALID_ARGUMENT` for a hash that is not 32 bytes, or a name above 65535. */
  constructor({ size, sha256, name, now }: FileSenderOptions) {
    if (sha256.length !== SHA256_BYTES)
      throw new UsageError('ERR_INVALID_ARGUMENT', `a SHA-256 has 32 bytes, got ${sha256.length}`)
    const nameBytes = utf8(name)
    if (nameBytes.length > 0xffff)
      throw new UsageError(
        'ERR_INVALID_ARGUMENT',
        `a name takes 65535 bytes, got ${nameBytes.length}`,
      )
    this.transferId = sha256.slice(0, TRANSFER_ID_BYTES)
    this.#size = size
    this.#deadlineAt = now + FILE_INIT_TIMEOUT_MS
    this.#send({
      kind: 'init',
      transferId: this.transferId,
      size,
      sha256,
      chunkBytes: FILE_CHUNK_BYTES,
      name: nameBytes,
    })
  }

  /** The part of the file to read next, and to hand to `provide`; `undefined` while the window is full. */
  pollRead(): { readonly offset: number; readonly length: number } | undefined {
    if (this.#state !== 'sending' || this.#next === this.#size) return undefined
    const length = Math.min(FILE_CHUNK_BYTES, this.#size - this.#next)
    const isFull = this.#next + length - this.#acked > FILE_WINDOW_CHUNKS * FILE_CHUNK_BYTES
    return isFull ? undefined : { offset: this.#next, length }
  }

  /** The bytes `pollRead` asked for. Fewer mean that the file became shorter: the transfer fails. */
  provide(data: Uint8Array, now: Instant): void {
    const wanted = this.pollRead()
    if (wanted === undefined) return
    if (data.length !== wanted.length) {
      this.abort('the file changed while it was sent')
      return
    }
    this.#send({ kind: 'chunk', transferId: this.transferId, offset: wanted.offset, data })
    this.#next += data.length
    this.#deadlineAt = now + FILE_STEP_TIMEOUT_MS
    this.#finishIfSent()
  }

  /** A frame of the peer. Those of other transfers are ignored; any other type means no support. */
  handleFrame({ type, payload }: DataFrame, now: Instant): void {
    if (this.#state === 'over') return
    if (type !== DATA_FRAME.fileStream) {
      if (this.#state === 'init') this.#end({ type: 'unsupported' })
      else this.abort(`unexpected frame of type ${type}`)
      return
    }
    let message: FileStreamMessage
    try {
      message = decodeFileStream(payload)
    } catch (error) {
      if (!(error instanceof WireError)) throw error
      this.abort(`malformed message: ${error.message}`)
      return
    }
    if (equals(message.transferId, this.transferId)) this.#handleMessage(message, now)
  }

  /** The stream ended. */
  handleEnd(): void {
    if (this.#state === 'init') this.#end({ type: 'unsupported' })
    else if (this.#state !== 'over')
      this.#end({ type: 'failed', reason: 'the peer closed before the transfer was complete' })
  }

  /** Gives up and tells the receiver why. */
  abort(reason: string): void {
    if (this.#state === 'over') return
    this.#frames = [] // chunks nobody wants any more
    this.#send({ kind: 'abort', transferId: this.transferId, reason })
    this.#end({ type: 'failed', reason })
  }

  handleTimeout(now: Instant): void {
    if (now < this.#deadlineAt || this.#state === 'over') return
    if (this.#state === 'init') this.#end({ type: 'unsupported' })
    else this.abort('no answer in time')
  }

  pollTimeout(): Instant | undefined {
    return this.#state === 'over' ? undefined : this.#deadlineAt
  }

  /** The next frame to write, whole. */
  pollTransmit(): Uint8Array | undefined {
    return this.#frames.shift()
  }

  pollEvent(): FileSenderEvent | undefined {
    return this.#events.shift()
  }

  #handleMessage(message: FileStreamMessage, now: Instant): void {
    switch (message.kind) {
      case 'initAck':
        if (this.#state !== 'init') return
        if (message.offset > this.#size)
          return void this.abort(`resume offset ${message.offset} is beyond the file`)
        this.#state = 'sending'
        this.#next = this.#acked = message.offset
        this.#deadlineAt = now + FILE_STEP_TIMEOUT_MS
        this.#events.push({ type: 'resume', offset: message.offset })
        this.#finishIfSent()
        return
      case 'ack':
        if (this.#state === 'init' || message.offset <= this.#acked) return
        if (message.offset > this.#next)
          return void this.abort(`acknowledged ${message.offset} of ${this.#next} bytes sent`)
        this.#acked = message.offset
        this.#deadlineAt = now + FILE_STEP_TIMEOUT_MS
        this.#events.push({ type: 'progress', offset: message.offset })
        return
      case 'complete':
        if (!message.ok) this.#end({ type: 'failed', reason: message.message })
        else if (this.#state === 'finishing')
          this.#end({ type: 'complete', message: message.message })
        else this.abort('complete before everything was sent')
        return
      case 'abort':
        this.#end({ type: 'failed', reason: message.reason })
        return
      default:
        this.abort(`unexpected ${message.kind}`)
    }
  }

  #finishIfSent(): void {
    if (this.#next < this.#size) return
    this.#state = 'finishing'
    this.#send({ kind: 'done', transferId: this.transferId })
  }

  #send(message: FileStreamMessage): void {
    this.#frames.push(encodeFileStreamFrame(message))
  }

  #end(event: FileSenderEvent): void {
    this.#state = 'over'
    this.#events.push(event)
  }
}
