/** Streams of a gateway through the daemon's socket. */
import { DaemonClient } from '../ipc/client.ts'
import type { GatewayDial } from './gateway.ts'

const DIAL_MS = 30_000

/** A connection to the daemon for each stream: on one, dials would wait for each other (spec/06 §3). */
export function dialThrough(socketPath: string): GatewayDial {
  return async (to) => {
    const client = await DaemonClient.connect(socketPath)
    try {
      const connection = await client.dial(to, { signal: AbortSignal.timeout(DIAL_MS) })
      return {
        read: () => connection.read(),
        write: (data) => connection.write(data),
        close: async () => {
          connection.close()
          await client.close()
        },
      }
    } catch (error) {
      await client.close()
      throw error
    }
  }
}
