/**
 * WebSockets whose code is loaded when the first is opened: HTTP and TLS take 12 MB, and most nodes never dial one.
 */
import type { OpenWebSocket, WebSocketLike } from '../shared/web-socket.ts'
import type { NodeWebSocketOptions } from './web-socket.ts'

export function lazyWebSockets(options: NodeWebSocketOptions): OpenWebSocket {
  let open: OpenWebSocket | undefined
  return (url, protocol) => {
    if (open !== undefined) return open(url, protocol)
    new URL(url) // throws at once, as the constructor does
    const load = import('./web-socket.ts').then(({ nodeWebSockets }) => {
      open ??= nodeWebSockets(options)
      return open(url, protocol)
    })
    return new AwaitedWebSocket(load)
  }
}

/** Stands for one that is not there yet. Nothing can be sent before `onopen`, and nothing happens before that but its end. */
class AwaitedWebSocket implements WebSocketLike {
  onopen: (() => void) | null = null
  onmessage: ((event: { readonly data: unknown }) => void) | null = null
  onclose: ((event: { readonly code: number; readonly reason: string }) => void) | null = null
  onerror: ((event: unknown) => void) | null = null
  #socket: WebSocketLike | undefined
  #binaryType = 'blob'
  #isClosed = false

  constructor(load: Promise<WebSocketLike>) {
    load.then(
      (socket) => this.#adopt(socket),
      (error: unknown) => this.#end(error),
    )
  }

  get binaryType(): string {
    return this.#socket?.binaryType ?? this.#binaryType
  }

  set binaryType(type: string) {
    this.#binaryType = type
    if (this.#socket !== undefined) this.#socket.binaryType = type
  }

  get bufferedAmount(): number {
    return this.#socket?.bufferedAmount ?? 0
  }

  send(data: string | Uint8Array): void {
    if (this.#socket === undefined) throw new Error('the WebSocket is not open')
    this.#socket.send(data)
  }

  close(code?: number, reason?: string): void {
    this.#isClosed = true
    this.#socket?.close(code, reason)
  }

  #adopt(socket: WebSocketLike): void {
    this.#socket = socket
    socket.binaryType = this.#binaryType
    socket.onopen = () => this.onopen?.()
    socket.onmessage = (event) => this.onmessage?.(event)
    socket.onclose = (event) => this.onclose?.(event)
    socket.onerror = (event) => this.onerror?.(event)
    if (this.#isClosed) socket.close()
  }

  #end(error: unknown): void {
    this.onerror?.({ error })
    this.onclose?.({ code: 1006, reason: '' })
  }
}
