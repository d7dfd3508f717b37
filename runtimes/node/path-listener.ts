/**
 * Takes WebSockets of trusted peers, browsers above all (spec/10 §6.2). Nothing else is served: what comes in is a
 * stranger's until it has proven whose it is, and a peer's frames after that. No cookie, no page, no control.
 */
import { X509Certificate } from 'node:crypto'
import { createServer, type IncomingMessage, type Server, type ServerOptions } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import { isIP, isIPv6, type Socket } from 'node:net'
import { networkInterfaces } from 'node:os'
import type { Duplex } from 'node:stream'
import { WebSocketServer } from 'ws'
import { StorageError, UsageError } from '../../core/index.ts'
import { TokenBuckets } from '../../core/rate-limit.ts'
import type { PathDoor } from '../shared/paths/path-context.ts'
import {
  isLoopback,
  PATH_PATH,
  PATH_PROTOCOL,
  pathUrls,
} from '../shared/paths/websocket-address.ts'
import { WEBSOCKET_FRAME_MAX } from '../shared/paths/websocket-path.ts'
import { parseListen } from '../shared/places.ts'
import type { NodePart } from '../shared/transport.ts'
import type { WebSocketLike } from '../shared/web-socket.ts'
import { BatchingWebSocket } from './web-socket.ts'
import {
  checkWebSocketOptions,
  publicUrl,
  type WebSocketPathOptions,
} from './web-socket-options.ts'

export type { WebSocketPathOptions }

/** Connections in all, WebSockets or not. */
const CONNECTIONS_MAX = 512
/** Upgrades per source address. */
const UPGRADE_BURST = 50
const UPGRADES_PER_SECOND = 10
const HEADERS_MS = 10_000
const CHECK_MS = 2000
const HEADER_BYTES_MAX = 8192
const CLOSE_MS = 500

type ListenOptions = WebSocketPathOptions & { readonly listen: string }

