/**
 * The WebSocket doors as HTTP routes (spec/09): who may upgrade. What happens behind a door is the door's.
 * The runtime's way to upgrade is passed in.
 */
import type { Context, Hono } from 'hono'
import type { UpgradeWebSocket } from 'hono/ws'
import type { Endpoint } from '../core/machine.ts'

export type Admission = 'admitted' | 'rate-limited' | 'full'

export interface SocketDoor<Raw> {
  readonly path: string
  /** WebSocket subprotocol: a client that does not offer it is refused. */
  readonly protocol: string
  /** Asked once per attempt to upgrade. */
  admit(client: Endpoint): Admission
  /** The socket is open. */
  open(socket: Raw, client: Endpoint, context: Context): void
}

export interface SocketRoutesOptions<Raw> {
  readonly doors: readonly SocketDoor<Raw>[]
  // biome-ignore lint/suspicious/noExplicitAny: each runtime has options of its own
  readonly upgradeWebSocket: UpgradeWebSocket<Raw, any>
  /** `undefined` when the connection is already gone. */
  readonly clientOf: (context: Context) => Endpoint | undefined
  /**
   * Origins that may connect, e.g. `https://example.org`; a request without an `Origin` passes. `undefined`: any,
   * because authentication is by signature and no cookie is ever read.
   */
  readonly origins?: readonly string[] | undefined
  readonly onerror: (error: unknown) => void
}

export function addSocketRoutes<Raw>(app: Hono, options: SocketRoutesOptions<Raw>): void {
  const { clientOf, upgradeWebSocket, onerror } = options
  const origins = options.origins?.map((origin) => origin.toLowerCase())
  for (const door of options.doors) {
    const upgrade = upgradeWebSocket(
      (context) => {
        const client = clientOf(context)
        return {
          onOpen: (_event, socket) => {
            if (client !== undefined && socket.raw !== undefined)
              door.open(socket.raw, client, context)
            else socket.close()
          },
        }
      },
      { onError: onerror },
    )
    app.all(door.path, async (context, next) => {
      if (context.req.header('upgrade')?.toLowerCase() !== 'websocket') {
        // What clients ask to learn whether a beacon is here, pages among them.
        context.header('Upgrade', 'websocket')
        context.header('Access-Control-Allow-Origin', '*')
        return context.text('this is a WebSocket endpoint', 426)
      }
      const client = clientOf(context)
      if (client === undefined) return context.text('', 400)
      const admission = door.admit(client)
      if (admission === 'rate-limited') return context.text('', 429)
      const origin = context.req.header('origin')?.toLowerCase()
      if (origin !== undefined && origins !== undefined && !origins.includes(origin))
        return context.text('', 403)
      const offered = context.req.header('sec-websocket-protocol')?.split(',') ?? []
      if (!offered.some((one) => one.trim() === door.protocol)) return context.text('', 400)
      if (admission === 'full') return context.text('', 503)
      return upgrade(context, next)
    })
  }
}
