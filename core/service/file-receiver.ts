/**
 * Receiving a file by FILESTREAM (spec/07 §6.5). The machine says what to open, write and rename; the caller
 * does it and reports. One transfer per machine: a new INIT needs a new one.
 */
import { equals } from '../bytes.ts'
import { WireError } from '../errors.ts'
import type { Instant, Machine } from '../machine.ts'
import { DATA_FRAME, type DataFrame } from './data-exchange.ts'
import { FILE_STEP_TIMEOUT_MS } from './file-sender.ts'
import {
  decodeFileStream,
  encodeFileStreamFrame,
  FILE_WINDOW_CHUNKS,
  type FileStreamMessage,
  TRANSFER_ID_BYTES,
} from './file-stream-message.ts'
import { sanitizeFileName } from './inbox.ts'

/** SHA-256 over what it is fed. */
export interface IncrementalHash {
  update(data: Uint8Array): void
  /** 32 bytes; once. */
  digest(): Uint8Array
}

export interface FileReceiverOptions {
  readonly now: Instant
  /** Largest file taken. Default 2 GiB (spec/07 §6.3). */
  readonly sizeMax?: number
}

/**
 * - `open`: find `.partial/<hex of transferId>`, hash what is in it, and answer with `opened`.
 * - `write`: append at `offset`, and answer with `written`.
 * - `verified`: everything is on disk and its hash is right: give the file its name, and answer with `stored`.
 * - `complete`: the sender was told. Last.
 * - `failed`: last. `keepPartial` is false when what is on disk can be of no use for resuming.
 */
export type FileReceiverEvent =
  | {
      readonly type: 'open'
      readonly transferId: Uint8Array
      readonly name: string
      readonly size: number
    }
  | { readonly type: 'write'; readonly offset: number; readonly data: Uint8Array }
  | { readonly type: 'verified'; readonly name: string }
  | { readonly type: 'complete' }
  | { readonly type: 'failed'; readonly reason: string; readonly keepPartial: boolean }

type State = 'waiting' | 'opening' | 'receiving' | 'storing' | 'over'

/** Larger announced chunks are refused: a window of them has to be held while the disk is slow. */
const CHUNK_BYTES_MAX = 1 << 20

export class FileReceiver implements Machine<FileReceiverEvent> {
  readonly #sizeMax: number
  #state: State = 'waiting'
  #transferId: Uint8Array = new Uint8Array(TRANSFER_ID_BYTES)
  #name = ''
  #size = 0
  #sha256: Uint8Array = new Uint8Array(0)
  #chunkBytes = 0
  #hash: IncrementalHash | undefined
  /** Everything below was received; everything below `#onDisk` was written. */
  #received = 0
  #onDisk = 0
  #isDone = false
  #deadlineAt: Instant
  #frames: Uint8Array[] = []
  #events: FileReceiverEvent[] = []

  constructor({ now, sizeMax = 2 ** 31 }: FileReceiverOptions) {
    this.#sizeMax = sizeMax
    this.#deadlineAt = now + FILE_STEP_TIMEOUT_MS
  }

  /** Bytes received and not yet written: stop reading the stream while this is large. */
  get pendingBytes(): number {
    return this.#received - this.#onDisk
  }
  get isOver(): boolean {
    return this.#state === 'over'
  }

