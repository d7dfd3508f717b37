/** The kernel's TCP without Nagle, and TLS 1.3 over it when `isSecure`. */
import { connect, createServer, type Server, type Socket } from 'node:net'
import { createServer as createTlsServer, connect as tlsConnect } from 'node:tls'
import type { Channel, System } from '../channel.ts'

export function channelOf(socket: Socket): Channel {
  const channel: Channel = {
    ondata: () => {},
    write: (data) =>
      socket.write(data)
        ? undefined
        : new Promise<void>((resolve) => socket.once('drain', () => resolve())),
    close: () => socket.destroy(),
  }
  socket.setNoDelay(true)
  socket.on('data', (data: Buffer) => channel.ondata(data))
  socket.on('error', () => {})
  return channel
}

export function listening(server: Server): Promise<number> {
  return new Promise((resolve) =>
    server.listen(0, '127.0.0.1', 4096, () => resolve((server.address() as { port: number }).port)),
  )
}

const system: System = {
  serve({ options, cert, key }, onchannel) {
    const accept = (socket: Socket): void => onchannel(channelOf(socket))
    const server =
      options.isSecure === true
        ? createTlsServer({ cert, key, minVersion: 'TLSv1.3' }, accept)
        : createServer(accept)
    return listening(server)
  },
  async client({ options, ready, cert }) {
    const port = ready as number
    const plain = (): Promise<Socket> =>
      new Promise((resolve, reject) => {
        const socket = connect(port, '127.0.0.1', () => resolve(socket)).once('error', reject)
      })
    const secure = (): Promise<Socket> =>
      new Promise((resolve, reject) => {
        const socket = tlsConnect({ port, host: '127.0.0.1', ca: cert }, () => resolve(socket))
        socket.once('error', reject)
      })
    const open = options.isSecure === true ? secure : plain
    return { connect: async () => channelOf(await open()) }
  },
}
export default system
