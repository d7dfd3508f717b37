/** @grpc/grpc-js over TLS: round trips are unary calls, one way is one call that streams both ways. */
import { Client, credentials, Server, ServerCredentials } from '@grpc/grpc-js'

const same = (value) => value
const PATH = { unary: '/bench.Bench/Echo', stream: '/bench.Bench/Stream' }
const method = (path, isStream) => ({
  path,
  requestStream: isStream,
  responseStream: isStream,
  requestSerialize: same,
  requestDeserialize: same,
  responseSerialize: same,
  responseDeserialize: same,
})
const OPTIONS = {
  'grpc.max_receive_message_length': -1,
  'grpc.max_send_message_length': -1,
  // Every client has a connection of its own, as a new one is what is measured.
  'grpc.use_local_subchannel_pool': 1,
}

function channelOf(call) {
  const channel = {
    ondata: () => {},
    write: (data) =>
      call.write(Buffer.from(data.buffer, data.byteOffset, data.length))
        ? undefined
        : new Promise((resolve) => call.once('drain', () => resolve())),
    close: () => call.end(),
  }
  call.on('data', (data) => channel.ondata(data))
  call.on('end', () => call.end())
  call.on('error', () => {})
  return channel
}

function clientChannel(client) {
  let stream
  const channel = {
    ondata: () => {},
    request: (message) =>
      new Promise((resolve, reject) => {
        const data = Buffer.from(message.buffer, message.byteOffset, message.length)
        client.makeUnaryRequest(PATH.unary, same, same, data, (error) =>
          error ? reject(error) : resolve(),
        )
      }),
    write(data) {
      if (stream === undefined) {
        stream = channelOf(client.makeBidiStreamRequest(PATH.stream, same, same))
        stream.ondata = (part) => channel.ondata(part)
      }
      return stream.write(data)
    },
    close: () => client.close(),
  }
  return channel
}

export default {
  serve({ cert, key }, onchannel) {
    const server = new Server(OPTIONS)
    server.addService(
      { Echo: method(PATH.unary, false), Stream: method(PATH.stream, true) },
      {
        Echo: (call, callback) => callback(null, call.request),
        Stream: (call) => onchannel(channelOf(call)),
      },
    )
    const pair = { cert_chain: Buffer.from(cert), private_key: Buffer.from(key) }
    return new Promise((resolve, reject) =>
      server.bindAsync('127.0.0.1:0', ServerCredentials.createSsl(null, [pair]), (error, port) =>
        error ? reject(error) : resolve(port),
      ),
    )
  },
  async client({ ready, cert }) {
    const secure = credentials.createSsl(Buffer.from(cert))
    return {
      connect: () =>
        new Promise((resolve, reject) => {
          const client = new Client(`127.0.0.1:${ready}`, secure, OPTIONS)
          client.waitForReady(Date.now() + 10_000, (error) =>
            error ? reject(error) : resolve(clientChannel(client)),
          )
        }),
    }
  },
}
