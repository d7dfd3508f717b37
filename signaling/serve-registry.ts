/** The registry's TCP side: sockets, TLS, and the caps that come before both (spec/04 §2, §22 W14). */
import { createServer, type Server, type Socket } from 'node:net'
import { createServer as createTlsServer } from 'node:tls'
import type { Log } from './log.ts'
import type { ConnectionLimits, RegistrySessions } from './registry-sessions.ts'
import { canonicalIp, endpointOf, type ListenAddress } from './serve-address.ts'
import { listen } from './serve-listen.ts'

/** PEM texts. */
export interface TlsKeyPair {
  readonly cert: string
  readonly key: string
}

export interface RegistryServerOptions {
  readonly sessions: RegistrySessions
  readonly log: Log
  readonly tls: TlsKeyPair | undefined
  /** With `tls`: clients that speak plain TCP are served on the same port. Default false. */
  readonly plainToo?: boolean
  readonly limits: ConnectionLimits
}

const TICK_MS = 250
const TLS_HANDSHAKE_MS = 10_000
/** Content type of the first record (RFC 8446 §5.1). */
const TLS_HANDSHAKE = 0x16

export class RegistryServer {
  readonly #options: RegistryServerOptions
  readonly #server: Server
  readonly #sockets = new Set<Socket>()
  #ticker: NodeJS.Timeout | undefined

  constructor(options: RegistryServerOptions) {
    this.#options = options
    const plain = { allowHalfOpen: true, noDelay: true }
    if (options.tls === undefined) {
      this.#server = createServer(plain, (socket) => {
        if (this.#admit(socket)) this.#open(socket)
      })
      return
    }
    const { cert, key } = options.tls
    const secure = createTlsServer(
      { cert, key, minVersion: 'TLSv1.2', handshakeTimeout: TLS_HANDSHAKE_MS, ...plain },
      (socket) => this.#open(socket),
    )
    secure.on('tlsClientError', (error) =>
      options.log.debug('TLS handshake failed', { reason: error.message }),
    )
    if (options.plainToo === true)
      this.#server = createServer(plain, (socket) => {
        if (this.#admit(socket)) this.#detect(socket, secure)
      })
    else {
      secure.on('connection', (socket: Socket) => this.#admit(socket))
      this.#server = secure
    }
  }

  /** @throws {NetworkError} `ERR_ADDRESS_IN_USE`, or `ERR_INVALID_ARGUMENT` for an address that is not ours. */
  async listen(address: ListenAddress): Promise<{ address: string; port: number }> {
    const bound = await listen(this.#server, address, 'registry', '-registry-addr')
    this.#server.on('error', (error) =>
      this.#options.log.error('registry listener failed', { reason: error.message }),
    )
    this.#ticker = setInterval(() => this.#options.sessions.tick(), TICK_MS)
    return bound
  }

  /** Answers what was read, then closes everything. */
  async close(): Promise<void> {
    clearInterval(this.#ticker)
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()))
    this.#options.sessions.close()
    for (const socket of this.#sockets) socket.destroySoon()
    const force = setTimeout(() => {
      for (const socket of this.#sockets) socket.destroy()
    }, 500)
    await closed
    clearTimeout(force)
  }

  /** Caps come before TLS, which costs. */
  #admit(socket: Socket): boolean {
    const source = canonicalIp(socket.remoteAddress)
    const release = source === undefined ? undefined : this.#options.sessions.reserve(source)
    socket.on('error', () => socket.destroy())
    if (release === undefined) {
      socket.destroy()
      return false
    }
    this.#sockets.add(socket)
    socket.once('close', () => {
      this.#sockets.delete(socket)
      release()
    })
    return true
  }

  /** Both ways on one port: a frame's length begins with 0, `PILT` with 0x50, and TLS with 0x16 (spec/05 §25). */
  #detect(socket: Socket, secure: Server): void {
    const late = setTimeout(() => socket.destroy(), this.#options.limits.frameMs)
    socket.once('close', () => clearTimeout(late))
    socket.once('readable', () => {
      clearTimeout(late)
      const first = socket.read() as Uint8Array | null
      if (first === null) {
        socket.destroy()
        return
      }
      socket.unshift(first)
      if (first[0] === TLS_HANDSHAKE) secure.emit('connection', socket)
      else this.#open(socket)
    })
  }

  #open(socket: Socket): void {
    const source = endpointOf(socket.remoteAddress, socket.remotePort)
    if (source === undefined || socket.destroyed) {
      socket.destroy()
      return
    }
    const localAddress = canonicalIp(socket.localAddress)
    const session = this.#options.sessions.accept(socket, source, localAddress)
    socket.on('error', () => socket.destroy())
    socket.on('data', session.read)
    socket.on('end', session.end)
    socket.on('drain', session.drained)
    socket.once('close', session.closed)
  }
}
