/** Two nodes in one program: one listens, one dials by hostname. Run: `node examples/hello.ts`. */
import { createNode } from 'pilot-ts/node'
import { createRendezvous } from 'pilot-ts/signaling'

await using rendezvous = await createRendezvous({
  registryAddress: '127.0.0.1:0',
  beaconAddress: '127.0.0.1:0',
})
const place = {
  registry: `127.0.0.1:${rendezvous.registryEndpoint.port}`,
  beacon: `127.0.0.1:${rendezvous.beaconEndpoint.port}`,
  listen: '127.0.0.1:0',
}

await using alice = await createNode({ ...place, hostname: 'alice', isPublic: true })
await using bob = await createNode(place)

const listener = alice.listen(4000)
const answering = (async () => {
  for await (const connection of listener) {
    await connection.readable.pipeTo(connection.writable) // an echo
    break
  }
})()

const connection = await bob.dial('alice:4000')
const writer = connection.writable.getWriter()
await writer.write(new TextEncoder().encode('hello, alice'))
const closing = writer.close()
for await (const chunk of connection.readable) console.log(new TextDecoder().decode(chunk))
await Promise.all([closing, answering])
