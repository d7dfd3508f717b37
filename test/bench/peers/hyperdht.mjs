/** hyperdht: a Noise stream over UDX, found through a DHT of three nodes on loopback. */
import DHT from 'hyperdht'
import createTestnet from 'hyperdht/testnet.js'

const HOST = '127.0.0.1'

function channelOf(socket) {
  const channel = {
    ondata: () => {},
    write: (data) =>
      socket.write(Buffer.from(data.buffer, data.byteOffset, data.length))
        ? undefined
        : new Promise((resolve) => socket.once('drain', () => resolve())),
    close: () => socket.end(),
  }
  socket.on('data', (data) => channel.ondata(data))
  socket.on('end', () => socket.end())
  socket.on('error', () => {})
  return channel
}

// Nothing is in the way on loopback: with hole punching some connections never begin to carry bytes.
const nodeOf = (bootstrap) => new DHT({ bootstrap, host: HOST, firewalled: false })

export default {
  async broker() {
    const { bootstrap } = await createTestnet(3, { host: HOST })
    return bootstrap
  },
  async serve({ broker }, onchannel) {
    const server = nodeOf(broker).createServer((socket) => onchannel(channelOf(socket)))
    await server.listen()
    return server.publicKey.toString('hex')
  },
  async client({ broker, ready }) {
    const node = nodeOf(broker)
    await node.fullyBootstrapped()
    const key = Buffer.from(ready, 'hex')
    return {
      connect: () =>
        new Promise((resolve, reject) => {
          const socket = node.connect(key)
          socket.once('error', reject)
          socket.once('open', () => resolve(channelOf(socket)))
        }),
    }
  },
}
