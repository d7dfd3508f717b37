import { expect, it } from 'vitest'
import { connectionInfos, peerInfos } from '../../../runtimes/shared/node-view.ts'
import { NodeHost, RendezvousHost } from '../../sim/node-host.ts'
import { World } from '../../sim/world.ts'

it('lists connections by id and peers by node id', () => {
  const world = new World({ seed: 3, link: { latencyMs: 5 } })
  const rendezvous = new RendezvousHost(world)
  world.add(rendezvous)
  const hosts = ['a', 'b', 'c', 'd'].map((name, i) => {
    const endpoint = { address: `203.0.113.${i + 1}`, port: 4000 }
    const host = new NodeHost({ world, rendezvous, endpoint, name })
    host.machine.listen(7)
    world.add(host)
    return host
  })
  const isReady = (): boolean => hosts.every((host) => host.machine.isRegistered)
  world.check(() => expect(world.runUntilTrue(isReady, 20_000)).toBe(true))
  const [a, ...others] = hosts as [NodeHost, ...NodeHost[]]
  const [low, middle, high] = others.map(({ machine }) => machine.nodeId).sort((x, y) => x - y)
  for (const node of [high!, low!, high!, middle!]) a.machine.dial({ network: 0, node }, 7, 0)
  expect(peerInfos(a.machine, () => '').map((peer) => peer.nodeId)).toEqual([low, middle, high])
  const ids = connectionInfos(a.machine).map(({ id }) => id)
  expect(ids).toHaveLength(4)
  expect(ids).toEqual([...ids].sort((x, y) => x - y))
})
