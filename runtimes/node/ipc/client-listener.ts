/** Inbound connections of a port bound through the daemon. */
import { aborted, type DaemonConnection } from './client-connection.ts'

/** Inbound connections of one bound port. At most 1024 wait; more are closed. */
export class DaemonListener implements AsyncIterable<DaemonConnection>, AsyncDisposable {
  readonly port: number
  readonly #release: () => void
  readonly #waiting: DaemonConnection[] = []
  #wake: (() => void) | undefined
  #isEnded = false

  constructor(port: number, release: () => void) {
    this.port = port
    this.#release = release
  }

  /** Next connection; `undefined` after `close` or when the daemon went away. @throws {NetworkError} `ERR_ABORTED`. */
  async accept(options?: { readonly signal?: AbortSignal }): Promise<DaemonConnection | undefined> {
    const signal = options?.signal
    while (this.#waiting.length === 0) {
      if (this.#isEnded) return undefined
      if (signal?.aborted) throw aborted(signal)
      await new Promise<void>((resolve) => {
        this.#wake = resolve
        signal?.addEventListener('abort', () => resolve(), { once: true })
      })
    }
    return this.#waiting.shift()
  }

  async *[Symbol.asyncIterator](): AsyncIterator<DaemonConnection> {
    for (let next = await this.accept(); next !== undefined; next = await this.accept()) yield next
  }

  close(): void {
    if (this.#isEnded) return
    this.end()
    for (const connection of this.#waiting.splice(0)) connection.close()
    this.#release()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.close()
  }

  /** From the driver. */
  push(connection: DaemonConnection): void {
    if (this.#waiting.length >= 1024) connection.close()
    else this.#waiting.push(connection)
    this.#wake?.()
  }

  /** From the driver: no more connections. */
  end(): void {
    this.#isEnded = true
    this.#wake?.()
  }
}
