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

it('first bytes go along with a dial, once, and toward a known node the answer comes with the connection', async () => {
  const rendezvous = await createRendezvous({
    registryAddress: '127.0.0.1:0',
    beaconAddress: '127.0.0.1:0',
  })
  opened.push(rendezvous)
  const make = async (): Promise<PilotNode> => {
    const node = await createNode({
      registry: `127.0.0.1:${rendezvous.registryEndpoint.port}`,
      beacon: `127.0.0.1:${rendezvous.beaconEndpoint.port}`,
      listen: '127.0.0.1:0',
      isPublic: true,
    })
    opened.push(node)
    return node
  }
  const [a, b] = await Promise.all([make(), make()])
  const heard: string[] = []
  b.listen(4000).onconnection = (connection) => {
    let text = ''
    connection.onreadable = () => {
      for (let data = connection.read(); data !== undefined; data = connection.read())
        text += Buffer.from(data).toString()
      if (!connection.ended) connection.write(Buffer.from(`got ${text.length}`))
      else connection.close()
    }
    connection.onclose = () => heard.push(text)
  }
  const target = { address: b.address, port: 4000 }
  for (const [size, isAnswered] of [
    [5, false], // nothing is known of the peer yet
    [5, true],
    [1152, true],
    [65_536, false],
  ] as const) {
    const text = 'x'.repeat(size)
    const connection = await a.dial(target, { data: Buffer.from(text) })
    const atOnce = connection.read()
    if (isAnswered) expect(Buffer.from(atOnce!).toString()).toBe(`got ${size}`)
    connection.onreadable = () => {
      while (connection.read() !== undefined);
    }
    connection.close()
    await expect.poll(() => heard.at(-1)?.length, { timeout: 5000 }).toBe(size)
  }
  expect(heard).toHaveLength(4)
  await expect(a.dial(target, { data: new Uint8Array(65_537) })).rejects.toMatchObject({
    code: 'ERR_INVALID_ARGUMENT',
  })
})
