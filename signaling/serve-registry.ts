/**
 * The registry's TCP side, and what a WebSocket door shares with it: frames in, answers out, nothing sent
 * before it is on disk. All frames that one turn of the event loop brings share one commit (spec/04 §2,
 * §22 W14, W19).
 */
import { createServer, type Server, type Socket } from 'node:net'
import { createServer as createTlsServer } from 'node:tls'
import { concat } from '../core/bytes.ts'
import { WireError } from '../core/errors.ts'
import type { Endpoint, Instant } from '../core/machine.ts'
import {
  CONNECTIONS_MAX,
  CONNECTIONS_PER_SOURCE_MAX,
  FRAME_MS,
  IDLE_MS,
  UNFINISHED_BYTES_MAX,
  UNSENT_BYTES_MAX,
} from './limits.ts'
import type { Log } from './log.ts'
import type { Registry } from './registry.ts'
import { RegistryConnection } from './registry-connection.ts'
import { RegistryIntake } from './registry-intake.ts'
import type { RegistryStore } from './registry-store.ts'
import type { ReplicationFeed } from './replication-feed.ts'
import type { RequestMetrics } from './request-metrics.ts'
import { canonicalIp, endpointOf, type ListenAddress } from './serve-address.ts'
import { now } from './serve-clock.ts'
import { listen } from './serve-listen.ts'
import type { SocketCounters } from './statistics.ts'

/** PEM texts. */
export interface TlsKeyPair {
  readonly cert: string
  readonly key: string
}

export interface ConnectionLimits {
  /** Connections in all and per source IP; more are closed at once. */
  readonly connectionsMax: number
  readonly connectionsPerSourceMax: number
  /** Bytes of unfinished frames of all connections; the one that passes it is closed. */
  readonly unfinishedBytesMax: number
  /** Silence after which a connection is closed, and time to finish a frame that began, in ms. */
  readonly idleMs: number
  readonly frameMs: number
}

export const DEFAULT_CONNECTION_LIMITS: ConnectionLimits = {
  connectionsMax: CONNECTIONS_MAX,
  connectionsPerSourceMax: CONNECTIONS_PER_SOURCE_MAX,
  unfinishedBytesMax: UNFINISHED_BYTES_MAX,
  idleMs: IDLE_MS,
  frameMs: FRAME_MS,
}

export interface RegistryServerOptions {
  readonly registry: Registry
  readonly store: RegistryStore
  readonly metrics: RequestMetrics
  readonly counters: SocketCounters
  readonly log: Log
  readonly tls: TlsKeyPair | undefined
  /** With `tls`: clients that speak plain TCP are served on the same port. Default false. */
  readonly plainToo?: boolean
  readonly limits: ConnectionLimits
  /** What was changed is on disk. */
  readonly onCommit?: () => void
  /** Standbys that follow this registry. */
  readonly feed: ReplicationFeed
}

/** What carries the bytes of one client: a TCP socket, or a WebSocket behind the same words. */
export interface RegistryChannel {
  readonly destroyed: boolean
  /** Bytes written and not taken by the network. */
  readonly writableLength: number
  write(bytes: Uint8Array): unknown
  pause(): unknown
  resume(): unknown
  /** Sends what was written, then closes. */
  destroySoon(): unknown
  destroy(): unknown
}

/** One client on a channel; whoever reads the channel tells it what came. */
export interface RegistrySession {
  read(chunk: Uint8Array): void
  /** The client has finished sending. */
  end(): void
  /** What was written has left. */
  drained(): void
  /** The channel is gone. */
  closed(): void
}

interface Session {
  readonly socket: RegistryChannel
  readonly connection: RegistryConnection
  readonly intake: RegistryIntake
  answers: Uint8Array[]
  /** When the last frame was complete, or the connection made. */
  frameAt: Instant
  /** When the frame that is not complete began. */
  begunAt: Instant | undefined
  /** When reading stopped because answers are not read. */
  pausedAt: Instant | undefined
  unfinishedBytes: number
  isClosing: boolean
}

const TICK_MS = 250
const RETRY_COMMIT_MS = 1000
const TLS_HANDSHAKE_MS = 10_000
/** Content type of the first record (RFC 8446 §5.1). */
const TLS_HANDSHAKE = 0x16

