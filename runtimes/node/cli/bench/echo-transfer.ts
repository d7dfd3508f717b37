/** Bytes to an echo port and back, every one compared. */
import type { DaemonConnection } from '../../ipc/client-connection.ts'
import { CliError } from '../failure.ts'

const BLOCK_BYTES = 64 * 1024

export interface Transfer {
  readonly sentBytes: number
  readonly receivedBytes: number
  /** Until the last byte was handed over, and until the last was back; ms. */
  readonly sendMs: number
  readonly totalMs: number
  /** Bytes that came back in each whole second, the first ones first. */
  readonly perSecond: readonly number[]
}

export interface TransferPlan {
  /** Bytes, or ms: one of the two. */
  readonly totalBytes?: number | undefined
  readonly durationMs?: number | undefined
  /** Ends with what was measured so far, without waiting for what is on its way. */
  readonly interrupt?: AbortSignal
  readonly onprogress?: (receivedBytes: number, elapsedMs: number) => void
}

/** Time of one round trip of `bytes`, in ms. @throws {CliError} `connection_failed`. */
export async function roundTrip(
  connection: DaemonConnection,
  bytes: number,
  signal: AbortSignal,
): Promise<number> {
  const started = performance.now()
  const writing = write(connection, bytes)
  // A failure of the connection is seen by the reader too.
  writing.catch(() => {})
  for (let got = 0; got < bytes; ) {
    const piece = await readSome(connection, signal)
    check(piece, got, bytes)
    got += piece.length
  }
  const ms = performance.now() - started
  await writing
  return ms
}

async function write(connection: DaemonConnection, bytes: number): Promise<void> {
  for (let at = 0; at < bytes; at += BLOCK_BYTES)
    await connection.write(BLOCK.subarray(0, Math.min(BLOCK_BYTES, bytes - at)))
}

/** Writes and reads at once. @throws {CliError} `connection_failed`; what the connection throws. */
export async function transfer(
  connection: DaemonConnection,
  { totalBytes = Number.POSITIVE_INFINITY, durationMs, interrupt, onprogress }: TransferPlan,
  signal: AbortSignal,
): Promise<Transfer> {
  const started = performance.now()
  const until = started + (durationMs ?? Number.POSITIVE_INFINITY)
  const stop = interrupt === undefined ? signal : AbortSignal.any([signal, interrupt])
  let [sentBytes, receivedBytes, sendMs, isSent] = [0, 0, 0, false]
  let failure: unknown
  const send = async (): Promise<void> => {
    while (!stop.aborted && sentBytes < totalBytes && performance.now() < until) {
      const take = Math.min(BLOCK_BYTES, totalBytes - sentBytes)
      sentBytes += take
      await connection.write(take === BLOCK_BYTES ? BLOCK : BLOCK.subarray(0, take))
    }
    sendMs = performance.now() - started
    isSent = true
  }
  const sending = send().catch((error: unknown) => {
    failure = error
  })
  const perSecond: number[] = []
  try {
    while (failure === undefined && !(isSent && receivedBytes >= sentBytes)) {
      // Of a duration the last byte is known only once sending is over.
      if (receivedBytes >= sentBytes && !isSent) {
        await Promise.race([sending, immediate()])
        continue
      }
      const piece = await readSome(connection, stop)
      check(piece, receivedBytes, Number.POSITIVE_INFINITY)
      receivedBytes += piece.length
      const elapsedMs = performance.now() - started
      const second = Math.floor(elapsedMs / 1000)
      while (perSecond.length <= second) perSecond.push(0)
      perSecond[second]! += piece.length
      onprogress?.(receivedBytes, elapsedMs)
    }
    await sending
    if (failure !== undefined) throw failure
  } catch (error) {
    if (interrupt?.aborted !== true) throw error
    if (!isSent) sendMs = performance.now() - started
  }
  const totalMs = performance.now() - started
  return {
    sentBytes,
    receivedBytes,
    sendMs,
    totalMs,
    perSecond: wholeSeconds(perSecond, Math.min(totalMs, durationMs ?? totalMs)),
  }
}

/** Seconds in which nothing came count as well; one that was not over does not. */
function wholeSeconds(perSecond: readonly number[], ms: number): readonly number[] {
  return Array.from({ length: Math.floor(ms / 1000) }, (_, i) => perSecond[i] ?? 0)
}

async function readSome(connection: DaemonConnection, signal: AbortSignal): Promise<Uint8Array> {
  const piece = await connection.read({ signal })
  if (piece === undefined)
    throw new CliError('connection_failed', 'bench: the peer closed the connection')
  return piece
}

/** @throws {CliError} `connection_failed` at the first bytes that are not what was sent, or more than that. */
function check(piece: Uint8Array, offset: number, total: number): void {
  if (offset + piece.length > total)
    throw new CliError('connection_failed', 'bench: more bytes came back than were sent')
  for (let at = 0; at < piece.length; ) {
    const from = (offset + at) % BLOCK_BYTES
    const take = Math.min(piece.length - at, BLOCK_BYTES - from)
    if (Buffer.compare(piece.subarray(at, at + take), BLOCK.subarray(from, from + take)) !== 0)
      throw new CliError('connection_failed', `bench: bytes near ${offset + at} came back changed`)
    at += take
  }
}

function immediate(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}

const BLOCK: Uint8Array = Uint8Array.from(
  { length: BLOCK_BYTES },
  (_, i) => (i * 31 + (i >> 8)) & 255,
)
