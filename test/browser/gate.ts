/** A TCP proxy on loopback whose connections can go silent, as those of a machine that slept or changed its network. */
import { connect, createServer, type Socket } from 'node:net'

export interface Gate {
  readonly port: number
  /** What is connected now stays open and carries nothing any more; new connections work. */
  silence(): void
  close(): Promise<void>
}

export async function openGate(targetPort: number): Promise<Gate> {
  const pairs = new Set<readonly [Socket, Socket]>()
  const server = createServer((client) => {
    const target = connect(targetPort, '127.0.0.1')
    const pair = [client, target] as const
    pairs.add(pair)
    for (const [from, to] of [pair, [target, client] as const]) {
      from.on('error', () => to.destroy())
      from.on('close', () => {
        pairs.delete(pair)
        to.destroy()
      })
      from.pipe(to)
    }
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as { port: number }
  return {
    port,
    silence: () => {
      for (const pair of pairs)
        for (const socket of pair) {
          socket.unpipe()
          socket.removeAllListeners('close')
          socket.resume() // read and forgotten
        }
    },
    close: () =>
      new Promise((resolve) => {
        for (const pair of pairs) for (const socket of pair) socket.destroy()
        server.close(() => resolve())
      }),
  }
}
