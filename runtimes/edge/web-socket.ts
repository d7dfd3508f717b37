/**
 * WebSockets as workers open them: by the constructor, as everywhere, or by a `fetch` with `Upgrade` where the
 * rendezvous is another worker of the same account, which the address alone does not reach.
 */
import type { OpenWebSocket, WebSocketLike } from '../shared/web-socket.ts'

/** A service binding, or the stub of a Durable Object. */
export interface FetcherLike {
  fetch(url: string, init: { readonly headers: Record<string, string> }): Promise<unknown>
}

/** As much of workerd's WebSocket as is used here; it is open from `accept` on. */
interface AcceptedSocket extends EventTarget {
  binaryType?: string
  readonly bufferedAmount?: number
  accept(): void
  send(data: string | Uint8Array): void
  close(code?: number, reason?: string): void
}

/** workerd does not tell what waits in a WebSocket: it counts as nothing then. */
export const openEdgeWebSocket: OpenWebSocket = (url, protocol) => {
  const socket = new WebSocket(url, protocol)
  if (typeof socket.bufferedAmount !== 'number')
    Object.defineProperty(socket, 'bufferedAmount', { value: 0 })
  return socket as unknown as WebSocketLike
}

export function webSocketsThrough(fetcher: FetcherLike): OpenWebSocket {
  return (url, protocol) => new FetchedWebSocket(fetcher, url, protocol)
}

class FetchedWebSocket implements WebSocketLike {
  binaryType = 'arraybuffer'
  onopen: WebSocketLike['onopen'] = null
  onmessage: WebSocketLike['onmessage'] = null
  onclose: WebSocketLike['onclose'] = null
  onerror: WebSocketLike['onerror'] = null
  #socket: AcceptedSocket | undefined
  #isOver = false

  constructor(fetcher: FetcherLike, url: string, protocol: string) {
    this.#open(fetcher, url, protocol).catch((error: unknown) => {
      this.onerror?.({ message: error instanceof Error ? error.message : String(error) })
      this.#end(1006, '')
    })
  }

  get bufferedAmount(): number {
    return this.#socket?.bufferedAmount ?? 0
  }

  send(data: string | Uint8Array): void {
    this.#socket?.send(data)
  }

  close(code?: number, reason?: string): void {
    if (this.#socket === undefined) this.#end(1006, '')
    else this.#socket.close(code, reason)
  }

  async #open(fetcher: FetcherLike, url: string, protocol: string): Promise<void> {
    const { status, webSocket: socket } = (await fetcher.fetch(url.replace(/^ws/, 'http'), {
      headers: { upgrade: 'websocket', 'sec-websocket-protocol': protocol },
    })) as { readonly status: number; readonly webSocket?: AcceptedSocket | null }
    if (socket === undefined || socket === null)
      throw new Error(`the service answered ${status} to the upgrade`)
    if ('binaryType' in socket) socket.binaryType = 'arraybuffer'
    socket.addEventListener('message', (event) => this.onmessage?.(event as MessageEvent))
    socket.addEventListener('error', (event) => this.onerror?.(event))
    socket.addEventListener('close', (event) => {
      const { code, reason } = event as CloseEvent
      this.#end(code, reason)
    })
    socket.accept()
    if (this.#isOver) {
      socket.close(1000)
      return
    }
    this.#socket = socket
    this.onopen?.()
  }

  #end(code: number, reason: string): void {
    if (this.#isOver) return
    this.#isOver = true
    this.onclose?.({ code, reason })
  }
}
