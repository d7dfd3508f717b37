/**
 * The registry's clients, whatever carries them: frames in, answers out, nothing sent before it is on disk. All frames
 * that come before `later` runs share one commit (spec/04 §2, §22 W14, W19).
 */
import { concat } from '../core/bytes.ts'
import { WireError } from '../core/errors.ts'
import type { Endpoint, Instant } from '../core/machine.ts'
import type { Handed } from './handshake-inbox.ts'
import {
  CONNECTIONS_MAX,
  CONNECTIONS_PER_SOURCE_MAX,
  FRAME_MS,
  IDLE_MS,
  UNFINISHED_BYTES_MAX,
  UNSENT_BYTES_MAX,
} from './limits.ts'
import type { Log } from './log.ts'
import type { Registry, RegistryNow } from './registry.ts'
import { type ConnectionState, RegistryConnection } from './registry-connection.ts'
import { type IntakeState, RegistryIntake } from './registry-intake.ts'
import type { RegistryStore } from './registry-store.ts'
import type { ReplicationFeed } from './replication-feed.ts'
import type { RequestMetrics } from './request-metrics.ts'
import type { SocketCounters } from './statistics.ts'

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

export interface RegistrySessionsOptions {
  readonly registry: Registry
  readonly store: RegistryStore
  readonly metrics: RequestMetrics
  readonly counters: SocketCounters
  readonly log: Log
  readonly limits: ConnectionLimits
  readonly now: () => RegistryNow
  /** Calls once, after what is going on now. */
  readonly later: (work: () => void) => void
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
  /** What another process of ours needs to go on with this client; `undefined` while it is being closed. */
  state(): SessionState | undefined
}

/** A client between two requests, as plain data. */
export interface SessionState {
  readonly connection: ConnectionState
  /** By node, what its last poll handed out. */
  readonly handed: readonly (readonly [nodeId: number, Handed])[]
  readonly intake: IntakeState
  readonly frameAt: Instant
  readonly begunAt: Instant | undefined
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

const RETRY_COMMIT_MS = 1000

export class RegistrySessions {
  readonly #options: RegistrySessionsOptions
  readonly #sessions = new Set<Session>()
  readonly #perSource = new Map<string, number>()
  #dirty = new Set<Session>()
  #isFlushScheduled = false
  #unfinishedBytes = 0
  /** When the last commit failed, while none has succeeded since. */
  #failedAt: Instant | undefined

  constructor(options: RegistrySessionsOptions) {
    this.#options = options
  }

  get isHealthy(): boolean {
    return this.#failedAt === undefined
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

  /**
   * A client on a channel. `localAddress`: the address of ours it came to, where that is known. `resumed`: where
   * another process of ours had got with it.
   */
  accept(
    socket: RegistryChannel,
    source: Endpoint,
    localAddress: string | undefined,
    resumed?: SessionState,
  ): RegistrySession {
    const session: Session = {
      socket,
      connection: new RegistryConnection(source, localAddress),
      intake: new RegistryIntake(resumed?.intake),
      answers: [],
      frameAt: resumed?.frameAt ?? this.#options.now().at,
      begunAt: resumed?.begunAt,
      pausedAt: undefined,
      unfinishedBytes: 0,
      isClosing: false,
    }
    this.#sessions.add(session)
    if (resumed !== undefined) {
      session.connection.resume(resumed.connection)
      const { inbox } = this.#options.registry.desk
      for (const [nodeId, handed] of resumed.handed)
        inbox.resume(nodeId, session.connection, handed)
      this.#account(session, session.intake.pendingBytes)
    }
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
      state: () => (session.isClosing ? undefined : this.#stateOf(session)),
    }
  }

  #stateOf({ connection, intake, frameAt, begunAt }: Session): SessionState {
    const { inbox } = this.#options.registry.desk
    return {
      connection: connection.state(),
      handed: [...connection.polled].map((nodeId) => [nodeId, inbox.handedTo(nodeId, connection)]),
      intake: intake.state(),
      frameAt,
      begunAt,
    }
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
    const clock = this.#options.now()
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
        const ended = this.#options.now().at
        metrics.observe(request.message.type, isError, (ended - started) / 1000)
        // A standby is not answered: the state comes with the next tick, when all this is on disk.
        if (handled.subscribes !== true) session.answers.push(request.encode(handled.reply))
        else if (!feed.add(session.socket, request.message.parts === true, clock.at)) close = true
      }
      started = this.#options.now().at
      session.frameAt = started
      session.begunAt = started
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
    this.#options.later(() => this.flush())
  }

  /** Answers what was read, then closes every channel. */
  close(): void {
    this.flush()
    for (const { socket } of this.#sessions) socket.destroySoon()
  }

  /** Commits, and answers. */
  flush(): void {
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
        session.pausedAt = this.#options.now().at
      }
    }
  }

  /** After a failure it is tried again at most once per second unless `force`. */
  #commit(force = false): boolean {
    const { store, log } = this.#options
    const { at } = this.#options.now()
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

  /** What is due by time; a few times a second, or when something may be. */
  tick(): void {
    const { registry, limits, feed } = this.#options
    const clock = this.#options.now()
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
