/** The registry's rules one by one (spec/04 §8 to §14), and that nothing makes it throw. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { RegistryMessage } from '../../core/wire/registry-message.ts'
import { REGISTRY_REQUEST_TYPES } from '../../signaling/registry.ts'
import { identity, RegistryBench, refused, START_SECONDS } from './registry-bench.ts'

describe('register', () => {
  it('gives ids from 1 and the same id to the same key', () => {
    const bench = new RegistryBench()
    const a = bench.node('a')
    const b = bench.node('b')
    expect([a.id, b.id]).toEqual([1, 2])
    expect(a.register()).toEqual({
      type: 'register_ok',
      node_id: 1,
      network_id: 0,
      address: '0:0000.0000.0001',
      public_key: a.key,
      observed_addr: '192.0.2.1:4000',
      protocol_version: 1,
    })
  })

  it.each([
    ['203.0.113.9:4444', '192.0.2.1:4444'],
    [':4001', '192.0.2.1:4001'],
    ['[2001:db8::1]:4002', '192.0.2.1:4002'],
    ['nonsense', '192.0.2.1:50000'],
    ['', '192.0.2.1:50000'],
    ['1.2.3.4:http', '192.0.2.1:50000'],
    ['1.2.3.4:0', '192.0.2.1:50000'],
    ['1.2.3.4:65536', '192.0.2.1:50000'],
    ['1.2.3.4:65535', '192.0.2.1:65535'],
  ])('publishes the source IP with the port of listen_addr %j', (listenAddr, endpoint) => {
    const a = new RegistryBench().node('a', { isPublic: true })
    a.register({ listen_addr: listenAddr })
    expect(a.lookup().real_addr).toBe(endpoint)
  })

  it('writes an IPv6 endpoint in brackets', () => {
    const a = new RegistryBench().node('a', { address: '2001:db8::7', isPublic: true })
    expect(a.lookup().real_addr).toBe('[2001:db8::7]:4000')
  })

  it('keeps the attributes of a live node and resets those of a dead one, score and id apart', () => {
    const bench = new RegistryBench()
    const a = bench.node('a', { isPublic: true })
    a.signed('set_hostname', { hostname: 'alice' })
    a.signed('set_tags', { tags: ['web'] })
    a.signed('set_task_exec', { enabled: true })
    a.connection.send({ type: 'update_polo_score', node_id: a.id, delta: -3 })
    a.register()
    expect(a.lookup()).toMatchObject({ public: true, hostname: 'alice', tags: ['web'] })
    a.signed('deregister')
    expect(a.lookup()).toEqual(refused())
    expect(a.connection.send({ type: 'resolve_hostname', hostname: 'alice' })).toEqual(refused())
    a.register()
    expect(a.lookup()).toEqual({
      type: 'lookup_ok',
      node_id: a.id,
      address: '0:0000.0000.0001',
      networks: [0],
      public_key: a.key,
      public: false,
      polo_score: -3,
    })
  })

  it('refuses new keys, not known ones, beyond 10 registrations a minute and source', () => {
    const bench = new RegistryBench()
    const nodes = Array.from({ length: 10 }, (_, i) => bench.node(`n${i}`))
    expect(nodes.at(-1)!.id).toBe(10)
    const late = bench.node('late')
    expect(late.register()).toEqual(refused('rate limited: too many registrations from 192.0.2.1'))
    expect(nodes[0]!.register()).toMatchObject({ node_id: 1 })
    expect(bench.node('elsewhere', { address: '192.0.2.2' }).id).toBe(11)
    bench.at += 6000
    expect(late.register()).toMatchObject({ node_id: 12 })
    expect(bench.node('too soon').register()).toEqual(refused())
  })

  it('counts the /64 of an IPv6 source as one', () => {
    const bench = new RegistryBench()
    const ids = Array.from(
      { length: 11 },
      (_, i) => bench.node(`n${i}`, { address: `2001:db8::${i + 1}` }).id,
    )
    expect(ids).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 0])
  })

  it('stops at its cap of identities', () => {
    const bench = new RegistryBench({ limits: { nodesMax: 2 } })
    bench.node('a')
    bench.node('b')
    expect(bench.node('c').register()).toEqual(refused('registry full'))
    expect(bench.node('a').id).toBe(1)
  })

  it.each(['', 'AAAA', '!!', identityKey().slice(0, -1), `${identityKey()}\n`, identityKey('hex')])(
    'refuses the key %j',
    (publicKey) => {
      const connection = new RegistryBench().connect()
      expect(connection.send({ type: 'register', public_key: publicKey })).toEqual(refused())
    },
  )
})

function identityKey(encoding: 'base64' | 'hex' = 'base64'): string {
  return Buffer.from(identity('k').publicKey).toString(encoding)
}

describe('liveness', () => {
  it('removes a node 180 s after its last sign, at the next minute, and keeps its id', () => {
    const bench = new RegistryBench()
    const a = bench.node('a')
    for (let i = 0; i < 10; i++) {
      bench.pass(60_000)
      a.heartbeat()
    }
    bench.pass(179_000)
    expect(a.lookup().type).toBe('lookup_ok')
    bench.pass(60_000)
    expect(a.lookup()).toEqual(refused())
    expect(a.heartbeat()).toEqual(refused('node 1: node not found'))
    expect(a.register()).toMatchObject({ node_id: 1 })
  })

  it('is not kept up by being looked up, resolved or scored', () => {
    const bench = new RegistryBench()
    const a = bench.node('a', { isPublic: true })
    const b = bench.node('b')
    for (let i = 0; i < 5; i++) {
      bench.pass(60_000)
      b.heartbeat()
      a.lookup()
      b.toward('resolve', a)
      b.connection.send({ type: 'update_polo_score', node_id: a.id, delta: 1 })
    }
    expect(a.lookup()).toEqual(refused())
  })

  it('says the time', () => {
    const bench = new RegistryBench()
    bench.at = 5000
    expect(bench.node('a').heartbeat()).toEqual({ type: 'heartbeat_ok', time: START_SECONDS + 5 })
  })

  it('answers deregister of an unknown id with ok, of a live one only when signed', () => {
    const bench = new RegistryBench()
    const a = bench.node('a')
    const send = (nodeId: number): RegistryMessage =>
      bench.connect().send({ type: 'deregister', node_id: nodeId })
    expect(send(99)).toEqual({ type: 'deregister_ok' })
    expect(send(a.id)).toEqual(refused())
    expect(a.lookup().type).toBe('lookup_ok')
  })
})

describe('hostnames', () => {
  it('are unique, free again after a rename, and cleared by an empty one', () => {
    const bench = new RegistryBench()
    const a = bench.node('a')
    const b = bench.node('b')
    expect(a.signed('set_hostname', { hostname: 'x' })).toMatchObject({ hostname: 'x' })
    expect(b.signed('set_hostname', { hostname: 'x' })).toEqual(
      refused('hostname "x" already in use by node 1'),
    )
    a.signed('set_hostname', { hostname: 'y' })
    expect(b.signed('set_hostname', { hostname: 'x' })).toMatchObject({ hostname: 'x' })
    expect(a.signed('set_hostname')).toEqual({ type: 'set_hostname_ok', node_id: 1, hostname: '' })
    expect(bench.connect().send({ type: 'resolve_hostname', hostname: 'y' })).toEqual(refused())
  })

  it('are free again when the node is removed', () => {
    const bench = new RegistryBench()
    bench.node('a').signed('set_hostname', { hostname: 'x' })
    bench.pass(240_000)
    const b = bench.node('b')
    expect(b.signed('set_hostname', { hostname: 'x' })).toMatchObject({ hostname: 'x' })
  })
})

it('gives beacons 60 s and one owner address per id', () => {
  const bench = new RegistryBench()
  const announce = (address: string, addr: string): RegistryMessage =>
    bench.connect(address).send({ type: 'beacon_register', beacon_id: 7, addr })
  expect(announce('192.0.2.9', '192.0.2.9:9001')).toEqual({
    type: 'beacon_register_ok',
    beacon_id: 7,
  })
  expect(announce('192.0.2.8', '192.0.2.8:9001')).toEqual(refused())
  const list = (): unknown => bench.connect().send({ type: 'beacon_list' }).beacons
  bench.at = 59_999
  expect(list()).toEqual([{ id: 7, addr: '192.0.2.9:9001' }])
  bench.at = 60_000
  expect(list()).toEqual([])
})

it('closes the connection after refusing replication', () => {
  const bench = new RegistryBench()
  const { connection } = bench.connect()
  expect(
    bench.registry.handle({ type: 'subscribe_replication', token: 'x' }, connection, bench.now),
  ).toEqual({ reply: refused('replication not configured'), close: true })
})

it('answers any message, whatever its members are', () => {
  const bench = new RegistryBench({
    limits: { requestBurst: Number.MAX_SAFE_INTEGER, registrationsPerMinute: 1e9 },
  })
  const known = bench.node('a', { isPublic: true })
  const value = fc.oneof(
    fc.jsonValue(),
    fc.constantFrom<unknown>(0, 1, -1, 1e300, 2 ** 32, true, null, [], {}, '', known.key),
  )
  const fields = [
    ...['node_id', 'peer_id', 'requester_id', 'from_node_id', 'to_node_id', 'network_id'],
    ...['node_a', 'node_b', 'beacon_id', 'public_key', 'new_public_key', 'signature', 'owner'],
    ...['hostname', 'tags', 'public', 'enabled', 'delta', 'addr', 'listen_addr', 'accept'],
  ]
  fc.assert(
    fc.property(
      fc.oneof(fc.constantFrom(...REGISTRY_REQUEST_TYPES), fc.jsonValue()),
      fc.dictionary(fc.oneof(fc.constantFrom(...fields), fc.string()), value),
      (type, members) => {
        const reply = known.connection.send({ ...members, type })
        expect(typeof reply.type).toBe('string')
        expect(reply.type === 'error').toBe(typeof reply.error === 'string')
      },
    ),
    { numRuns: 3000 },
  )
})
