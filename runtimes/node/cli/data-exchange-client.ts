/** The requesting side of data exchange (spec/07 §6) on a connection through the daemon. */
import { fromUtf8 } from '../../../core/bytes.ts'
import { NetworkError } from '../../../core/errors.ts'
import { type DataFrame, DataFrameDecoder } from '../../../core/service/data-exchange.ts'
import type { DaemonConnection } from '../ipc/client-connection.ts'

export class DataExchangeClient {
  readonly #connection: DaemonConnection
  readonly #decoder = new DataFrameDecoder()

  constructor(connection: DaemonConnection) {
    this.#connection = connection
  }

  write(bytes: Uint8Array): Promise<void> {
    return this.#connection.write(bytes)
  }

  /**
   * The next frame of the peer.
   *
   * @throws {NetworkError} `ERR_CONNECTION_CLOSED` when the stream ends first, `ERR_ABORTED`.
   * @throws {WireError} `ERR_WIRE_LENGTH` for a frame nobody takes.
   */
  async nextFrame(signal: AbortSignal): Promise<DataFrame> {
    for (;;) {
      const frame = this.#decoder.next()
      if (frame !== undefined) return frame
      const chunk = await this.#connection.read({ signal })
      if (chunk === undefined)
        throw new NetworkError(
          'ERR_CONNECTION_CLOSED',
          'the peer closed without an acknowledgement',
        )
      this.#decoder.push(chunk)
    }
  }

  /** Writes one frame and returns the text that answers it. */
  async exchange(frame: Uint8Array, signal: AbortSignal): Promise<string> {
    // Together: a peer that refuses a large frame answers, or closes, before it has all of it.
    const written = this.#connection.write(frame)
    written.catch(() => {})
    const answer = await this.nextFrame(signal)
    await written
    return fromUtf8(answer.payload) ?? ''
  }
}
