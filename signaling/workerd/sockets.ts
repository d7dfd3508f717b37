/** WebSockets of a Durable Object in the words of the relay and of the registry. */
import { COMPAT_CLOSE, COMPAT_MESSAGE_MAX } from '../../core/rendezvous/compat-message.ts'
import type { MessageSocket } from '../compat-wires.ts'
import type { RegistryChannel } from '../registry-sessions.ts'
import type { HibernatingSocket } from './platform.ts'

const OPEN = 1

export function isOpen(socket: HibernatingSocket): boolean {
  return socket.readyState === OPEN
}

/** `onclosed`: there is nothing to expect of it any more, whatever the client does. */
export function messageSocket(socket: HibernatingSocket, onclosed: () => void): MessageSocket {
  return {
    sendText: (text) => send(socket, text),
    // What the runtime holds for the network it tells nobody.
    sendBytes: (bytes, onsent) => {
      send(socket, bytes)
      onsent()
    },
    ping: () => {},
    close: async (code, reason) => {
      closeSocket(socket, code, reason)
      onclosed()
    },
  }
}

export class SocketChannel implements RegistryChannel {
  readonly writableLength: number = 0
  readonly #socket: HibernatingSocket
  readonly #onclosed: () => void

  constructor(socket: HibernatingSocket, onclosed: () => void) {
    this.#socket = socket
    this.#onclosed = onclosed
  }

  get destroyed(): boolean {
    return !isOpen(this.#socket)
  }

  write(bytes: Uint8Array): void {
    for (let at = 0; at < bytes.length; at += COMPAT_MESSAGE_MAX)
      send(this.#socket, bytes.subarray(at, at + COMPAT_MESSAGE_MAX))
  }

  pause(): void {}

  resume(): void {}

  destroySoon(): void {
    this.destroy()
  }

  destroy(): void {
    const { code, reason } = COMPAT_CLOSE.goingAway
    this.close(code, reason)
  }

  close(code: number, reason: string): void {
    closeSocket(this.#socket, code, reason)
    this.#onclosed()
  }
}

export function closeSocket(socket: HibernatingSocket, code: number, reason: string): void {
  try {
    socket.close(code, reason)
  } catch {
    // it is closed
  }
}

function send(socket: HibernatingSocket, data: string | Uint8Array): void {
  try {
    socket.send(data)
  } catch {
    // closing: its event follows
  }
}
