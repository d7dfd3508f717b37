/** The registry connection over a WebSocket of the rendezvous (spec/10 §7): the same bytes as over TCP. */
import { COMPAT_MESSAGE_MAX, REGISTRY_PROTOCOL } from '../../core/index.ts'
import type { ByteStream, ByteStreamHandlers, RegistryConnector } from './transport.ts'
import {
  bytesOf,
  errorText,
  type OpenWebSocket,
  openWebSocket,
  type WebSocketLike,
} from './web-socket.ts'

export interface RegistryWebSocketOptions {
  /** Of the registry door, see `rendezvousUrls`. */
  readonly url: string
  /** Default: the global `WebSocket`. */
  readonly openWebSocket?: OpenWebSocket
}

export function registryWebSocket(options: RegistryWebSocketOptions): RegistryConnector {
  const open = options.openWebSocket ?? openWebSocket
  return {
    endpoint: options.url,
    connect: (handlers) => connect(() => open(options.url, REGISTRY_PROTOCOL), handlers),
  }
}

function connect(open: () => WebSocketLike, handlers: ByteStreamHandlers): ByteStream {
  let socket: WebSocketLike
  let isOpen = false
  let isOver = false
  let problem: string | undefined
  const end = (reason: string): void => {
    if (isOver) return
    isOver = true
    handlers.onclose(reason)
  }
  try {
    socket = open()
  } catch (error) {
    // After the caller has what is returned here.
    queueMicrotask(() => end(error instanceof Error ? error.message : String(error)))
    return {
      write: () => {},
      close: () => {
        isOver = true
      },
    }
  }
  socket.binaryType = 'arraybuffer'
  socket.onopen = () => {
    if (isOver) return
    isOpen = true
    handlers.onconnect()
  }
  socket.onmessage = ({ data }) => {
    const bytes = bytesOf(data)
    if (!isOver && bytes !== undefined) handlers.ondata(bytes)
  }
  socket.onerror = (event) => {
    problem = errorText(event)
  }
  socket.onclose = ({ code, reason }) =>
    end(reason === '' ? (problem ?? `the registry closed with code ${code}`) : reason)
  return {
    write: (bytes) => {
      if (!isOpen || isOver) return
      for (let at = 0; at < bytes.length; at += COMPAT_MESSAGE_MAX)
        socket.send(bytes.subarray(at, at + COMPAT_MESSAGE_MAX))
    },
    close: () => {
      isOver = true
      socket.close()
    },
  }
}
