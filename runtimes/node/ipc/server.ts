/** The daemon's Unix socket: accepts drivers and routes between them and one node (spec/06). */
import { createServer, type Server, type Socket } from 'node:net'
import { ClientSession, type SessionHost } from './client-session.ts'
import type { ClientStream } from './client-stream.ts'
import type { RequestContext } from './requests.ts'
import { listenOnSocket } from './socket-file.ts'
import { Topics } from './topics.ts'

/** More are closed at once (spec/06 §9). */
const CLIENTS_MAX = 1024

/** A built-in service that gives way to a driver that binds its port. */
export interface LentPort {
  readonly port: number
  release(): void
  restore(): void
}

export interface IpcServerOptions extends Omit<RequestContext, 'counters'> {
  readonly socketPath: string
  readonly lentPorts?: readonly LentPort[]
  /** A client above its high-water mark is dropped after this long without progress. Default 10 000. */
  readonly stallMs?: number
}

export class IpcServer implements AsyncDisposable {
  readonly #options: IpcServerOptions
  readonly #server: Server
  readonly #sessions = new Set<ClientSession>()
  readonly #streams = new Map<number, { stream: ClientStream; session: ClientSession }>()
  readonly #host: SessionHost
  readonly #topics: Topics
  readonly #unsubscribe: () => void
  #acceptDrops = 0
  #isClosed = false

  private constructor(options: IpcServerOptions) {
    this.#options = options
    this.#topics = new Topics(options.node, (topic) => {
      for (const session of this.#sessions) session.notify(topic)
    })
    this.#host = this.#createHost(options)
    this.#server = createServer({ pauseOnConnect: true }, (socket) => this.#onClient(socket))
    const stop = options.node.onDatagram((datagram) => {
      for (const session of this.#sessions) session.pushDatagram(datagram)
    })
    this.#unsubscribe = () => {
      stop()
      this.#topics[Symbol.dispose]()
    }
  }

  /** @throws {StorageError} and {UsageError} of `listenOnSocket`. */
  static async listen(options: IpcServerOptions): Promise<IpcServer> {
    const server = new IpcServer(options)
    try {
      await listenOnSocket(server.#server, options.socketPath)
    } catch (error) {
      server.#unsubscribe()
      throw error
    }
    // After `listen` a server reports only failing accepts (no descriptors left): the next may work.
    server.#server.on('error', () => {})
    return server
  }

  get socketPath(): string {
    return this.#options.socketPath
  }

  get clients(): number {
    return this.#sessions.size
  }

  /** Ends a stream of the node with FIN, whoever owns it; a driver that does hears of it. */
  closeConnection(id: number): void {
    const owned = this.#streams.get(id)
    if (owned === undefined) this.#options.node.closeConnection(id)
    else {
      owned.session.endStream(owned.stream)
      owned.stream.close()
    }
  }

  /** Drivers see the end of the socket; the path is removed. */
  async close(): Promise<void> {
    if (this.#isClosed) return
    this.#isClosed = true
    this.#unsubscribe()
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()))
    for (const session of [...this.#sessions]) session.close()
    await closed
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  #onClient(socket: Socket): void {
    if (this.#isClosed || this.#sessions.size >= CLIENTS_MAX) {
      socket.on('error', () => {})
      socket.destroy()
      return
    }
    this.#sessions.add(new ClientSession(this.#host, socket))
  }

  #createHost({ socketPath: _, stallMs, lentPorts, ...context }: IpcServerOptions) {
    const lent = new Map((lentPorts ?? []).map((one) => [one.port, one]))
    const server = this
    return {
      ...context,
      topics: this.#topics,
      counters: {
        get acceptQueueDrops(): number {
          return server.#acceptDrops
        },
      },
      ...(stallMs !== undefined && { stallMs }),
      lendPort: (port) => lent.get(port)?.release(),
      returnPort: (port) => {
        if (!server.#isClosed) lent.get(port)?.restore()
      },
      findStream: (id) => server.#streams.get(id),
      closeConnection: (id) => server.closeConnection(id),
      adoptStream: (stream, session) => server.#streams.set(stream.id, { stream, session }),
      forgetStream: (stream) => server.#streams.delete(stream.id),
      countAcceptDrop: () => {
        server.#acceptDrops++
      },
      sessionClosed: (session) => server.#sessions.delete(session),
    } satisfies SessionHost
  }
}
