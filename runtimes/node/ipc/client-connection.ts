/** A stream through the daemon, as the driver sees it. */
import { NetworkError } from '../../../core/errors.ts'
import type { SocketAddress } from '../../../core/wire/address.ts'

export interface ConnectionLink {
  /** Writes one Send frame; resolves when the socket has room for more. */
  send(id: number, data: Uint8Array): Promise<void>
  sendClose(id: number): void
  /** Unread bytes of this connection changed by `delta`. */
  countUnread(delta: number): void
}

export class DaemonConnection implements AsyncIterable<Uint8Array>, AsyncDisposable {
  readonly id: number
  readonly remote: SocketAddress
  /** 0 for a dialed connection: the daemon does not tell. */
  readonly localPort: number
  readonly #link: ConnectionLink
  #chunks: Uint8Array[] = []
  #unreadBytes = 0
  #end: 'open' | 'ended' | 'lost' = 'open'
  #closed = false
  #wake: (() => void) | undefined

  constructor(link: ConnectionLink, id: number, remote: SocketAddress, localPort: number) {
    this.#link = link
    this.id = id
    this.remote = remote
    this.localPort = localPort
  }

  /** The peer closed or reset, or the daemon went away, and everything that came was read. */
  get ended(): boolean {
    return this.#chunks.length === 0 && (this.#end !== 'open' || this.#closed)
  }

  get isClosed(): boolean {
    return this.#closed
  }

  /**
   * Next bytes in order; `undefined` at the end of the stream. One call at a time.
   *
   * @throws {NetworkError} `ERR_DAEMON_UNAVAILABLE` when the daemon went away, `ERR_ABORTED`.
   */
  async read(options?: { readonly signal?: AbortSignal }): Promise<Uint8Array | undefined> {
    const signal = options?.signal
    while (this.#chunks.length === 0) {
      if (signal?.aborted) throw aborted(signal)
      if (this.#end === 'lost')
        throw new NetworkError('ERR_DAEMON_UNAVAILABLE', 'daemon disconnected')
      if (this.#end === 'ended' || this.#closed) return undefined
      await this.#news(signal)
    }
    const chunk = this.#chunks.shift()!
    this.#count(-chunk.length)
    return chunk
  }

  async *[Symbol.asyncIterator](): AsyncIterator<Uint8Array> {
    for (let chunk = await this.read(); chunk !== undefined; chunk = await this.read()) yield chunk
  }

  /**
   * Hands bytes to the daemon, in frames of at most 512 KiB; resolves when the daemon took them, which
   * says nothing about the peer.
   *
   * @throws {NetworkError} `ERR_CONNECTION_CLOSED`, `ERR_DAEMON_UNAVAILABLE`.
   */
  async write(data: Uint8Array): Promise<void> {
    if (this.#end === 'lost')
      throw new NetworkError('ERR_DAEMON_UNAVAILABLE', 'daemon disconnected')
    if (this.#closed || this.#end === 'ended')
      throw new NetworkError('ERR_CONNECTION_CLOSED', 'connection closed')
    await this.#link.send(this.id, data)
  }

  /** What was written is delivered, then the stream ends in both directions. */
  close(): void {
    if (this.#closed) return
    this.#closed = true
    this.#chunks = []
    this.#count(-this.#unreadBytes)
    if (this.#end !== 'lost') this.#link.sendClose(this.id)
    this.#wake?.()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.close()
  }

  /** From the driver: bytes arrived. `chunk` is kept. */
  receive(chunk: Uint8Array): void {
    if (this.#closed) return
    this.#chunks.push(chunk)
    this.#count(chunk.length)
    this.#wake?.()
  }

  /** From the driver: no more bytes. */
  finish(how: 'ended' | 'lost'): void {
    if (this.#end === 'open') this.#end = how
    this.#wake?.()
  }

  #news(signal: AbortSignal | undefined): Promise<void> {
    return new Promise<void>((resolve) => {
      const wake = (): void => {
        signal?.removeEventListener('abort', wake)
        resolve()
      }
      this.#wake = wake
      signal?.addEventListener('abort', wake, { once: true })
    })
  }

  #count(delta: number): void {
    this.#unreadBytes += delta
    this.#link.countUnread(delta)
  }
}

export function aborted(signal: AbortSignal): NetworkError {
  return new NetworkError('ERR_ABORTED', 'aborted', { cause: signal.reason })
}
