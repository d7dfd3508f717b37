/** A web server that nodes of the overlay reach, and nobody else: it opens no TCP port. */
import { createServer } from 'node:http'
import { Duplex } from 'node:stream'
import { createNode } from 'pilot-ts/node'

const [registry = '127.0.0.1:9000', beacon = '127.0.0.1:9001'] = process.argv.slice(2)
const http = createServer((request, response) => {
  response.setHeader('content-type', 'application/json')
  response.end(JSON.stringify({ path: request.url, agent: 'web' }))
})

// Without `isPublic` only trusted nodes would get in.
const node = await createNode({ registry, beacon, hostname: 'web', isPublic: true })
console.log(`http://web/ is node ${node.nodeId}`)
for await (const connection of node.listen(80)) http.emit('connection', Duplex.fromWeb(connection))
