import { expect, it } from 'vitest'
import type { PilotDatagram } from '../../../runtimes/shared/api.ts'
import { broadcastDatagram } from '../../../runtimes/shared/services/broadcast.ts'
import { FakeNetwork, type FakeNode } from '../node/fake-node.ts'

function start(
  members: readonly number[],
  pageSize = 1000,
): { node: FakeNode; got: [number, PilotDatagram][] } {
  const network = new FakeNetwork()
  const got: [number, PilotDatagram][] = []
  for (const id of [1, 2, 3, 4]) network.add(id).onDatagram((datagram) => got.push([id, datagram]))
  const node = network.nodes.get(1)!
  node.registry.request = async ({ type, network_id, after = 0, admin_token }) => {
    expect(type).toBe('list_nodes')
    expect([7, 0]).toContain(network_id)
    if (network_id === 0) expect(admin_token).toBe('token')
    const rest = members.filter((id) => id > Number(after))
    return {
      nodes: rest.slice(0, pageSize).map((node_id) => ({ node_id })),
      truncated: rest.length > pageSize,
    }
  }
  return { node, got }
}

const message = { network: 7, port: 1000, data: Uint8Array.of(5) }

it('reaches every other member once, from the network it speaks in, however the list is cut', async () => {
  const { node, got } = start([1, 2, 4], 1)
  expect(await broadcastDatagram(node, message)).toBe(2)
  expect(got.map(([id]) => id)).toEqual([2, 4])
  expect(got[0]![1]).toMatchObject({ destinationPort: 1000, data: message.data })
})

it('is refused on the backbone and to who is no member, but for the admin token', async () => {
  const { node, got } = start([2, 3])
  await expect(broadcastDatagram(node, { ...message, network: 0 })).rejects.toThrow('not permitted')
  await expect(broadcastDatagram(node, message)).rejects.toThrow(
    'broadcast denied: node 1 is not a member of network 7',
  )
  expect(got).toEqual([])
  const adminToken = 'token'
  expect(await broadcastDatagram(node, message, { adminToken })).toBe(2)
  expect(await broadcastDatagram(node, { ...message, network: 0 }, { adminToken })).toBe(2)
})

it('takes no list that is none', async () => {
  const { node } = start([])
  node.registry.request = async () => ({ nodes: 'x' })
  await expect(broadcastDatagram(node, message)).rejects.toMatchObject({ code: 'ERR_REGISTRY' })
  node.registry.request = async () => ({ nodes: [null, { node_id: 'x' }, { node_id: 1 }] })
  expect(await broadcastDatagram(node, message)).toBe(0)
})
