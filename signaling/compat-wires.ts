/**
 * The relay's WebSockets, whatever runtime they are of: what comes from each goes to the beacon's machines, what these have
 * to say goes to each (spec/09).
 */

import type { Endpoint } from '../core/machine.ts'
import { COMPAT_CLOSE, COMPAT_MESSAGE_MAX } from '../core/rendezvous/compat-message.ts'
import type { Beacon } from './beacon.ts'
import type { CompatConnection, CompatRelay, StoredConnection } from './compat-relay.ts'
import type { RegistryNow } from './registry.ts'
import type { Admission } from './socket-routes.ts'

/** A WebSocket in the words of the relay. */
export interface MessageSocket {
  sendText(text: string): void
  /** `onsent` once the bytes have left, or are lost. */
  sendBytes(bytes: Uint8Array, onsent: () => void): void
  ping(): void
  /** Closes after what was sent; settles when the socket is gone. */
  close(code: number, reason: string): Promise<void>
}

export interface CompatWiresOptions {
  readonly beacon: Beacon
  readonly relay: CompatRelay
  /** Sends what the beacon has to send. */
  readonly drain: () => void
  readonly now: () => RegistryNow
}

export class CompatWires {
  readonly #options: CompatWiresOptions
  readonly #sockets = new Map<CompatConnection, MessageSocket>()

  constructor(options: CompatWiresOptions) {
    this.#options = options
  }

  admit({ address }: Endpoint): Admission {
    return this.#options.relay.admit(address, this.#options.now().at)
  }

  /** A WebSocket is open. */
  open(socket: MessageSocket, { address }: Endpoint): CompatConnection {
    const { relay, now, drain } = this.#options
    const connection = relay.open(address, now())
    this.#sockets.set(connection, socket)
    drain()
    return connection
  }

  /** A WebSocket that another process of ours had got so far with. */
  resume(socket: MessageSocket, stored: StoredConnection): CompatConnection {
    const connection = this.#options.relay.resume(stored, this.#options.now().at)
    this.#sockets.set(connection, socket)
    return connection
  }

  /** The bytes become the beacon's. */
  read(connection: CompatConnection, message: Uint8Array | string): void {
    const { beacon, relay, drain, now } = this.#options
    if (typeof message !== 'string') beacon.handleCompatMessage(connection, message, now().at)
    else if (message.length > COMPAT_MESSAGE_MAX) relay.refuse(connection, COMPAT_CLOSE.tooLarge)
    else relay.handleText(connection, message, now())
    drain()
  }

  /** A ping or a pong came. */
  heard(connection: CompatConnection): void {
    this.#options.relay.handlePong(connection, this.#options.now().at)
  }

  closed(connection: CompatConnection): void {
    this.#sockets.delete(connection)
    this.#options.relay.handleClosed(connection)
  }

  /** Sends what the relay has for its WebSockets. */
  drain(): void {
    const { relay } = this.#options
    for (let next = relay.pollTransmit(); next !== undefined; next = relay.pollTransmit()) {
      const { connection } = next
      const socket = this.#sockets.get(connection)
      if (socket === undefined) continue
      switch (next.type) {
        case 'binary': {
          const { length } = next.bytes
          socket.sendBytes(next.bytes, () => relay.handleSent(connection, length))
          break
        }
        case 'text':
          socket.sendText(next.text)
          break
        case 'ping':
          socket.ping()
          break
        case 'close':
          void socket.close(next.code, next.reason)
      }
    }
  }

  async close(): Promise<void> {
    const { code, reason } = COMPAT_CLOSE.goingAway
    await Promise.all([...this.#sockets.values()].map((socket) => socket.close(code, reason)))
  }
}
