/** HTTP on Node: the status page, and the WebSocket doors beside it. */
import type { Server, Socket } from 'node:net'
import { createAdaptorServer, upgradeWebSocket, type WebSocketServerLike } from '@hono/node-server'
import { getConnInfo } from '@hono/node-server/conninfo'
import type { Context } from 'hono'
import type { UpgradeWebSocket } from 'hono/ws'
import type { WebSocket } from 'ws'
import type { Endpoint } from '../core/machine.ts'
import { createApp, type RendezvousView } from './app.ts'
import type { Log } from './log.ts'
import { endpointOf, type ListenAddress } from './serve-address.ts'
import {
  type CompatDoor,
  createWebSocketServer,
  type RegistryDoor,
  tcpSocketOf,
} from './serve-compat.ts'
import { readConsole } from './serve-console.ts'
import { listen } from './serve-listen.ts'
import { addSocketRoutes } from './socket-routes.ts'
import type { TrustedProxies } from './trusted-proxies.ts'

/** Connections that have not become WebSockets. */
const HTTP_CONNECTIONS_MAX = 256

export interface HttpServerOptions {
  readonly view: RendezvousView
  readonly doors: readonly (CompatDoor | RegistryDoor)[]
  readonly proxies: TrustedProxies
  /** `undefined`: any. */
  readonly origins: readonly string[] | undefined
  readonly log: Log
}

export class HttpServer {
  /** The console was built. */
  readonly hasConsole: boolean
  readonly #options: HttpServerOptions
  readonly #server: Server & { closeAllConnections?: () => void }
  readonly #plain = new Set<Socket>()

  constructor(options: HttpServerOptions) {
    this.#options = options
    const { view, doors, origins, log } = options
    const consoleFiles = readConsole()
    this.hasConsole = consoleFiles !== undefined
    const app = createApp({
      view,
      peerAddress: (context) => getConnInfo(context).remote.address,
      consoleFiles,
    })
    addSocketRoutes<WebSocket>(app, {
      doors: doors.map((door) => ({
        path: door.path,
        protocol: door.protocol,
        admit: (client) => door.admit(client),
        open: (socket, client, context) => {
          this.#plain.delete(tcpSocketOf(context))
          door.open(socket, client, context)
        },
      })),
      upgradeWebSocket: upgradeWebSocket as unknown as UpgradeWebSocket<WebSocket>,
      clientOf: (context) => this.#clientOf(context),
      origins,
      onerror: (error) => log.error('WebSocket failed unexpectedly', { reason: String(error) }),
    })
    this.#server = createAdaptorServer({
      fetch: app.fetch,
      serverOptions: { headersTimeout: 10_000, requestTimeout: 10_000, keepAliveTimeout: 5_000 },
      websocket: { server: createWebSocketServer() as unknown as WebSocketServerLike },
    }) as Server
    this.#server.on('connection', (socket: Socket) => this.#count(socket))
  }

  /** @throws {NetworkError} `ERR_ADDRESS_IN_USE`, `ERR_INVALID_ARGUMENT`. */
  listen(address: ListenAddress): Promise<Endpoint> {
    return listen(this.#server, address, 'http', '-http')
  }

  async close(): Promise<void> {
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()))
    this.#server.closeAllConnections?.()
    await Promise.all(this.#options.doors.map((door) => door.close()))
    await closed
  }

  #count(socket: Socket): void {
    if (this.#plain.size >= HTTP_CONNECTIONS_MAX) {
      socket.destroy()
      return
    }
    this.#plain.add(socket)
    socket.once('close', () => this.#plain.delete(socket))
  }

  #clientOf(context: Context): Endpoint | undefined {
    const { remoteAddress, remotePort } = tcpSocketOf(context)
    const peer = endpointOf(remoteAddress, remotePort)
    if (peer === undefined) return undefined
    const forwardedFor = context.req.header('x-forwarded-for')
    return { address: this.#options.proxies.clientOf(peer.address, forwardedFor), port: peer.port }
  }
}
