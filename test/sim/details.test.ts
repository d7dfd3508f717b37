/** What a node tells who watches closely, and only then. */
import { expect, it } from 'vitest'
import type { Endpoint, NodeMachineEvent } from '../../core/index.ts'
import { NodeHost, RendezvousHost } from './node-host.ts'
import { World } from './world.ts'

const A: Endpoint = { address: '203.0.113.10', port: 4000 }
const B: Endpoint = { address: '203.0.113.20', port: 4000 }
const DETAILS = /^(stream-|syn-|packet-|peer-added|peer-rekeyed)/

/** b's details after a dialed its echo more often than a stranger may, over a link that sends things twice. */
function watched(details: boolean): { events: NodeMachineEvent[]; a: NodeHost } {
  const world = new World({ seed: 11, link: { latencyMs: 10, duplicate: 0.3 } })
  const rendezvous = new RendezvousHost(world)
  world.add(rendezvous)
  const options = { world, rendezvous, isPublic: true }
  const a = new NodeHost({ ...options, endpoint: A, name: 'a' })
  const b = new NodeHost({ ...options, endpoint: B, name: 'b', machine: { details } })
  b.machine.listen(7)
  for (const host of [a, b]) world.add(host)
  const isReady = (): boolean => a.machine.isRegistered && b.machine.isRegistered
  expect(world.runUntilTrue(isReady, world.now + 20_000)).toBe(true)
  const to = { network: 0, node: b.machine.nodeId }
  const streams = Array.from({ length: 30 }, () => a.machine.dial(to, 7, world.now))
  world.touch(a)
  world.runUntilTrue(
    () => streams.filter((one) => one.connection.state === 'ESTABLISHED').length >= 10,
    world.now + 10_000,
  )
  const [first, second] = streams.filter((one) => one.connection.state === 'ESTABLISHED')
  a.machine.closeStream(first!, world.now)
  a.machine.resetStream(second!, world.now)
  world.touch(a)
  world.runUntil(world.now + 2000)
  return { events: b.events.filter(({ type }) => DETAILS.test(type)), a }
}

it('names streams, floods, replays and peers with who is behind them', () => {
  const { events, a } = watched(true)
  const of = (type: string): NodeMachineEvent[] => events.filter((event) => event.type === type)
  const nodeId = a.machine.nodeId
  const remote = { address: { network: 0, node: nodeId }, port: expect.any(Number) }
  const stream = { id: expect.any(Number), localPort: 7, remote }
  for (const type of ['stream-requested', 'stream-established', 'stream-ended', 'stream-reset'])
    expect(of(type)[0], type).toEqual({ type, ...stream })
  expect(of('stream-ended')).toHaveLength(1)
  expect(of('stream-reset')).toHaveLength(1)
  expect(of('stream-requested').length).toBeGreaterThanOrEqual(of('stream-established').length)
  expect(of('syn-limited')[0]).toEqual({ type: 'syn-limited', source: remote })
  expect(of('packet-replayed')[0]).toEqual({
    type: 'packet-replayed',
    nodeId,
    counter: expect.any(BigInt),
  })
  expect(of('peer-added')).toEqual([
    { type: 'peer-added', nodeId, endpoint: `${A.address}:${A.port}` },
  ])
})

it('tells nothing of it otherwise', () => {
  expect(watched(false).events).toEqual([])
})
