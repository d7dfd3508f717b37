/** One answer of a peer that frames nothing: what comes until it falls silent (spec/08 §7). */
import type { DaemonConnection } from '../ipc/client-connection.ts'

const RESPONSE_BYTES_MAX = 65535
const SILENCE_MS = 50

/**
 * Reads until 65535 bytes, the end of the stream, or 50 ms without more after the first bytes. Empty
 * at an end of stream without data.
 *
 * @throws {NetworkError} `ERR_ABORTED` when `signal` fires before the first byte.
 */
export async function readResponse(
  connection: DaemonConnection,
  signal: AbortSignal,
): Promise<Uint8Array> {
  const pieces: Uint8Array[] = []
  let length = 0
  let next = await connection.read({ signal })
  while (next !== undefined) {
    pieces.push(next)
    length += next.length
    if (length >= RESPONSE_BYTES_MAX) break
    next = await connection.read({ signal: AbortSignal.timeout(SILENCE_MS) }).catch(() => undefined)
  }
  return Buffer.concat(pieces).subarray(0, RESPONSE_BYTES_MAX)
}
