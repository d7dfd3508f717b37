/** HTTP/2 over TLS 1.3: round trips are POST requests, one way is the body of one request; windows of 16 MiB. */
import {
  type ClientHttp2Session,
  connect,
  createSecureServer,
  type Http2Stream,
  type ServerHttp2Session,
} from 'node:http2'
import type { Server } from 'node:net'
import type { Channel, System } from '../channel.ts'
import { listening } from './tcp.ts'

const WINDOW_BYTES = 1 << 24
const settings = { initialWindowSize: WINDOW_BYTES, maxConcurrentStreams: 1000 }

function channelOf(stream: Http2Stream & NodeJS.WritableStream): Channel {
  const channel: Channel = {
    ondata: () => {},
    write: (data) =>
      stream.write(data)
        ? undefined
        : new Promise<void>((resolve) => stream.once('drain', () => resolve())),
    close: () => stream.end(),
  }
  stream.on('data', (data: Buffer) => channel.ondata(data))
  stream.on('end', () => stream.end())
  stream.on('error', () => {})
  return channel
}

function clientChannel(session: ClientHttp2Session): Channel {
  const post = { ':method': 'POST', ':path': '/' }
  let stream: Channel | undefined
  const channel: Channel = {
    ondata: () => {},
    request: (message) =>
      new Promise((resolve, reject) => {
        const one = session.request(post)
        one.on('data', () => {})
        one.on('end', () => resolve())
        one.on('error', reject)
        one.end(message)
      }),
    write(data) {
      if (stream === undefined) {
        stream = channelOf(session.request(post))
        stream.ondata = (part) => channel.ondata(part)
      }
      return stream.write(data)
    },
    close: () => session.destroy(),
  }
  return channel
}

const system: System = {
  serve({ cert, key }, onchannel) {
    const server = createSecureServer({ cert, key, minVersion: 'TLSv1.3', settings })
    server.on('session', (session: ServerHttp2Session) => session.setLocalWindowSize(WINDOW_BYTES))
    server.on('stream', (stream) => {
      stream.respond({ ':status': 200 })
      onchannel(channelOf(stream))
    })
    server.on('sessionError', () => {})
    return listening(server as unknown as Server)
  },
  async client({ ready, cert }) {
    return {
      connect: () =>
        new Promise((resolve, reject) => {
          const session = connect(`https://127.0.0.1:${ready}`, { ca: cert, settings })
          session.once('error', reject)
          session.once('connect', () => {
            session.setLocalWindowSize(WINDOW_BYTES)
            resolve(clientChannel(session))
          })
        }),
    }
  },
}
export default system
