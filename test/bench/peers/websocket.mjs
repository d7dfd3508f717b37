/** ws without compression: one message each way, `send`'s callback where its buffer is long. */
import { createServer as createPlain } from 'node:http'
import { createServer as createSecure } from 'node:https'
import { WebSocket, WebSocketServer } from 'ws'

const BUFFERED_MAX = 1 << 20

function channelOf(socket) {
  const channel = {
    ondata: () => {},
    write(data) {
      if (socket.bufferedAmount < BUFFERED_MAX) {
        socket.send(data)
        return undefined
      }
      return new Promise((resolve) => socket.send(data, () => resolve()))
    },
    close: () => socket.terminate(),
  }
  socket.binaryType = 'nodebuffer'
  socket.on('message', (data) => channel.ondata(data))
  socket.on('error', () => {})
  return channel
}

export default {
  serve({ options, cert, key }, onchannel) {
    const server = options.isSecure
      ? createSecure({ cert, key, minVersion: 'TLSv1.3' })
      : createPlain()
    const sockets = new WebSocketServer({
      server,
      perMessageDeflate: false,
      maxPayload: 64 << 20,
    })
    sockets.on('connection', (socket) => onchannel(channelOf(socket)))
    return new Promise((resolve) =>
      server.listen(0, '127.0.0.1', () => resolve(server.address().port)),
    )
  },
  async client({ options, ready, cert }) {
    const url = `${options.isSecure ? 'wss' : 'ws'}://127.0.0.1:${ready}`
    const settings = { perMessageDeflate: false, maxPayload: 64 << 20, ca: cert }
    return {
      connect: () =>
        new Promise((resolve, reject) => {
          const socket = new WebSocket(url, settings)
          socket.once('error', reject)
          socket.once('open', () => resolve(channelOf(socket)))
        }),
    }
  },
}