export class RegistryServer {
  readonly #options: RegistryServerOptions
  readonly #server: Server
  readonly #sockets = new Set<Socket>()
  readonly #sessions = new Set<Session>()
  readonly #perSource = new Map<string, number>()
  #dirty = new Set<Session>()
  #isFlushScheduled = false
  #unfinishedBytes = 0
  /** When the last commit failed, while none has succeeded since. */
  #failedAt: Instant | undefined
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

  get isHealthy(): boolean {
    return this.#failedAt === undefined
  }

  /** @throws {NetworkError} `ERR_ADDRESS_IN_USE`, or `ERR_INVALID_ARGUMENT` for an address that is not ours. */
  async listen(address: ListenAddress): Promise<{ address: string; port: number }> {
    const bound = await listen(this.#server, address, 'registry', '-registry-addr')
    this.#server.on('error', (error) =>
      this.#options.log.error('registry listener failed', { reason: error.message }),
    )
    this.#ticker = setInterval(() => this.#tick(), TICK_MS)
    return bound
  }

  /** Answers what was read, then closes everything. */
  async close(): Promise<void> {
    clearInterval(this.#ticker)
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()))
    this.#flush()
    for (const { socket } of this.#sessions) socket.destroySoon()
    for (const socket of this.#sockets) socket.destroySoon()
    const force = setTimeout(() => {
      for (const socket of this.#sockets) socket.destroy()
    }, 500)
    await closed
    clearTimeout(force)
  }

  hasRoom(source: string): boolean {
    const { counters, limits } = this.#options
    return (
      counters.connections < limits.connectionsMax &&
      (this.#perSource.get(source) ?? 0) < limits.connectionsPerSourceMax
    )
  }

  /** One of the connections that are allowed, in all and from this address; `undefined` when there is none left. */
  reserve(source: string): (() => void) | undefined {
    const { counters } = this.#options
    if (!this.hasRoom(source)) {
      counters.connectionsRefused++
      return undefined
    }
    this.#perSource.set(source, (this.#perSource.get(source) ?? 0) + 1)
    counters.connections++
    let isReleased = false
    return () => {
      if (isReleased) return
      isReleased = true
      counters.connections--
      const left = (this.#perSource.get(source) ?? 1) - 1
      if (left === 0) this.#perSource.delete(source)
      else this.#perSource.set(source, left)
    }
  }

  /** A client on a channel. `localAddress`: the address of ours it came to, where that is known. */
  accept(
    socket: RegistryChannel,
    source: Endpoint,
    localAddress: string | undefined,
  ): RegistrySession {
    const session: Session = {
      socket,
      connection: new RegistryConnection(source, localAddress),
      intake: new RegistryIntake(),
      answers: [],
      frameAt: performance.now(),
      begunAt: undefined,
      pausedAt: undefined,
      unfinishedBytes: 0,
      isClosing: false,
    }
    this.#sessions.add(session)
    return {
      read: (chunk) => this.#read(session, chunk),
      end: () => {
        session.isClosing = true
        this.#schedule(session)
      },
      drained: () => {
        if (session.pausedAt === undefined) return
        session.pausedAt = undefined
        socket.resume()
      },
      closed: () => {
        this.#options.feed.remove(socket)
        this.#sessions.delete(session)
        this.#dirty.delete(session)
        this.#account(session, 0)
      },
    }
  }

  /** Caps come before TLS, which costs. */
  #admit(socket: Socket): boolean {
    const source = canonicalIp(socket.remoteAddress)
    const release = source === undefined ? undefined : this.reserve(source)
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
    const session = this.accept(socket, source, canonicalIp(socket.localAddress))
    socket.on('error', () => socket.destroy())
    socket.on('data', session.read)
    socket.on('end', session.end)
    socket.on('drain', session.drained)
    socket.once('close', session.closed)
  }

  #read(session: Session, chunk: Uint8Array): void {
    if (session.isClosing) return
    if (this.#failedAt !== undefined && !this.#commit()) {
      session.socket.destroy()
      return
    }
    session.intake.push(chunk)
    try {
      this.#answer(session)
    } catch (error) {
      if (error instanceof WireError) {
        this.#options.counters.framesRefused++
        this.#options.log.debug('frame refused', { reason: error.message })
        session.isClosing = true
      } else {
        // A fault of ours must cost this connection, not the process (spec/04 §22 W26).
        this.#options.log.error('request failed unexpectedly', { reason: String(error) })
        session.socket.destroy()
        return
      }
    }
    this.#account(session, session.intake.pendingBytes)
    if (this.#unfinishedBytes > this.#options.limits.unfinishedBytesMax) {
      this.#options.counters.framesRefused++
      session.socket.destroy()
      return
    }
    this.#schedule(session)
  }

  #answer(session: Session): void {
    const { registry, metrics, feed } = this.#options
    const clock = now()
    let started = clock.at
    if (session.intake.pendingBytes > 0) session.begunAt ??= started
    for (;;) {
      const request = session.intake.next()
      if (request === undefined) break
      let close = request.closes
      if (feed.has(session.socket)) {
        session.frameAt = clock.at
        session.begunAt = clock.at
        continue
      }
      if (request.message === undefined) session.answers.push(request.refusal)
      else {
        const handled = registry.handle(request.message, session.connection, clock)
        close ||= handled.close
        if (handled.changes === true) feed.note()
        const isError = handled.reply.type === 'error'
        const seconds = (performance.now() - started) / 1000
        metrics.observe(request.message.type, isError, seconds)
        // A standby is not answered: the state comes with the next tick, when all this is on disk.
        if (handled.subscribes !== true) session.answers.push(request.encode(handled.reply))
        else if (!feed.add(session.socket, request.message.parts === true, clock.at)) close = true
      }
      const ended = performance.now()
      started = ended
      session.frameAt = ended
      session.begunAt = ended
      if (close) {
        session.isClosing = true
        break
      }
    }
    if (session.intake.pendingBytes === 0) session.begunAt = undefined
  }

  #account(session: Session, bytes: number): void {
    this.#unfinishedBytes += bytes - session.unfinishedBytes
    session.unfinishedBytes = bytes
  }

