/** hyperdht: a Noise stream over UDX, found through a DHT of three nodes on loopback. */
import DHT from 'hyperdht'
import createTestnet from 'hyperdht/testnet.js'

const HOST = '127.0.0.1'

function channelOf(socket) {
  const channel = {
    ondata: () => {},
    // It seals in the buffer that it is given: every write needs one of its own.
    write: (data) =>
      socket.write(Buffer.from(data))
        ? undefined
        : new Promise((resolve) => socket.once('drain', () => resolve())),
    close: () => socket.destroy(),
  }
  socket.on('data', (data) => channel.ondata(data))
  socket.on('error', () => {})
  return channel
}

const nodeOf = (bootstrap) => new DHT({ bootstrap, host: HOST })

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
