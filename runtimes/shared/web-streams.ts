/** A connection's raw calls as web streams with backpressure. They take its callbacks over. */
import { NetworkError, type PilotError } from '../../core/errors.ts'
import type { PilotConnection } from './api.ts'

/** What the streams need beside the public calls. */
export interface Ending {
  readonly isClosed: boolean
  /** Why, unless both sides closed it. */
  readonly error: PilotError | undefined
}

type Raw = Pick<
  PilotConnection,
  'read' | 'ended' | 'write' | 'close' | 'reset' | 'closed' | 'onreadable' | 'onwritable'
>

export function webReadable(connection: Raw, ending: Ending): ReadableStream<Uint8Array> {
  let wake: (() => void) | undefined
  connection.onreadable = () => {
    const woken = wake
    wake = undefined
    woken?.()
  }
  return new ReadableStream<Uint8Array>(
    {
      pull: async (controller) => {
        for (;;) {
          const data = connection.read()
          if (data !== undefined) return controller.enqueue(data)
          if (connection.ended) return controller.close()
          if (ending.isClosed)
            return ending.error === undefined ? controller.close() : controller.error(ending.error)
          await new Promise<void>((resolve) => {
            wake = resolve
          })
        }
      },
      cancel: () => connection.close(),
    },
    { highWaterMark: 0 },
  )
}

export function webWritable(connection: Raw, ending: Ending): WritableStream<Uint8Array> {
  let wake: (() => void) | undefined
  connection.onwritable = () => {
    const woken = wake
    wake = undefined
    woken?.()
  }
  return new WritableStream<Uint8Array>({
    write: async (chunk) => {
      for (let rest = chunk; rest.length > 0; ) {
        if (ending.isClosed) throw ending.error ?? closedError()
        rest = rest.subarray(connection.write(rest))
        if (rest.length === 0) return
        await new Promise<void>((resolve) => {
          wake = resolve
        })
      }
    },
    // Settles when the peer has acknowledged everything, or fails with what prevented that.
    close: async () => {
      connection.close()
      await connection.closed
    },
    abort: () => connection.reset(),
  })
}

function closedError(): PilotError {
  return new NetworkError('ERR_CONNECTION_CLOSED', 'the connection is closed')
}
