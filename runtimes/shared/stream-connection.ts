/** A stream as the application sees it: raw calls, or web streams on top of them. */
import {
  NetworkError,
  type NodeMachine,
  type PilotError,
  type SocketAddress,
  type Stream,
} from '../../core/index.ts'
import type { PilotConnection } from './api.ts'
import type { Clock } from './clock.ts'
import { type Deferred, defer } from './wait.ts'
import { webReadable, webWritable } from './web-streams.ts'

export interface StreamConnectionContext {
  readonly machine: NodeMachine
  readonly clock: Clock
  /** The machine was changed: let the driver drain. */
  readonly schedule: () => void
}

export class StreamConnection implements PilotConnection {
  readonly id: number
  readonly local: SocketAddress
  readonly remote: SocketAddress
  onreadable: (() => void) | undefined
  onwritable: (() => void) | undefined
  onclose: ((error: PilotError | undefined) => void) | undefined
  readonly #context: StreamConnectionContext
  readonly #stream: Stream
  readonly #ending: { isClosed: boolean; error: PilotError | undefined } = {
    isClosed: false,
    error: undefined,
  }
  /** Made when somebody asks for it. */
  #closed: Deferred<void> | undefined
  #readable: ReadableStream<Uint8Array> | undefined
  #writable: WritableStream<Uint8Array> | undefined

  constructor(context: StreamConnectionContext, stream: Stream) {
    this.#context = context
    this.#stream = stream
    const { id, local, remote } = stream.connection
    this.id = id
    this.local = local
    this.remote = remote
  }

  get state(): string {
    return this.#stream.connection.state
  }

  get closed(): Promise<void> {
    if (this.#closed === undefined) {
      this.#closed = defer<void>()
      this.#closed.promise.catch(() => {}) // nobody need look
      if (this.#ending.isClosed) this.#settleClosed()
    }
    return this.#closed.promise
  }

  get ended(): boolean {
    return this.#stream.connection.ended
  }

  read(): Uint8Array | undefined {
    const { machine, clock, schedule } = this.#context
    const data = machine.read(this.#stream, clock.now())
    if (data !== undefined) schedule()
    return data
  }

  write(data: Uint8Array): number {
    if (this.#ending.isClosed) return 0
    const { machine, clock, schedule } = this.#context
    const taken = machine.write(this.#stream, data, clock.now())
    if (taken > 0) schedule()
    return taken
  }

  close(): void {
    if (this.#ending.isClosed) return
    const { machine, clock, schedule } = this.#context
    machine.closeStream(this.#stream, clock.now())
    schedule()
  }

  reset(): void {
    if (this.#ending.isClosed) return
    const { machine, clock, schedule } = this.#context
    machine.resetStream(this.#stream, clock.now())
    schedule()
  }

  /** The driver's word that something happened; clears it. */
  handleNews(): void {
    const { news } = this.#stream
    const { isReadable, isWritable, isEnded, isClosed } = news
    news.isReadable = false
    news.isWritable = false
    news.isEnded = false
    if (isReadable || isEnded) this.onreadable?.()
    if (isWritable) this.onwritable?.()
    if (isClosed) this.#finish()
  }

  get readable(): ReadableStream<Uint8Array> {
    this.#readable ??= webReadable(this, this.#ending)
    return this.#readable
  }

  get writable(): WritableStream<Uint8Array> {
    this.#writable ??= webWritable(this, this.#ending)
    return this.#writable
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.close()
    await this.closed.catch(() => {})
  }

  #settleClosed(): void {
    const { error } = this.#ending
    if (error === undefined) this.#closed?.resolve()
    else this.#closed?.reject(error)
  }

  #finish(): void {
    if (this.#ending.isClosed) return
    this.#ending.isClosed = true
    this.#ending.error = streamError(this.#stream)
    this.#settleClosed()
    this.onreadable?.()
    this.onwritable?.()
    this.onclose?.(this.#ending.error)
  }
}

/** Why a stream that is gone ended, `undefined` when both sides closed it. */
export function streamError(stream: Stream): PilotError | undefined {
  if (stream.error !== undefined) return stream.error
  const { failure, remote } = stream.connection
  const peer = `node ${remote.address.node} port ${remote.port}`
  switch (failure) {
    case undefined:
      return undefined
    case 'refused':
      return new NetworkError('ERR_CONNECTION_REFUSED', `connection refused by ${peer}`)
    case 'reset':
      return new NetworkError('ERR_CONNECTION_RESET', `connection reset by ${peer}`)
    case 'truncated':
      return new NetworkError(
        'ERR_CONNECTION_TRUNCATED',
        `${peer} closed before all its data arrived`,
      )
    case 'timeout':
      return new NetworkError('ERR_CONNECTION_RESET', `${peer} stopped answering`)
  }
}
