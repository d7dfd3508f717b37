import { expect, it } from 'vitest'
import { NameTable } from '../../../core/service/name-table.ts'
import { AsyncStream } from '../../../runtimes/shared/services/async-stream.ts'
import { NameClient, NameService } from '../../../runtimes/shared/services/name-service.ts'
import { FakeNetwork, type FakeNode } from '../node/fake-node.ts'

const setTimer = (work: () => void, ms: number): (() => void) => {
  const timer = setTimeout(work, ms)
  return () => clearTimeout(timer)
}

function start(): {
  server: FakeNode
  network: FakeNetwork
  clientOf: (node: number) => NameClient
} {
  const network = new FakeNetwork()
  const server = network.add(9)
  const service = new NameService({ table: new NameTable(), now: () => 0, setTimer })
  server.listen(53).onconnection = (connection) => service.serve(connection)
  const clientOf = (id: number): NameClient =>
    new NameClient({ node: network.add(id), server: server.address, setTimer })
  return { server, network, clientOf }
}

it('registers and finds names, networks and services', async () => {
  const { clientOf } = start()
  const [one, two] = [clientOf(1), clientOf(2)]
  expect(await one.address('alice')).toBeUndefined()
  await one.registerAddress('alice', { network: 0, node: 1 })
  expect(await two.address('alice')).toEqual({ network: 0, node: 1 })
  await expect(two.registerAddress('alice', { network: 0, node: 2 })).rejects.toMatchObject({
    code: 'ERR_NAMESERVER',
    message: 'the nameserver says: name "alice" is registered by another node',
  })
  await expect(two.registerAddress('x', { network: 0, node: 1 })).rejects.toThrow('another node')
  await one.registerNetwork('lab', 7)
  expect(await two.network('lab')).toBe(7)
  expect(await two.network('none')).toBeUndefined()
  await one.registerService({ name: 'web', address: { network: 0, node: 1 }, network: 1, port: 80 })
  expect(await two.services(1, 80)).toEqual([
    { name: 'web', address: { network: 0, node: 1 }, port: 80 },
  ])
  expect(await two.services(1, 81)).toEqual([])
  await expect(one.address('two words')).rejects.toMatchObject({ code: 'ERR_INVALID_ARGUMENT' })
})

it('answers junk with an error and ends the stream', async () => {
  const { server, network } = start()
  const connection = await network.add(3).dial({ address: server.address, port: 53 })
  const stream = new AsyncStream(connection)
  await stream.write(new Uint8Array(2000).fill(65))
  expect(Buffer.from((await stream.read())!).toString()).toBe(
    'ERR request too long: 2000 bytes (max 1024)',
  )
  connection.close()
  await connection.closed
})

it('says that a server closed without an answer', async () => {
  const { network } = start()
  const mute = network.add(8)
  mute.listen(53).onconnection = (connection) => connection.close()
  const client = new NameClient({ node: network.add(4), server: mute.address, setTimer })
  await expect(client.address('x')).rejects.toMatchObject({ code: 'ERR_CONNECTION_CLOSED' })
})
