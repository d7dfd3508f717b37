/** `node:http` through the overlay: an agent whose connections are dialed by the hosts' names there. */
import { Agent, get, type IncomingMessage } from 'node:http'
import { Duplex } from 'node:stream'
import { text } from 'node:stream/consumers'
import { createNode, type PilotNode } from 'pilot-ts/node'

class PilotAgent extends Agent {
  readonly #node: PilotNode

  constructor(node: PilotNode) {
    super()
    this.#node = node
  }

  override createConnection(
    { host, port }: { host?: string | null; port?: number | string | null },
    done: (error: Error | null, stream: Duplex) => void,
  ): undefined {
    this.#node.dial(`${host}:${port}`).then(
      (connection) => done(null, Duplex.fromWeb(connection)),
      (error) => done(error, new Duplex()),
    )
  }
}

const [url = 'http://web/', registry = '127.0.0.1:9000', beacon = '127.0.0.1:9001'] =
  process.argv.slice(2)
await using node = await createNode({ registry, beacon })
const response = await new Promise<IncomingMessage>((resolve, reject) => {
  get(url, { agent: new PilotAgent(node) }, resolve).on('error', reject)
})
console.log(response.statusCode, await text(response))
