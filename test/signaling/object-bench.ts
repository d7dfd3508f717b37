/** A Durable Object of the rendezvous without workerd: its storage on SQLite, its sockets by hand, and time at will. */
import { DatabaseSync, type SQLInputValue } from 'node:sqlite'
import type {
  HibernatingSocket,
  ObjectState,
  SqlBinding,
} from '../../signaling/workerd/platform.ts'
import {
  RendezvousObject,
  type WorkerRendezvousOptions,
} from '../../signaling/workerd/rendezvous-object.ts'

export class BenchSocket implements HibernatingSocket {
  readyState = 1
  readonly sent: (string | Uint8Array)[] = []
  closed: string | undefined
  /** As the runtime keeps it: a copy. */
  #attachment: unknown

  send(data: string | Uint8Array): void {
    if (this.readyState !== 1) throw new TypeError('cannot send after close')
    this.sent.push(typeof data === 'string' ? data : data.slice())
  }

  close(code = 1005, reason = ''): void {
    if (this.readyState !== 1) return
    this.readyState = 2
    this.closed = `${code} ${reason}`
  }

  serializeAttachment(value: unknown): void {
    this.#attachment = structuredClone(value)
  }

  deserializeAttachment(): unknown {
    return structuredClone(this.#attachment ?? null)
  }
}

/** Node's knows no 101. */
class UpgradingResponse extends Response {
  constructor(body?: ConstructorParameters<typeof Response>[0], init: ResponseInit = {}) {
    super(body, init.status === 101 ? { ...init, status: 200 } : init)
  }
}

export class ObjectBench {
  /** Unix milliseconds. */
  at = 1_800_000_000_000
  alarmAt: number | undefined
  readonly database: DatabaseSync = new DatabaseSync(':memory:')
  readonly sockets: BenchSocket[] = []
  readonly #options: WorkerRendezvousOptions
  object: RendezvousObject

  constructor(options: WorkerRendezvousOptions = {}) {
    this.#options = { logLevel: 'error', ...options }
    const globals = globalThis as Record<string, unknown>
    globals.WebSocketPair ??= class {
      readonly 0: object = {}
      readonly 1: BenchSocket = new BenchSocket()
    }
    globals.WebSocketRequestResponsePair ??= class {}
    globals.Response = UpgradingResponse
    this.object = this.#wake()
  }

  /** Memory goes; storage and sockets stay. */
  sleep(): void {
    this.object = this.#wake()
  }

  /** The process ends: sockets go too. */
  restart(): void {
    for (const socket of this.sockets.splice(0)) socket.readyState = 3
    this.object = this.#wake()
  }

  /** Lets time pass, with every alarm on the way; `sleeps`: each finds the memory gone. */
  pass(ms: number, { sleeps = false } = {}): void {
    const until = this.at + ms
    while (this.alarmAt !== undefined && this.alarmAt <= until) {
      this.at = Math.max(this.at, this.alarmAt)
      this.alarmAt = undefined
      if (sleeps) this.sleep()
      this.object.alarm()
    }
    this.at = until
  }

  /** A client that upgrades; the response when it is refused. */
  async open(path: string, protocol: string): Promise<BenchSocket> {
    const count = this.sockets.length
    const request = new Request(`http://rendezvous${path}`, {
      headers: { 'cf-connecting-ip': '192.0.2.1' },
    })
    // `Request` of Node does not let these be set.
    Object.defineProperty(request, 'headers', {
      value: new Headers([
        ['upgrade', 'websocket'],
        ['sec-websocket-protocol', protocol],
        ['cf-connecting-ip', '192.0.2.1'],
      ]),
    })
    await this.object.fetch(request)
    const socket = this.sockets[count]
    if (socket === undefined) throw new Error('the upgrade was refused')
    return socket
  }

  send(socket: BenchSocket, message: string | Uint8Array): void {
    const data = typeof message === 'string' ? message : message.slice().buffer
    this.object.webSocketMessage(socket, data as string | ArrayBuffer)
  }

  rows(sql: string): readonly Record<string, unknown>[] {
    return this.database.prepare(sql).all()
  }

  #wake(): RendezvousObject {
    const { database } = this
    const exec = (
      sql: string,
      ...values: SqlBinding[]
    ): { toArray(): Record<string, unknown>[] } => {
      if (values.length === 0 && !/^\s*SELECT/i.test(sql)) {
        database.exec(sql)
        return { toArray: () => [] }
      }
      const rows = database.prepare(sql).all(...(values as SQLInputValue[]))
      return { toArray: () => rows }
    }
    const state: ObjectState = {
      storage: {
        sql: { exec },
        transactionSync: (work) => {
          database.exec('BEGIN')
          try {
            const result = work()
            database.exec('COMMIT')
            return result
          } catch (error) {
            database.exec('ROLLBACK')
            throw error
          }
        },
        setAlarm: async (at) => {
          this.alarmAt = at
        },
      },
      acceptWebSocket: (socket) => this.sockets.push(socket as BenchSocket),
      getWebSockets: () => this.sockets,
      setWebSocketAutoResponse: () => {},
    }
    return new RendezvousObject(state, this.#options, () => ({
      at: this.at,
      unixSeconds: Math.floor(this.at / 1000),
    }))
  }
}
