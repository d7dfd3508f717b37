/** A stream through the daemon, as the driver sees it. */
import { NetworkError } from '../../../core/errors.ts'
import type { SocketAddress } from '../../../core/wire/address.ts'
import { CREDIT_STEP_BYTES, SEND_DATA_MAX, SEND_WINDOW_BYTES } from './opcode.ts'

export interface ConnectionLink {
  /** The daemon gives credits, and wants them. */
  readonly hasFlow: boolean
  /** It is being asked, and will answer before anything else. */
  readonly isFlowAsked: boolean
  /** Asks for that, once. */
  askFlow(): void
  /** Writes one Send frame of at most `SEND_DATA_MAX` bytes; resolves when the kernel has it, at once where it can. */
  send(id: number, data: Uint8Array): Promise<void> | undefined
  sendClose(id: number): void
  /** The program has read so many bytes of this connection since its beginning. */
  sendCredit(id: number, total: number): void
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
  #sentBytes = 0
  /** Of those, what the daemon says is in its send buffer. */
  #takenBytes = 0
  #credited: (() => void)[] = []
  #readBytes = 0
  /** Of those, what the daemon was told. */
  #toldBytes = 0

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
    this.#readBytes += chunk.length
    if (this.#link.hasFlow && this.#readBytes - this.#toldBytes >= CREDIT_STEP_BYTES)
      this.tellCredit()
    return chunk
  }

  async *[Symbol.asyncIterator](): AsyncIterator<Uint8Array> {
    for (let chunk = await this.read(); chunk !== undefined; chunk = await this.read()) yield chunk
  }

  /**
   * Hands bytes to the daemon, in frames of at most 512 KiB; resolves when it has them, or the kernel has them for it,
   * which says nothing about the peer. `data` may be used again then.
   *
   * @throws {NetworkError} `ERR_CONNECTION_CLOSED`, `ERR_DAEMON_UNAVAILABLE`.
   */
  async write(data: Uint8Array): Promise<void> {
    this.#requireOpen()
    for (let at = 0; at < data.length; ) {
      const link = this.#link
      // Before the bytes, so that the answer does not wait behind them.
      if (this.#sentBytes + data.length - at > CREDIT_STEP_BYTES) link.askFlow()
      const room =
        link.hasFlow || link.isFlowAsked
          ? Math.min(SEND_DATA_MAX, SEND_WINDOW_BYTES + this.#takenBytes - this.#sentBytes)
          : SEND_DATA_MAX
      if (room <= 0) {
        await new Promise<void>((resolve) => this.#credited.push(resolve))
        this.#requireOpen()
        continue
      }
      const piece = data.subarray(at, at + room)
      at += piece.length
      this.#sentBytes += piece.length
      const sent = link.send(this.id, piece)
      if (sent === undefined) continue
      await sent
      // That the peer has ended matters only to what is still to be sent.
      if (at < data.length || this.#end === 'lost') this.#requireOpen()
    }
  }

  /** What was written is delivered, then the stream ends in both directions. */
  close(): void {
    if (this.#closed) return
    this.#closed = true
    this.#chunks = []
    this.#count(-this.#unreadBytes)
    if (this.#end !== 'lost') this.#link.sendClose(this.id)
    this.#wakeAll()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.close()
  }

  /** From the driver: bytes arrived. `chunk` is kept. */
  receive(chunk: Uint8Array): void {
    if (this.#closed) return
    this.#chunks.push(chunk)
    this.#count(chunk.length)
    if (this.#unreadBytes > CREDIT_STEP_BYTES && !this.#link.hasFlow) this.#link.askFlow()
    this.#wake?.()
  }

  /** From the driver: so many bytes of ours are in the daemon's send buffer, or it will not tell. */
  handleCredit(total: number): void {
    this.#takenBytes = Math.max(this.#takenBytes, Math.min(total, this.#sentBytes))
    for (const wake of this.#credited.splice(0)) wake()
  }

  /** Tells the daemon what was read. */
  tellCredit(): void {
    this.#toldBytes = this.#readBytes
    this.#link.sendCredit(this.id, this.#readBytes)
  }

  /** From the driver: no more bytes. */
  finish(how: 'ended' | 'lost'): void {
    if (this.#end === 'open') this.#end = how
    this.#wakeAll()
  }

  #requireOpen(): void {
    if (this.#end === 'lost')
      throw new NetworkError('ERR_DAEMON_UNAVAILABLE', 'daemon disconnected')
    if (this.#closed || this.#end === 'ended')
      throw new NetworkError('ERR_CONNECTION_CLOSED', 'connection closed')
  }

  #wakeAll(): void {
    this.#wake?.()
    for (const wake of this.#credited.splice(0)) wake()
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
