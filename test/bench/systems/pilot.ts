/** Ours in-process: the raw path of `createNode`'s connections, from `dist/`. */
import type { PilotConnection } from '../../../runtimes/shared/api.ts'
import type { Channel, Client, Setup, System } from '../channel.ts'

const PORT = 1000
const TRUST_MS = 10_000

async function node(setup: Setup) {
  const path = `${setup.root}dist/runtimes/node/index.js`
  const { createNode } = (await import(path)) as typeof import('../../../runtimes/node/index.ts')
  return createNode({
    registry: setup.registry,
    beacon: setup.beacon,
    listen: '127.0.0.1:0',
    isPublic: true,
    autoApprove: true,
    ...setup.options,
  })
}

function channelOf(connection: PilotConnection, ondata?: Channel['ondata']): Channel {
  let wake: (() => void) | undefined
  const rest = async (data: Uint8Array): Promise<void> => {
    for (let left = data; left.length > 0; ) {
      await new Promise<void>((resolve) => {
        wake = resolve
      })
      left = left.subarray(connection.write(left))
    }
  }
  // What could not be written yet goes before what comes next.
  let queue: Promise<void> | undefined
  const channel: Channel = {
    ondata: ondata ?? (() => {}),
    write(data) {
      if (queue === undefined) {
        const taken = connection.write(data)
        if (taken === data.length) return undefined
        queue = rest(data.subarray(taken))
      } else queue = queue.then(() => rest(data))
      const mine = queue
      void mine.then(() => {
        if (queue === mine) queue = undefined
      })
      return mine
    },
    close: () => connection.close(),
  }
  connection.onwritable = () => wake?.()
  connection.onreadable = () => {
    for (let data = connection.read(); data !== undefined; data = connection.read())
      channel.ondata(data)
    if (connection.ended) connection.close()
  }
  if (ondata !== undefined) connection.onreadable() // the answer to what went along may be there
  return channel
}

const system: System = {
  async serve(setup, onchannel) {
    const server = await node(setup)
    server.listen(PORT).onconnection = (connection) => onchannel(channelOf(connection))
    return server.nodeId
  },
  async client(setup): Promise<Client> {
    const client = await node(setup)
    const address = { network: 0, node: setup.ready as number }
    return {
      connect: async () => channelOf(await client.dial({ address, port: PORT })),
      connectWith: async (data, ondata) =>
        channelOf(await client.dial({ address, port: PORT }, { data }), ondata),
      // Strangers may open ten streams a second.
      async befriend() {
        await client.trust.request(address.node)
        if (!(await client.trust.wait(address.node, TRUST_MS))) throw new Error('no trust')
      },
    }
  },
}
export default system
