/** A node whose identity is in Deno.Kv, twice: prints the two node ids. */
import { createNode, KvStorage } from '../../runtimes/deno/index.ts'

const [rendezvousUrl = '', path = ''] = process.argv.slice(2)
for (let i = 0; i < 2; i++) {
  using storage = await KvStorage.open(path)
  const node = await createNode({ transport: 'compat', rendezvousUrl, storage })
  console.log(node.nodeId)
  await node.close()
}
