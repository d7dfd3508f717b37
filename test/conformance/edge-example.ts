/** The examples at the edge, and nodes of one worker that meet in it, in workerd. */
import { join } from 'node:path'
import { createNode } from '../../runtimes/node/index.ts'
import { startWorkerd } from '../runtimes/edge/workerd.ts'
import { equal } from './tools.ts'

const example = (name: string): string =>
  join(import.meta.dirname, `../../examples/${name}/worker.ts`)

/** `examples/edge-agent`: its object is asked by a node in Node, and by a node of one request. */
export async function edgeAgentScenario(rendezvousUrl: string): Promise<void> {
  const workerd = await startWorkerd({
    entry: example('edge-agent'),
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

/** `examples/edge-rendezvous`, and the agent in a worker of its own. */
export async function edgeRendezvousScenario(): Promise<void> {
  const rendezvous = await startWorkerd({
    entry: example('edge-rendezvous'),
    objects: { RENDEZVOUS: 'PilotRendezvous' },
    onlog: () => {},
  })
  try {
    await edgeAgentScenario(rendezvous.url)
  } finally {
    await rendezvous.close()
  }
}

/** Without the network: `service`. */
export async function serviceScenario(): Promise<void> {
  const workerd = await startWorkerd({
    entry: join(import.meta.dirname, 'service-worker.ts'),
    objects: { RENDEZVOUS: 'PilotRendezvous', LISTENER: 'Listener' },
  })
  try {
    const response = await fetch(workerd.url, { method: 'POST', body: 'through the stub' })
    equal(await text(response), 'through the stub', 'echo')
  } finally {
    await workerd.close()
  }
}

async function text(response: Response): Promise<string> {
  const body = await response.text()
  if (!response.ok) throw new Error(`workerd answered ${response.status}: ${body}`)
  return body
}
