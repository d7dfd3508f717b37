import { createNode } from 'pilot-ts'

const [registry = '127.0.0.1:9000', beacon = '127.0.0.1:9001'] = process.argv.slice(2)
await using alice = await createNode({ registry, beacon, hostname: 'alice', isPublic: true })
await using bob = await createNode({ registry, beacon })

alice.listen(4000).onconnection = ({ readable, writable }) => readable.pipeTo(writable) // an echo
const { readable, writable } = await bob.dial('alice:4000')
await new Response('hello, alice').body?.pipeTo(writable)
console.log(await new Response(readable).text())
