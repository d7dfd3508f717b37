/** `examples/edge-agent` in workerd: its object is asked by a node in Node, and by a node of one request. */
import { join } from 'node:path'
import { createNode } from '../../runtimes/node/index.ts'
import { startWorkerd } from '../runtimes/edge/workerd.ts'
import { equal } from './tools.ts'

export async function edgeExampleScenario(rendezvousUrl: string): Promise<void> {
  const workerd = await startWorkerd({
    entry: join(import.meta.dirname, '../../examples/edge-agent/worker.ts'),
    objects: { AGENT: 'Agent' },
    bindings: { PILOT_RENDEZVOUS: rendezvousUrl },
  })
  try {
    const number = await text(await fetch(workerd.url))
    equal(await text(await fetch(workerd.url)), number, 'number of the same agent')
    const asked = await fetch(`${workerd.url}/ask/${number}`, { method: 'POST', body: 'who?' })
    equal(await text(asked), 'the edge heard: who?', 'answer to a request')
    await using node = await createNode({ transport: 'compat', rendezvousUrl })
    const connection = await node.dial(`${number}:4000`)
    const asking = new Response('hello').body?.pipeTo(connection.writable)
    equal(await new Response(connection.readable).text(), 'the edge heard: hello', 'answer to Node')
    await asking
  } finally {
    await workerd.close()
  }
}

async function text(response: Response): Promise<string> {
  const body = await response.text()
  if (!response.ok) throw new Error(`workerd answered ${response.status}: ${body}`)
  return body
}
