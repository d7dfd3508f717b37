/**
 * A friendly answer on port 1000 (spec/07 §5), so that `connect` reaches somebody: what a peer writes is
 * handed on as one text message, and it hears `ACK TEXT <n> bytes`. Bytes have no framing there: a message
 * ends at 50 ms of silence, at the end of the stream, or at its largest size.
 */
import type { PilotConnection } from '../api.ts'

const MESSAGE_BYTES_MAX = 65_535
const SILENCE_MS = 50
/** A peer that says nothing is let go. */
const IDLE_MS = 60_000

export interface StdioOptions {
  /** Stores a message; what it throws is told to the peer. */
  readonly deliver: (message: Uint8Array) => Promise<void>
  readonly setTimer: (work: () => void, ms: number) => () => void
}

export function serveStdio(connection: PilotConnection, options: StdioOptions): void {
  let pieces: Uint8Array[] = []
  let length = 0
  let isOver = false
  /** Answers leave in the order of the messages. */
  let answered: Promise<void> = Promise.resolve()
  let stopTimer = options.setTimer(() => connection.close(), IDLE_MS)

  const flush = (): void => {
    stopTimer()
    stopTimer = options.setTimer(() => connection.close(), IDLE_MS)
    if (length === 0) return
    const message = new Uint8Array(length)
    let at = 0
    for (const piece of pieces) {
      message.set(piece, at)
      at += piece.length
    }
    pieces = []
    length = 0
    answered = answered.then(async () => {
      let answer = `ACK TEXT ${message.length} bytes`
      try {
        await options.deliver(message)
      } catch (error) {
        answer = `ERR TEXT save failed: ${error instanceof Error ? error.message : String(error)}`
      }
      if (!isOver) connection.write(new TextEncoder().encode(`${answer}\n`))
    })
  }

  const pump = (): void => {
    for (let piece = connection.read(); piece !== undefined; piece = connection.read()) {
      for (let at = 0; at < piece.length; ) {
        const part = piece.subarray(at, at + MESSAGE_BYTES_MAX - length)
        pieces.push(part)
        length += part.length
        at += part.length
        if (length === MESSAGE_BYTES_MAX) flush()
      }
    }
    stopTimer()
    if (!connection.ended) {
      stopTimer =
        length > 0
          ? options.setTimer(flush, SILENCE_MS)
          : options.setTimer(() => connection.close(), IDLE_MS)
      return
    }
    flush()
    void answered.then(() => connection.close())
  }

  const stop = (): void => {
    isOver = true
    stopTimer()
  }
  connection.closed.then(stop, stop)
  connection.onreadable = pump
  pump()
}
