/**
 * Ends streams on which no byte has travelled for a time (`-idle-timeout`, spec/08 §5). Keepalives do not count: that a
 * peer is there says nothing of whether anybody still wants the stream. By default none is ended for being idle
 * (spec/06 §10).
 */
import type { ConnectionInfo, PilotNode } from '../../shared/api.ts'
import type { EmitWebhook } from '../webhook/webhook-events.ts'
import { connectionPlace } from '../webhook/webhook-events.ts'
import type { Log } from './log.ts'

export interface IdleStreamsOptions {
  readonly node: Pick<PilotNode, 'connections'>
  readonly idleMs: number
  /** Ends a stream of this id with FIN, whoever owns it. */
  readonly close: (id: number) => void
  readonly emit: EmitWebhook
  readonly log: Log
  /** Milliseconds of a monotonic clock. */
  readonly now?: () => number
}

/** The reference looks every 15 s. */
const SWEEP_MAX_MS = 15_000
const SWEEP_MIN_MS = 100

interface Watched {
  readonly bytes: number
  readonly since: number
}

export class IdleStreams implements Disposable {
  readonly #options: IdleStreamsOptions
  readonly #now: () => number
  readonly #timer: NodeJS.Timeout
  #watched = new Map<number, Watched>()

  constructor(options: IdleStreamsOptions) {
    this.#options = options
    this.#now = options.now ?? (() => performance.now())
    const everyMs = Math.min(SWEEP_MAX_MS, Math.max(SWEEP_MIN_MS, options.idleMs / 8))
    this.#timer = setInterval(() => this.sweep(), everyMs).unref()
  }

  sweep(): void {
    const now = this.#now()
    const next = new Map<number, Watched>()
    for (const connection of this.#options.node.connections()) {
      // What opens and closes has deadlines of its own.
      if (connection.state !== 'ESTABLISHED') continue
      const bytes = connection.bytesSent + connection.bytesReceived
      const before = this.#watched.get(connection.id)
      const isBusy = connection.unackedSegments > 0 || before?.bytes !== bytes
      const watched = before === undefined || isBusy ? { bytes, since: now } : before
      if (now - watched.since >= this.#options.idleMs) this.#end(connection)
      else next.set(connection.id, watched)
    }
    this.#watched = next
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer)
  }

  #end(connection: ConnectionInfo): void {
    const { log, emit, close } = this.#options
    log.info('idle stream closed', {
      conn_id: connection.id,
      node_id: connection.remoteAddress.node,
      port: connection.localPort,
    })
    emit('conn.idle_timeout', connectionPlace(connection))
    close(connection.id)
  }
}
