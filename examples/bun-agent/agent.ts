/**
 * An agent on Bun: waits for questions, or asks another agent one. With a rendezvous (`npx pilot-rendezvous`):
 *
 *     bun run examples/bun-agent/agent.ts 127.0.0.1:9000 127.0.0.1:9001
 *     bun run examples/bun-agent/agent.ts 127.0.0.1:9000 127.0.0.1:9001 <address it printed>
 */
import { createNode } from 'pilot-ts/bun'

const [registry = '127.0.0.1:9000', beacon = '127.0.0.1:9001', peer] = Bun.argv.slice(2)
await using node = await createNode({ registry, beacon, isPublic: true })

if (peer === undefined) {
  console.log(`${node.nodeId}`)
  for await (const connection of node.listen(4000)) {
    const question = await new Response(connection.readable).text()
    await new Response(`bun heard: ${question}`).body?.pipeTo(connection.writable)
  }
} else {
  const connection = await node.dial(`${peer}:4000`)
  const asking = new Response('hello from bun').body?.pipeTo(connection.writable)
  console.log(await new Response(connection.readable).text())
  await asking
}
