/** A connection of a node that lives elsewhere. Bytes are bounded both ways by what the other end has room for. */
import { NetworkError, type PilotError } from '../../../core/errors.ts'
import type { SocketAddress } from '../../../core/wire/address.ts'
import type { PilotConnection } from '../api.ts'
import { webReadable, webWritable } from '../web-streams.ts'
import type { Lane } from './lane.ts'
import { STREAM_PIECE_BYTES, STREAM_WINDOW_BYTES, type StreamHead } from './remote-message.ts'

/** Room is given back in pieces of this size: a message per so many bytes read. */
const CREDIT_BYTES: number = STREAM_WINDOW_BYTES / 4

export class RemoteStream implements PilotConnection {
  readonly id: number
  readonly local: SocketAddress
  readonly remote: SocketAddress
  readonly closed: Promise<void>
  onreadable: (() => void) | undefined
  onwritable: (() => void) | undefined
  onclose: ((error: PilotError | undefined) => void) | undefined
  /** Its id where the node lives. */
  readonly #stream: number
  readonly #lane: Lane
  #state: string
  readonly #inbound: Uint8Array[] = []
  #inboundBytes = 0
  #wantsReadable = true
  #hasEnd = false
  /** Read by the application, and not told to the host yet. */
  #consumed = 0
  #room = STREAM_WINDOW_BYTES
  #wantsWritable = false
  /** Small writes of one piece of work go as one message. */
  #outbound: Uint8Array<ArrayBuffer> | undefined
  #outboundBytes = 0
  #isClosing = false
  readonly #ending: { isClosed: boolean; error: PilotError | undefined } = {
    isClosed: false,
    error: undefined,
  }
  readonly #settled: PromiseWithResolvers<void> = Promise.withResolvers<void>()
  #readable: ReadableStream<Uint8Array> | undefined
  #writable: WritableStream<Uint8Array> | undefined

  /** `id`: what the application sees. */
  constructor(head: StreamHead, id: number, lane: Lane) {
    this.#stream = head.id
    this.#lane = lane
    this.id = id
    this.local = head.local
    this.remote = head.remote
    this.#state = head.state
    this.closed = this.#settled.promise
    this.closed.catch(() => {}) // nobody need look
  }

  get state(): string {
    return this.#state
  }

  get ended(): boolean {
    return this.#hasEnd && this.#inbound.length === 0
  }

  get readable(): ReadableStream<Uint8Array> {
    this.#readable ??= webReadable(this, this.#ending)
    return this.#readable
  }

  get writable(): WritableStream<Uint8Array> {
    this.#writable ??= webWritable(this, this.#ending)
    return this.#writable
  }

  read(): Uint8Array | undefined {
    const data = this.#inbound.shift()
    if (data === undefined) {
      this.#wantsReadable = true
      return undefined
    }
    this.#inboundBytes -= data.length
    this.#consumed += data.length
    if (this.#consumed >= CREDIT_BYTES && !this.#ending.isClosed) {
      this.#lane.post({ type: 'credit', stream: this.#stream, bytes: this.#consumed })
      this.#consumed = 0
    }
    return data
  }

  write(data: Uint8Array): number {
    if (this.#ending.isClosed || this.#isClosing) return 0
    const taken = Math.min(data.length, this.#room)
    this.#room -= taken
    if (taken < data.length) this.#wantsWritable = true
    for (let at = 0; at < taken; ) {
      this.#outbound ??= this.#piece(taken - at)
      const count = Math.min(taken - at, this.#outbound.length - this.#outboundBytes)
      this.#outbound.set(data.subarray(at, at + count), this.#outboundBytes)
      this.#outboundBytes += count
      at += count
      if (this.#outboundBytes === this.#outbound.length) this.#flush()
    }
    return taken
  }

  close(): void {
    if (this.#ending.isClosed || this.#isClosing) return
    this.#isClosing = true
    this.#flush()
    this.#lane.post({ type: 'end', stream: this.#stream })
  }

  reset(): void {
    if (this.#ending.isClosed) return
    this.#isClosing = true
    this.#outbound = undefined
    this.#outboundBytes = 0
    this.#discard()
    this.#lane.post({ type: 'reset', stream: this.#stream })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.close()
    await this.closed.catch(() => {})
  }

  // The host's word

  /** Never more than there is room for, but with the last word on a connection. */
  handleData(data: Uint8Array): void {
    if (data.length === 0 || this.#hasEnd || this.#ending.isClosed) return
    this.#inbound.push(data)
    this.#inboundBytes += data.length
    this.#tellReadable()
  }

  handleEnd(): void {
    this.#hasEnd = true
    this.#tellReadable()
  }

  handleRoom(bytes: number): void {
    this.#room = Math.min(STREAM_WINDOW_BYTES, this.#room + bytes)
    if (!this.#wantsWritable || this.#room === 0) return
    this.#wantsWritable = false
    this.onwritable?.()
  }

  handleState(state: string): void {
    this.#state = state
  }

  /** The connection is gone; what was received can still be read. */
  handleClosed(state: string, error: PilotError | undefined): void {
    if (this.#ending.isClosed) return
    this.#state = state
    this.#ending.isClosed = true
    this.#ending.error = error
    this.#outbound = undefined
    if (error === undefined) this.#settled.resolve()
    else this.#settled.reject(error)
    this.onreadable?.()
    this.onwritable?.()
    this.onclose?.(error)
  }

  /** The engine is gone. */
  lose(reason: PilotError): void {
    const text = `the connection to node ${this.remote.address.node} port ${this.remote.port} is lost: ${reason.message}`
    this.handleClosed('CLOSED', new NetworkError('ERR_ENGINE_LOST', text, { cause: reason }))
  }

  /** Bytes received and not read. */
  get unreadBytes(): number {
    return this.#inboundBytes
  }

  #discard(): void {
    this.#inbound.length = 0
    this.#inboundBytes = 0
  }

  #tellReadable(): void {
    if (!this.#wantsReadable) return
    this.#wantsReadable = false
    this.onreadable?.()
  }

  /** A large write gets memory of its size, a small one room for those that follow it. */
  #piece(bytes: number): Uint8Array<ArrayBuffer> {
    queueMicrotask(() => this.#flush())
    return new Uint8Array(Math.min(STREAM_PIECE_BYTES, Math.max(bytes, 4096)))
  }

  #flush(): void {
    const piece = this.#outbound
    if (piece === undefined || this.#outboundBytes === 0) return
    const bytes = this.#outboundBytes
    this.#outbound = undefined
    this.#outboundBytes = 0
    // Where a lane copies, it would copy the whole buffer behind a part of it.
    const data = bytes === piece.length ? piece : piece.slice(0, bytes)
    this.#lane.post({ type: 'data', stream: this.#stream, data }, [data.buffer])
  }
}
