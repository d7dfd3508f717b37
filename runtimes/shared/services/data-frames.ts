/** The frames of a connection, as ports 1001 and 1003 have them (spec/07 §6.1, §8.1). */
import { type DataFrame, DataFrameDecoder } from '../../../core/service/data-exchange.ts'
import type { PilotConnection } from '../api.ts'
import type { AsyncStream } from './async-stream.ts'

export interface DataFramesOptions {
  readonly connection: PilotConnection
  readonly stream: AsyncStream
  readonly setTimer: (work: () => void, ms: number) => () => void
  /** For each complete frame; then the connection is reset. What is done with a frame does not count. */
  readonly frameMs: number
}

/** One after another, until the peer ends. @throws {WireError} for a length nobody takes. */
export async function* dataFrames(options: DataFramesOptions): AsyncGenerator<DataFrame> {
  const { connection, stream, setTimer, frameMs } = options
  const decoder = new DataFrameDecoder()
  const arm = (): (() => void) => setTimer(() => connection.reset(), frameMs)
  let stopTimer = arm()
  try {
    for (let chunk = await stream.read(); chunk !== undefined; chunk = await stream.read()) {
      decoder.push(chunk)
      for (let frame = decoder.next(); frame !== undefined; frame = decoder.next()) {
        stopTimer()
        yield frame
        stopTimer = arm()
      }
    }
  } finally {
    stopTimer()
  }
}
