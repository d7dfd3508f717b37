/** Inbound connections of one port, as callback or as async iterator. */
import type { PilotError } from '../../core/index.ts'
import type { PilotConnection, PilotListener } from './api.ts'

/** Connections that wait to be taken; the next is refused (spec/06 §9). */
const BACKLOG_MAX = 64

export class Listener implements PilotListener {
  readonly port: number
  #onconnection: ((connection: PilotConnection) => void) | undefined
  readonly #waiting: PilotConnection[] = []
  readonly #takers: PromiseWithResolvers<IteratorResult<PilotConnection>>[] = []
  readonly #release: () => void
  #isClosed = false
  #failure: PilotError | undefined

  constructor(port: number, release: () => void) {
    this.port = port
    this.#release = release
  }

  get onconnection(): ((connection: PilotConnection) => void) | undefined {
    return this.#onconnection
  }

  set onconnection(handler: ((connection: PilotConnection) => void) | undefined) {
    this.#onconnection = handler
    if (handler !== undefined) for (const connection of this.#waiting.splice(0)) handler(connection)
  }

  /** Called by the node. */
  offer(connection: PilotConnection): void {
    if (this.#isClosed) connection.reset()
    else if (this.#onconnection !== undefined) this.#onconnection(connection)
    else if (this.#takers.length > 0)
      this.#takers.shift()!.resolve({ done: false, value: connection })
    else if (this.#waiting.length < BACKLOG_MAX) this.#waiting.push(connection)
    else connection.reset()
  }

  close(): void {
    if (this.#isClosed) return
    this.#isClosed = true
    this.#release()
    for (const connection of this.#waiting.splice(0)) connection.reset()
    for (const taker of this.#takers.splice(0)) taker.resolve({ done: true, value: undefined })
  }

  /** The port could not be bound after all: iterators throw `error`. */
  fail(error: PilotError): void {
    if (this.#isClosed) return
    this.#failure = error
    for (const taker of this.#takers.splice(0)) taker.reject(error)
    this.close()
  }

  [Symbol.asyncIterator](): AsyncIterator<PilotConnection> {
    return {
      next: () => {
        const connection = this.#waiting.shift()
        if (connection !== undefined) return Promise.resolve({ done: false, value: connection })
        if (this.#failure !== undefined) return Promise.reject(this.#failure)
        if (this.#isClosed) return Promise.resolve({ done: true, value: undefined })
        const taker = Promise.withResolvers<IteratorResult<PilotConnection>>()
        this.#takers.push(taker)
        return taker.promise
      },
      return: () => {
        this.close()
        return Promise.resolve({ done: true, value: undefined })
      },
    }
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.close()
    return Promise.resolve()
  }
}
