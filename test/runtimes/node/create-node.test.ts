/** What holds as soon as `createNode` has resolved. */
import { afterEach, expect, it } from 'vitest'
import { createNode } from '../../../runtimes/node/index.ts'
import type { PilotNode } from '../../../runtimes/shared/api.ts'
import { createRendezvous } from '../../../signaling/index.ts'

const opened: { close(): Promise<void> }[] = []
afterEach(async () => {
  for (const one of opened.splice(0).reverse()) await one.close()
})

it('public nodes are found by name and dialed at once', async () => {
  const rendezvous = await createRendezvous({
    registryAddress: '127.0.0.1:0',
    beaconAddress: '127.0.0.1:0',
  })
  opened.push(rendezvous)
  const make = async (hostname: string): Promise<PilotNode> => {
    const node = await createNode({
      registry: `127.0.0.1:${rendezvous.registryEndpoint.port}`,
      beacon: `127.0.0.1:${rendezvous.beaconEndpoint.port}`,
      listen: '127.0.0.1:0',
      isPublic: true,
      hostname,
    })
    opened.push(node)
    return node
  }
  const [a, b] = await Promise.all([make('first'), make('second')])
  for (const [node, other] of [
    [a, 'second'],
    [b, 'first'],
  ] as const) {
    node.listen(4000)
    expect(await node.ping(other)).toBeGreaterThan(0)
  }
  const connection = await a.dial('second:4000')
  expect(connection.state).toBe('ESTABLISHED')
  connection.reset()
})
