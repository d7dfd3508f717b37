/** The requesting side of data exchange, port 1001 (spec/07 §6): frames out, the frames that answer them in. */
import { PORT } from '../../../core/constants.ts'
import { NetworkError } from '../../../core/errors.ts'
import { type DataFrame, DataFrameDecoder } from '../../../core/service/data-exchange.ts'
import type { PilotNode } from '../../../runtimes/browser/index.ts'
import { AsyncStream } from '../../../runtimes/shared/services/async-stream.ts'

export class ExchangeClient {
  readonly #stream: AsyncStream
  readonly #decoder = new DataFrameDecoder()

  private constructor(stream: AsyncStream) {
    this.#stream = stream
  }

  /** @throws {PilotError} as `PilotNode.dial`. */
  static async dial(
    node: PilotNode,
    nodeId: number,
    signal?: AbortSignal,
  ): Promise<ExchangeClient> {
    const target = { address: { network: 0, node: nodeId }, port: PORT.dataExchange }
    const connection = await node.dial(target, signal === undefined ? {} : { signal })
    return new ExchangeClient(new AsyncStream(connection))
  }

  /** Resolves when the connection has taken all of it. @throws {NetworkError} `ERR_CONNECTION_CLOSED`. */
  write(frame: Uint8Array): Promise<void> {
    return this.#stream.write(frame)
  }

  /**
   * @throws {NetworkError} `ERR_CONNECTION_CLOSED` when the stream ends first; what ended it, when it was lost.
   * @throws {WireError} `ERR_WIRE_LENGTH` for a frame nobody takes.
   */
  async nextFrame(): Promise<DataFrame> {
    for (;;) {
      const frame = this.#decoder.next()
      if (frame !== undefined) return frame
      const chunk = await this.#stream.read()
      if (chunk === undefined) {
        if (!this.#stream.connection.ended) await this.#stream.connection.closed
        throw new NetworkError('ERR_CONNECTION_CLOSED', 'the peer closed without an answer')
      }
      this.#decoder.push(chunk)
    }
  }

  /** What was written is delivered first. */
  close(): void {
    this.#stream.connection.close()
  }

  reset(): void {
    this.#stream.connection.reset()
  }
}
