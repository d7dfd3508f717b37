/** Echo, port 7 (spec/07 §1): every byte comes back; the peer closes first. */
import type { PilotConnection } from '../api.ts'

/** Reads on only when everything before was taken, so a peer that does not read holds up itself alone. */
export function serveEcho(connection: PilotConnection): void {
  let waiting: Uint8Array | undefined
  const pump = (): void => {
    for (;;) {
      const chunk = waiting ?? connection.read()
      waiting = undefined
      if (chunk === undefined) break
      const taken = connection.write(chunk)
      if (taken < chunk.length) {
        waiting = chunk.subarray(taken)
        return
      }
    }
    if (connection.ended) connection.close()
  }
  connection.onreadable = pump
  connection.onwritable = pump
  pump()
}