export class PathListener implements PathDoor, NodePart {
  readonly urls: readonly string[]
  onsocket: ((socket: WebSocketLike) => void) | undefined
  readonly #server: Server
  readonly #sockets: WebSocketServer
  readonly #upgrades = new TokenBuckets<string>({
    burst: UPGRADE_BURST,
    perSecond: UPGRADES_PER_SECOND,
  })
  readonly #paths: ReadonlySet<string>
  readonly #hosts: ReadonlySet<string>
  readonly #origins: ReadonlySet<string> | undefined

  private constructor(server: Server, { listen, tls, urls = [], origins }: ListenOptions) {
    const given = urls.map((url) => publicUrl(url))
    const { address } = parseListen(listen)
    const { port } = server.address() as { port: number }
    const own = tls === undefined ? addressesOf(address) : namesOf(tls.cert)
    const scheme = tls === undefined ? 'ws' : 'wss'
    this.urls = pathUrls([
      ...given.map(({ href }) => href),
      ...own.map((host) => `${scheme}://${isIPv6(host) ? `[${host}]` : host}:${port}${PATH_PATH}`),
    ])
    this.#paths = new Set([PATH_PATH, ...given.map(({ pathname }) => pathname)])
    this.#hosts = new Set([...given.map(({ hostname }) => hostname), ...own])
    this.#origins = origins === undefined ? undefined : new Set(origins)
    this.#server = server
    this.#sockets = new WebSocketServer({
      noServer: true,
      maxPayload: WEBSOCKET_FRAME_MAX,
      perMessageDeflate: false,
      WebSocket: BatchingWebSocket,
      handleProtocols: () => PATH_PROTOCOL,
    })
    server.on('request', (request, response) => {
      request.resume()
      const status = this.#isDoor(request) ? 426 : 404
      const upgrade = { upgrade: 'websocket', connection: 'upgrade, close' }
      response.writeHead(status, status === 426 ? upgrade : { connection: 'close' }).end()
    })
    server.on('upgrade', (request, socket, head) => this.#upgrade(request, socket, head))
    server.on('clientError', (_error, socket) => socket.destroy())
  }

  /**
   * @throws {UsageError} `ERR_INVALID_ARGUMENT` for an address, URL, origin or certificate that is none;
   * {@link StorageError} `ERR_ADDRESS_IN_USE` when the address cannot be had.
   */
  static async listen(options: ListenOptions): Promise<PathListener> {
    checkWebSocketOptions(options)
    const { address, port } = parseListen(options.listen)
    const server = makeServer(options.tls, {
      maxHeaderSize: HEADER_BYTES_MAX,
      headersTimeout: HEADERS_MS,
      requestTimeout: HEADERS_MS,
      connectionsCheckingInterval: CHECK_MS,
    })
    server.maxConnections = CONNECTIONS_MAX
    await new Promise<void>((resolve, reject) => {
      server.once('error', (cause: NodeJS.ErrnoException) => {
        const why = cause.code === 'EADDRINUSE' ? 'is in use by another program' : cause.message
        const text = `the WebSocket address ${options.listen} ${why}`
        reject(new StorageError('ERR_ADDRESS_IN_USE', text, { cause }))
      })
      server.listen({ port, ...(address === '' ? {} : { host: address }) }, () => {
        server.removeAllListeners('error')
        server.on('error', () => {}) // of accepting one connection
        resolve()
      })
    })
    return new PathListener(server, options)
  }

  async close(): Promise<void> {
    this.onsocket = undefined
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()))
    this.#server.closeIdleConnections()
    // Whoever has a WebSocket has said farewell on it; what does not answer is cut off.
    const timer = setTimeout(() => {
      for (const socket of this.#sockets.clients) socket.terminate()
      this.#server.closeAllConnections()
    }, CLOSE_MS)
    await closed
    clearTimeout(timer)
  }

  #upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    socket.on('error', () => {}) // `close` follows
    const status = this.#refusal(request)
    if (status !== undefined) {
      // Whoever does not hang up is not waited for: no timeout of the server covers it any more.
      socket.once('finish', () => socket.destroy())
      socket.end(`HTTP/1.1 ${status}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`)
      return
    }
    this.#sockets.handleUpgrade(request, socket, head, (webSocket) => {
      const accepted = webSocket as BatchingWebSocket
      accepted.tcp = socket as Socket
      accepted.tcp.setNoDelay(true)
      if (this.onsocket === undefined) webSocket.close(1013, 'try again later')
      else this.onsocket(accepted as unknown as WebSocketLike)
    })
  }

  /** `undefined` when the upgrade may go on. */
  #refusal(request: IncomingMessage): string | undefined {
    const { headers } = request
    if (!this.#isDoor(request)) return '404 Not Found'
    const source = sourceKey((request.socket as Socket).remoteAddress ?? '')
    if (!this.#upgrades.take(source, performance.now())) return '429 Too Many Requests'
    if (!this.#isOurs(headers.host)) return '403 Forbidden'
    if (this.#origins !== undefined && !this.#origins.has(headers.origin ?? ''))
      return '403 Forbidden'
    const offered = `${headers['sec-websocket-protocol'] ?? ''}`.split(',')
    return offered.some((one) => one.trim() === PATH_PROTOCOL) ? undefined : '400 Bad Request'
  }

  #isDoor({ url = '' }: IncomingMessage): boolean {
    return this.#paths.has(url.split('?')[0]!)
  }

  /** A name that somebody made point here (DNS rebinding) is not ours; an address is itself. */
  #isOurs(header: string | undefined): boolean {
    const hostname = URL.parse(`ws://${header}/`)?.hostname
    if (header === undefined || hostname === undefined) return false
    const bare = hostname.replace(/^\[|\]$/g, '')
    return isIP(bare) !== 0 || isLoopback(hostname) || this.#hosts.has(bare)
  }
}

function makeServer(tls: WebSocketPathOptions['tls'], settings: ServerOptions): Server {
  if (tls === undefined) return createServer(settings)
  try {
    return createTlsServer({ ...settings, ...tls, ALPNProtocols: ['http/1.1'] })
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause)
    throw new UsageError('ERR_INVALID_ARGUMENT', `certificate and key do not work: ${why}`, {
      cause,
    })
  }
}

/** This machine first: a page on it is the likeliest peer without UDP. */
function addressesOf(address: string): string[] {
  if (address !== '') return [address]
  const others = Object.values(networkInterfaces()).flatMap((all = []) =>
    all
      .filter(({ internal, address: one }) => !internal && !one.startsWith('fe80:'))
      .map(({ address: one }) => one),
  )
  return ['127.0.0.1', ...others]
}

/** Of the certificate, without wildcards. */
function namesOf(cert: string): string[] {
  try {
    const { subjectAltName = '' } = new X509Certificate(cert)
    return [...subjectAltName.matchAll(/(?:DNS|IP Address):([^,\s*]+)(?=,|$)/g)].map(
      ([, name = '']) => name,
    )
  } catch {
    return []
  }
}

/** One address of IPv4, one network of IPv6: a host has as many addresses in it as it likes. */
function sourceKey(address: string): string {
  return isIPv6(address) && !address.startsWith('::ffff:')
    ? address.split(':').slice(0, 4).join(':')
    : address
}
