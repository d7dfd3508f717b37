/** What the tab talks to: a node that gives back what it is sent. */
import { createNode } from 'pilot-ts/node'

const [registry = '127.0.0.1:9000', beacon = '127.0.0.1:9001'] = process.argv.slice(2)
const node = await createNode({ registry, beacon, hostname: 'echo', isPublic: true })
console.log(`echo is node ${node.nodeId}`)
node.listen(7).onconnection = (connection) => {
  connection.readable.pipeTo(connection.writable).catch(() => {}) // a tab that was closed
}
