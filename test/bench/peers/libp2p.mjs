/** js-libp2p: TCP with Noise and yamux, or QUIC; a stream of one protocol on a connection of its own. */
import { noise } from '@chainsafe/libp2p-noise'
import { quic } from '@chainsafe/libp2p-quic'
import { yamux } from '@chainsafe/libp2p-yamux'
import { tcp } from '@libp2p/tcp'
import { multiaddr } from '@multiformats/multiaddr'
import { createLibp2p } from 'libp2p'

const PROTOCOL = '/bench/1.0.0'

function channelOf(stream) {
  const channel = {
    ondata: () => {},
    write: (data) =>
      stream.send(data)
        ? undefined
        : new Promise((resolve) =>
            stream.addEventListener('drain', () => resolve(), { once: true }),
          ),
    close: () => stream.close().catch(() => {}),
  }
  stream.addEventListener('message', ({ data }) =>
    channel.ondata(data instanceof Uint8Array ? data : data.subarray()),
  )
  return channel
}

function nodeOf(isQuic, listen) {
  return createLibp2p({
    addresses: { listen },
    transports: [isQuic ? quic() : tcp()],
    ...(isQuic ? {} : { connectionEncrypters: [noise()], streamMuxers: [yamux()] }),
    connectionManager: {
      maxConnections: 10_000,
      inboundConnectionThreshold: 10_000,
      maxIncomingPendingConnections: 10_000,
    },
  })
}

export default {
  async serve({ options }, onchannel) {
    const listen = [options.isQuic ? '/ip4/127.0.0.1/udp/0/quic-v1' : '/ip4/127.0.0.1/tcp/0']
    const node = await nodeOf(options.isQuic, listen)
    await node.handle(PROTOCOL, (stream) => onchannel(channelOf(stream)), {
      maxInboundStreams: 10_000,
    })
    return node.getMultiaddrs()[0].toString()
  },
  async client({ options, ready }) {
    const node = await nodeOf(options.isQuic, [])
    const address = multiaddr(ready)
    return {
      async connect() {
        const connection = await node.dial(address, { force: true })
        const stream = await connection.newStream(PROTOCOL, { maxOutboundStreams: 10_000 })
        const channel = channelOf(stream)
        channel.close = () => void connection.close().catch(() => {})
        return channel
      },
    }
  },
}
