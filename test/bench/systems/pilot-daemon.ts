/** Ours through two daemons and their IPC sockets, by the driver's client. */
import { DaemonClient } from '../../../runtimes/node/ipc/client.ts'
import type { Channel, Client, System } from '../channel.ts'

const PORT = 1000
const TRUST_MS = 10_000

interface Connection extends AsyncIterable<Uint8Array> {
  write(data: Uint8Array): Promise<void>
  close(): void
}

function channelOf(connection: Connection): Channel {
  const channel: Channel = {
    ondata: () => {},
    write: (data) => connection.write(data),
    close: () => connection.close(),
  }
  void (async () => {
    for await (const data of connection) channel.ondata(data)
    connection.close()
  })()
  return channel
}

const system: System = {
  async serve(setup, onchannel) {
    const client = await DaemonClient.connect((setup.options.sockets as string[])[1]!)
    const listener = await client.listen(PORT)
    void (async () => {
      for await (const connection of listener) onchannel(channelOf(connection))
    })()
    const { node_id } = await client.info()
    return node_id
  },
  async client(setup): Promise<Client> {
    const client = await DaemonClient.connect((setup.options.sockets as string[])[0]!)
    const address = { network: 0, node: setup.ready as number }
    return {
      connect: async () => channelOf(await client.dial({ address, port: PORT })),
      async befriend() {
        const nodeId = address.node
        await client.requestJson({ type: 'trust-request', nodeId, justification: 'bench' })
        await client.requestJson({ type: 'trust-wait', nodeId, timeoutMs: TRUST_MS })
      },
    }
  },
}
export default system
