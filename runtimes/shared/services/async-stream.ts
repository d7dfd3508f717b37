/** Waiting on a raw connection, for services that do one thing after another. */
import { NetworkError } from '../../../core/errors.ts'
import type { PilotConnection } from '../api.ts'

export class AsyncStream {
  readonly connection: PilotConnection
  #isGone = false
  #wakeReader: (() => void) | undefined
  #wakeWriter: (() => void) | undefined

  constructor(connection: PilotConnection) {
    this.connection = connection
    connection.onreadable = () => this.#wakeReader?.()
    connection.onwritable = () => this.#wakeWriter?.()
    const gone = (): void => {
      this.#isGone = true
      this.#wakeReader?.()
      this.#wakeWriter?.()
    }
    connection.closed.then(gone, gone)
  }

  /** Next bytes; `undefined` at the end of the stream, or when it was lost. */
  async read(): Promise<Uint8Array | undefined> {
    for (;;) {
      const chunk = this.connection.read()
      if (chunk !== undefined) return chunk
      if (this.connection.ended || this.#isGone) return undefined
      await new Promise<void>((resolve) => {
        this.#wakeReader = resolve
      })
    }
  }

  /** Resolves when everything is in the send buffer. @throws {NetworkError} `ERR_CONNECTION_CLOSED`. */
  async write(data: Uint8Array): Promise<void> {
    for (let at = 0; at < data.length; ) {
      if (this.#isGone) throw new NetworkError('ERR_CONNECTION_CLOSED', 'connection closed')
      at += this.connection.write(data.subarray(at))
      if (at < data.length && !this.#isGone)
        await new Promise<void>((resolve) => {
          this.#wakeWriter = resolve
        })
    }
  }
}