  /** A type-7 frame. Frames of other types and transfers are ignored. */
  handleFrame({ type, payload }: DataFrame, now: Instant): void {
    if (this.#state === 'over' || type !== DATA_FRAME.fileStream) return
    let message: FileStreamMessage
    try {
      message = decodeFileStream(payload)
    } catch (error) {
      if (!(error instanceof WireError)) throw error
      this.abort(`malformed message: ${error.message}`)
      return
    }
    if (this.#state === 'waiting') this.#transferId = message.transferId.slice()
    else if (!equals(message.transferId, this.#transferId)) return
    this.#deadlineAt = now + FILE_STEP_TIMEOUT_MS
    this.#handleMessage(message)
  }

  /**
   * The partial file is open, holds `offset` bytes, and `hash` has seen them. A partial larger than the file
   * has to be emptied first.
   */
  opened(offset: number, hash: IncrementalHash, now: Instant): void {
    if (this.#state !== 'opening') return
    if (offset > this.#size) {
      this.#fail(`partial file of ${offset} bytes exceeds ${this.#size}`, false)
      return
    }
    this.#state = 'receiving'
    this.#hash = hash
    this.#received = this.#onDisk = offset
    this.#deadlineAt = now + FILE_STEP_TIMEOUT_MS
    this.#send({ kind: 'initAck', transferId: this.#transferId, offset })
  }

  /** Everything up to `offset` is on disk. */
  written(offset: number, now: Instant): void {
    if (this.#state !== 'receiving' || offset <= this.#onDisk || offset > this.#received) return
    this.#onDisk = offset
    this.#deadlineAt = now + FILE_STEP_TIMEOUT_MS
    this.#send({ kind: 'ack', transferId: this.#transferId, offset })
    this.#verifyIfWhole()
  }

  /** The file has its name. */
  stored(): void {
    if (this.#state !== 'storing') return
    this.#send({ kind: 'complete', transferId: this.#transferId, ok: true, message: 'ok' })
    this.#state = 'over'
    this.#events.push({ type: 'complete' })
  }

  /** Something went wrong on our side; the sender is told. What is on disk stays for another attempt. */
  abort(reason: string): void {
    this.#fail(reason, true)
  }

  /** The stream ended. */
  handleEnd(): void {
    if (this.#state === 'over') return
    this.#state = 'over'
    this.#events.push({
      type: 'failed',
      reason: 'the sender closed before the transfer was complete',
      keepPartial: true,
    })
  }

  handleTimeout(now: Instant): void {
    if (this.#state !== 'over' && now >= this.#deadlineAt) this.abort('nothing arrived in time')
  }

  pollTimeout(): Instant | undefined {
    return this.#state === 'over' ? undefined : this.#deadlineAt
  }

  /** The next frame to write, whole. */
  pollTransmit(): Uint8Array | undefined {
    return this.#frames.shift()
  }

  pollEvent(): FileReceiverEvent | undefined {
    return this.#events.shift()
  }

  #handleMessage(message: FileStreamMessage): void {
    switch (message.kind) {
      case 'init':
        if (this.#state === 'waiting') this.#handleInit(message)
        else this.abort('a second INIT')
        return
      case 'chunk':
        this.#handleChunk(message.offset, message.data)
        return
      case 'done':
        if (this.#state !== 'receiving' || this.#isDone) return void this.abort('unexpected done')
        if (this.#received < this.#size)
          return void this.abort(`done after ${this.#received} of ${this.#size} bytes`)
        this.#isDone = true
        this.#verifyIfWhole()
        return
      case 'abort':
        this.#state = 'over'
        this.#events.push({ type: 'failed', reason: message.reason, keepPartial: true })
        return
      default:
        this.abort(`unexpected ${message.kind}`)
    }
  }

  #handleInit(init: Extract<FileStreamMessage, { kind: 'init' }>): void {
    const name = sanitizeFileName(init.name)
    if (name === undefined) return void this.abort('the file has no usable name')
    if (init.size > this.#sizeMax)
      return void this.abort(`a file of ${init.size} bytes exceeds ${this.#sizeMax}`)
    if (init.chunkBytes === 0 || init.chunkBytes > CHUNK_BYTES_MAX)
      return void this.abort(`chunks of ${init.chunkBytes} bytes exceed ${CHUNK_BYTES_MAX}`)
    if (!equals(init.sha256.subarray(0, TRANSFER_ID_BYTES), this.#transferId))
      return void this.abort('the transfer id is not that of the hash')
    this.#name = name
    this.#size = init.size
    this.#sha256 = init.sha256.slice()
    this.#chunkBytes = init.chunkBytes
    this.#state = 'opening'
    this.#events.push({ type: 'open', transferId: this.#transferId, name, size: init.size })
  }

  #handleChunk(offset: number, data: Uint8Array): void {
    if (this.#state !== 'receiving' || this.#isDone) return void this.abort('unexpected chunk')
    if (offset !== this.#received)
      return void this.abort(`chunk at ${offset}, expected ${this.#received}`)
    if (data.length > this.#chunkBytes || offset + data.length > this.#size)
      return void this.abort(`chunk of ${data.length} bytes at ${offset} is too long`)
    if (this.pendingBytes + data.length > (FILE_WINDOW_CHUNKS + 1) * this.#chunkBytes)
      return void this.abort(`more than ${FILE_WINDOW_CHUNKS} chunks ahead`)
    if (data.length === 0) return
    this.#hash!.update(data)
    this.#received += data.length
    this.#events.push({ type: 'write', offset, data })
  }

  #verifyIfWhole(): void {
    if (!this.#isDone || this.#onDisk < this.#size) return
    if (!equals(this.#hash!.digest(), this.#sha256)) {
      this.#send({
        kind: 'complete',
        transferId: this.#transferId,
        ok: false,
        message: 'hash mismatch',
      })
      this.#state = 'over'
      this.#events.push({ type: 'failed', reason: 'hash mismatch', keepPartial: false })
      return
    }
    this.#state = 'storing'
    this.#events.push({ type: 'verified', name: this.#name })
  }

  #fail(reason: string, keepPartial: boolean): void {
    if (this.#state === 'over') return
    this.#send({ kind: 'abort', transferId: this.#transferId, reason })
    this.#state = 'over'
    this.#events.push({ type: 'failed', reason, keepPartial })
  }

  #send(message: FileStreamMessage): void {
    this.#frames.push(encodeFileStreamFrame(message))
  }
}