  /** Answers leave after the present turn of the event loop, when every socket that had data was read. */
  #schedule(session: Session): void {
    if (session.answers.length === 0 && !session.isClosing) return
    this.#dirty.add(session)
    if (this.#isFlushScheduled) return
    this.#isFlushScheduled = true
    setImmediate(() => this.#flush())
  }

  #flush(): void {
    this.#isFlushScheduled = false
    const sessions = this.#dirty
    this.#dirty = new Set()
    if (!this.#commit(true)) {
      // What is not on disk is not answered: the clients ask again.
      for (const { socket } of sessions) socket.destroy()
      return
    }
    for (const session of sessions) {
      const { socket, answers } = session
      session.answers = []
      if (socket.destroyed) continue
      if (answers.length > 0) socket.write(answers.length === 1 ? answers[0]! : concat(...answers))
      if (session.isClosing) socket.destroySoon()
      else if (socket.writableLength > UNSENT_BYTES_MAX) {
        socket.pause()
        session.pausedAt = performance.now()
      }
    }
  }

  /** After a failure it is tried again at most once per second unless `force`. */
  #commit(force = false): boolean {
    const { store, log } = this.#options
    const at = performance.now()
    if (!force && this.#failedAt !== undefined && at - this.#failedAt < RETRY_COMMIT_MS)
      return false
    try {
      store.commit()
    } catch (error) {
      log.error('nothing is answered until the store can be written', {
        reason: error instanceof Error ? error.message : String(error),
      })
      this.#failedAt = at
      return false
    }
    if (this.#failedAt !== undefined) log.info('the store can be written again')
    this.#failedAt = undefined
    this.#options.onCommit?.()
    return true
  }

  #tick(): void {
    const { registry, limits, feed } = this.#options
    const clock = now()
    if (clock.at >= registry.pollTimeout()) {
      registry.handleTimeout(clock)
      feed.note()
    }
    if (this.#failedAt !== undefined || this.#options.store.pendingChanges > 0) this.#commit()
    if (this.#failedAt === undefined) feed.tick(clock)
    for (const { socket, frameAt, begunAt, pausedAt, isClosing } of this.#sessions) {
      // Those of the reference say nothing after they have subscribed.
      const isIdle = clock.at - frameAt >= limits.idleMs && !feed.has(socket)
      const isSlow = [begunAt, pausedAt].some(
        (since) => since !== undefined && clock.at - since >= limits.frameMs,
      )
      if (isIdle || isSlow || (isClosing && clock.at - frameAt >= limits.frameMs)) socket.destroy()
    }
  }
}
