/** The WebSocket doors on Node: `ws` sockets in, the beacon's and the registry's machines behind them (spec/09). */
import type { Socket } from 'node:net'
import type { HttpBindings } from '@hono/node-server'
import type { Context } from 'hono'
import { type WebSocket, WebSocketServer } from 'ws'
import type { Endpoint } from '../core/machine.ts'
import {
  COMPAT_CLOSE,
  COMPAT_MESSAGE_MAX,
  COMPAT_PATH,
  COMPAT_PROTOCOL,
  REGISTRY_PATH,
  REGISTRY_PROTOCOL,
} from '../core/rendezvous/compat-message.ts'
import type { CompatWires } from './compat-wires.ts'
import type { CompatLimits } from './limits.ts'
import type { Log } from './log.ts'
import type { RegistryChannel, RegistrySessions } from './registry-sessions.ts'
import { canonicalIp } from './serve-address.ts'
import type { Admission, SocketDoor } from './socket-routes.ts'
import { UpgradeRates } from './upgrade-rates.ts'

/** How long a peer may take to answer a close. */
const CLOSE_MS = 2000

const PROTOCOLS: ReadonlyMap<string, string> = new Map([
  [COMPAT_PATH, COMPAT_PROTOCOL],
  [REGISTRY_PATH, REGISTRY_PROTOCOL],
])

/** Upgrades for `@hono/node-server`: nothing larger than a message of ours, no compression. */
export function createWebSocketServer(): WebSocketServer {
  return new WebSocketServer({
    noServer: true,
    maxPayload: COMPAT_MESSAGE_MAX,
    perMessageDeflate: false,
    // The routes have seen to it that ours is among them.
    handleProtocols: (_offered, { url = '' }) => PROTOCOLS.get(url.split('?')[0]!) ?? false,
  })
}

/** The TCP socket under an upgrade. */
export function tcpSocketOf(context: Context): Socket {
  return (context.env as HttpBindings).incoming.socket
}

/** `/v1/compat`: nodes without UDP. */
export class CompatDoor implements SocketDoor<WebSocket> {
  readonly path: string = COMPAT_PATH
  readonly protocol: string = COMPAT_PROTOCOL
  readonly #wires: CompatWires
  readonly #log: Log
  readonly #corks = new Corks()

  constructor(wires: CompatWires, log: Log) {
    this.#wires = wires
    this.#log = log
  }

  admit(client: Endpoint): Admission {
    return this.#wires.admit(client)
  }

  open(socket: WebSocket, client: Endpoint, context: Context): void {
    const wires = this.#wires
    const tcp = tcpSocketOf(context)
    const connection = wires.open(
      {
        sendText: (text) => socket.send(text),
        sendBytes: (bytes, onsent) => {
          this.#corks.cork(tcp)
          socket.send(bytes, { binary: true }, onsent)
        },
        ping: () => socket.ping(),
        close: (code, reason) => close(socket, code, reason),
      },
      client,
    )
    socket.on('message', (data, isBinary) => {
      const bytes = data as Buffer // never fragments or an ArrayBuffer: `binaryType` is the default
      wires.read(connection, isBinary ? bytes : bytes.toString())
    })
    const heard = (): void => wires.heard(connection)
    socket.on('ping', heard)
    socket.on('pong', heard)
    socket.on('error', (error) => this.#log.debug('WebSocket failed', { reason: error.message }))
    socket.on('close', () => wires.closed(connection))
  }

  close(): Promise<void> {
    return this.#wires.close()
  }
}

/** What one turn of the event loop brings for one peer goes out in one write. */
class Corks {
  readonly #corked = new Set<Socket>()

  cork(tcp: Socket): void {
    if (this.#corked.has(tcp)) return
    if (this.#corked.size === 0)
      setImmediate(() => {
        for (const socket of this.#corked) socket.uncork()
        this.#corked.clear()
      })
    tcp.cork()
    this.#corked.add(tcp)
  }
}

/** `/v1/registry`: the registry's frames, as bytes over WebSocket messages. */
export class RegistryDoor implements SocketDoor<WebSocket> {
  readonly path: string = REGISTRY_PATH
  readonly protocol: string = REGISTRY_PROTOCOL
  readonly #sessions: RegistrySessions
  readonly #upgrades: UpgradeRates
  readonly #sockets = new Set<WebSocket>()

  constructor(sessions: RegistrySessions, limits: CompatLimits) {
    this.#sessions = sessions
    this.#upgrades = new UpgradeRates(limits)
  }

  admit({ address }: Endpoint): Admission {
    if (!this.#upgrades.take(address, performance.now())) return 'rate-limited'
    return this.#sessions.hasRoom(address) ? 'admitted' : 'full'
  }

  open(socket: WebSocket, client: Endpoint, context: Context): void {
    socket.on('error', () => {}) // `close` follows
    const release = this.#sessions.reserve(client.address)
    if (release === undefined) {
      const { code, reason } = COMPAT_CLOSE.tryLater
      close(socket, code, reason)
      return
    }
    this.#sockets.add(socket)
    const channel = new WebSocketChannel(socket, () => session.drained())
    const localAddress = canonicalIp(tcpSocketOf(context).localAddress)
    const session = this.#sessions.accept(channel, client, localAddress)
    socket.on('message', (data, isBinary) => {
      if (isBinary) session.read(data as Buffer)
      else close(socket, 1003, 'binary messages only')
    })
    socket.on('close', () => {
      this.#sockets.delete(socket)
      release()
      session.closed()
    })
  }

  async close(): Promise<void> {
    const { code, reason } = COMPAT_CLOSE.goingAway
    await Promise.all([...this.#sockets].map((socket) => close(socket, code, reason)))
  }
}

/** A WebSocket in the words of a TCP socket; a message is only as many bytes as it holds. */
class WebSocketChannel implements RegistryChannel {
  readonly #socket: WebSocket
  readonly #onempty: () => void

  constructor(socket: WebSocket, onempty: () => void) {
    this.#socket = socket
    this.#onempty = onempty
  }

  get destroyed(): boolean {
    return this.#socket.readyState !== this.#socket.OPEN
  }

  get writableLength(): number {
    return this.#socket.bufferedAmount
  }

  write(bytes: Uint8Array): void {
    for (let at = 0; at < bytes.length; at += COMPAT_MESSAGE_MAX)
      this.#socket.send(bytes.subarray(at, at + COMPAT_MESSAGE_MAX), { binary: true }, () => {
        if (this.#socket.bufferedAmount === 0) this.#onempty()
      })
  }

  pause(): void {
    this.#socket.pause()
  }

  resume(): void {
    this.#socket.resume()
  }

  destroySoon(): void {
    const { code, reason } = COMPAT_CLOSE.goingAway
    close(this.#socket, code, reason)
  }

  destroy(): void {
    this.#socket.terminate()
  }
}

/** Closes after what was sent, insists when the peer does not answer; settles when the socket is gone. */
function close(socket: WebSocket, code: number, reason: string): Promise<void> {
  if (socket.readyState === socket.CLOSED) return Promise.resolve()
  return new Promise((resolve) => {
    const timer = setTimeout(() => socket.terminate(), CLOSE_MS)
    socket.once('close', () => {
      clearTimeout(timer)
      resolve()
    })
    socket.close(code, reason)
  })
}
