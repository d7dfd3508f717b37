/** A middle that sees what the relay sees: forwards WebSockets to a rendezvous, and keeps every message. */
import { type RawData, WebSocket, WebSocketServer } from 'ws'

export interface RecordingRelay {
  /** To be given to pages instead of the rendezvous' own. */
  readonly url: string
  /** Binary messages of the relay door, by direction. */
  readonly fromPages: readonly Uint8Array[]
  readonly toPages: readonly Uint8Array[]
  close(): Promise<void>
}

export async function recordRelay(rendezvousUrl: string): Promise<RecordingRelay> {
  const fromPages: Uint8Array[] = []
  const toPages: Uint8Array[] = []
  const server = new WebSocketServer({
    host: '127.0.0.1',
    port: 0,
    handleProtocols: (protocols) => [...protocols][0] ?? false,
  })
  server.on('connection', (inner, request) => {
    const path = request.url ?? '/'
    const outer = new WebSocket(rendezvousUrl + path, inner.protocol, { perMessageDeflate: false })
    const isRelay = path.startsWith('/v1/compat')
    const early: [RawData, boolean][] = []
    const pass = (to: WebSocket, frames: Uint8Array[]) => (data: RawData, isBinary: boolean) => {
      if (isRelay && isBinary) frames.push(new Uint8Array(data as Buffer))
      if (to.readyState === WebSocket.CONNECTING) early.push([data, isBinary])
      else to.send(data, { binary: isBinary })
    }
    inner.on('message', pass(outer, fromPages))
    outer.on('message', pass(inner, toPages))
    outer.on('open', () => {
      for (const [data, binary] of early.splice(0)) outer.send(data, { binary })
    })
    inner.on('close', () => outer.close())
    outer.on('close', () => inner.close())
    for (const socket of [inner, outer]) socket.on('error', () => socket.terminate())
  })
  await new Promise<void>((resolve) => server.on('listening', resolve))
  const { port } = server.address() as { port: number }
  return {
    url: `ws://127.0.0.1:${port}`,
    fromPages,
    toPages,
    close: () =>
      new Promise((resolve) => {
        for (const client of server.clients) client.terminate()
        server.close(() => resolve())
      }),
  }
}
