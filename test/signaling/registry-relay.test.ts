/** Nodes that are reached through a beacon only (spec/05 §5.1, §7; spec/09). */
import { describe, expect, it } from 'vitest'
import { type BenchNode, RegistryBench } from './registry-bench.ts'

const BEACON = '198.51.100.1:9001'
const RELAYED = { listen_addr: '', relay_only: true }

function bench(beacon: string | undefined = BEACON): RegistryBench {
  return new RegistryBench({ beaconAt: () => beacon })
}

describe('a relay-only node', () => {
  it('is resolved and looked up with relay_only and the beacon in place of its address', () => {
    const registry = bench()
    const a = registry.node('a', { isPublic: true })
    const b = registry.node('b', { address: '192.0.2.9' })
    a.register(RELAYED)
    const place = { real_addr: BEACON, relay_only: true }
    expect(b.toward('resolve', a)).toMatchObject({ type: 'resolve_ok', node_id: a.id, ...place })
    expect(a.lookup()).toMatchObject(place)
    const punch = b.send(
      { type: 'punch', requester_id: b.id, node_a: a.id, node_b: b.id },
      `punch:${a.id}:${b.id}`,
    )
    expect(punch).toMatchObject({ node_a_addr: BEACON, node_b_addr: '192.0.2.9:4000' })
  })

  it('says so, and no more, while it is private', () => {
    const registry = bench()
    const a = registry.node('a')
    a.register(RELAYED)
    expect(a.lookup()).toMatchObject({ relay_only: true })
    expect(a.lookup()).not.toHaveProperty('real_addr')
  })

  it('is given without an address where no beacon is known', () => {
    const registry = new RegistryBench()
    const a = registry.node('a', { isPublic: true })
    a.register(RELAYED)
    const reply = registry.node('b').toward('resolve', a)
    expect(reply).toMatchObject({ type: 'resolve_ok', node_id: a.id, relay_only: true })
    expect(reply).not.toHaveProperty('real_addr')
  })

  it('is direct again when it registers so', () => {
    const registry = bench()
    const a = registry.node('a', { isPublic: true })
    a.register(RELAYED)
    a.register()
    expect(a.lookup()).toMatchObject({ real_addr: '192.0.2.1:4000' })
    expect(a.lookup()).not.toHaveProperty('relay_only')
  })

  it('takes nothing but true for it', () => {
    const registry = bench()
    const a = registry.node('a', { isPublic: true })
    for (const value of ['true', 1, null]) a.register({ relay_only: value })
    expect(a.lookup()).not.toHaveProperty('relay_only')
  })
})

describe('whoever saw a registration', () => {
  const on = (node: BenchNode, registry: RegistryBench, address?: string): void => {
    node.connection = registry.connect(address)
  }

  it('cannot take a node that lives off its endpoint, or put it there, without its key', () => {
    const registry = bench()
    const a = registry.node('a', { isPublic: true }) // has signed set_visibility
    const own = a.connection
    on(a, registry)
    a.register(RELAYED)
    expect(a.lookup()).not.toHaveProperty('relay_only')
    a.connection = own
    a.register(RELAYED)
    on(a, registry)
    a.register()
    expect(a.lookup()).toMatchObject({ relay_only: true })
  })

  it('and the node itself can, as soon as it signs something on that connection', () => {
    const registry = bench()
    const a = registry.node('a', { isPublic: true })
    on(a, registry)
    a.register(RELAYED)
    a.poll()
    expect(a.lookup()).toMatchObject({ relay_only: true, real_addr: BEACON })
  })
})
