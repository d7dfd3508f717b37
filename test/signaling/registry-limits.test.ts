/** Rates, scores and beacons (spec/04 §22 W11, W12, W17). */
import { describe, expect, it } from 'vitest'
import { TokenBuckets } from '../../core/rate-limit.ts'
import { RegistryBench, refused } from './registry-bench.ts'

describe('rates (W17)', () => {
  it('hold for every request of a source', () => {
    const bench = new RegistryBench({ limits: { requestBurst: 3, requestsPerSecond: 1 } })
    const connection = bench.connect()
    const lookup = (): unknown => connection.send({ type: 'list_networks' }).type
    expect([lookup(), lookup(), lookup(), lookup()].at(-1)).toBe('error')
    bench.at += 1000
    expect(lookup()).toBe('list_networks_ok')
    expect(bench.connect('192.0.2.2').send({ type: 'list_networks' }).type).toBe('list_networks_ok')
  })

  it('make wrong signatures expensive', () => {
    const bench = new RegistryBench({ limits: { requestBurst: 25, requestsPerSecond: 0 } })
    const a = bench.node('a')
    const signature = a.identity.signBase64('something else')
    for (let i = 0; i < 3; i++) a.connection.send({ type: 'heartbeat', node_id: a.id, signature })
    expect(a.heartbeat()).toEqual(refused('rate limited: too many requests from 192.0.2.1'))
  })

  it('hold for a node whatever the source', () => {
    const bench = new RegistryBench({ limits: { nodeRequestBurst: 2, nodeRequestsPerSecond: 1 } })
    const a = bench.node('a')
    a.heartbeat()
    a.connection = bench.connect('192.0.2.9')
    a.heartbeat()
    expect(a.heartbeat()).toEqual(refused('rate limited: too many requests from node 1'))
    bench.at += 1000
    expect(a.heartbeat().type).toBe('heartbeat_ok')
  })

  it('are forgotten only when full again, and never held for more keys than the cap', () => {
    const buckets = new TokenBuckets<string>({ burst: 2, perSecond: 1, keysMax: 3 })
    for (const key of ['a', 'b', 'c', 'd']) buckets.take(key, 0)
    expect(buckets.size).toBe(3)
    buckets.sweep(500)
    expect(buckets.size).toBe(3)
    buckets.sweep(1000)
    expect(buckets.size).toBe(0)
  })
})

describe('scores (W11)', () => {
  it('change only on a connection that has proven a live node, within bounds', () => {
    const bench = new RegistryBench()
    const a = bench.node('a')
    const update = (delta: number): unknown =>
      a.connection.send({ type: 'update_polo_score', node_id: a.id, delta })
    expect(update(1)).toEqual(refused())
    a.heartbeat()
    expect(update(1.9)).toMatchObject({ polo_score: 1 })
    expect(update(-1.9)).toMatchObject({ polo_score: 0 })
    expect(update(101)).toEqual(refused())
    expect(update(Number.POSITIVE_INFINITY)).toEqual(refused())
    a.signed('deregister')
    expect(bench.node('b').connection.send({ type: 'get_polo_score', node_id: 1 })).toEqual(
      refused('node 1 not found'),
    )
  })

  it('stop at their rate and are never set', () => {
    const bench = new RegistryBench()
    const a = bench.node('a')
    a.heartbeat()
    for (let i = 0; i < 60; i++)
      a.connection.send({ type: 'update_polo_score', node_id: a.id, delta: 1 })
    expect(a.connection.send({ type: 'update_polo_score', node_id: a.id, delta: 1 })).toEqual(
      refused('rate limited: too many score updates from 192.0.2.1'),
    )
    expect(a.signed('set_polo_score', { polo_score: 5 })).toEqual(refused())
    expect(a.lookup().polo_score).toBe(60)
  })
})

describe('beacons (W12)', () => {
  it.each([
    ['192.0.2.1', '192.0.2.1:9001', true],
    ['192.0.2.1', '192.0.2.2:9001', false],
    ['192.0.2.1', 'beacon.example:9001', false],
    ['192.0.2.1', '192.0.2.1:0', false],
    ['192.0.2.1', '192.0.2.1', false],
    ['2001:db8::1', '[2001:db8::1]:9001', true],
    ['127.0.0.1', '10.0.0.1:9001', false],
  ])('from %s announce %s: %s', (source, addr, isAccepted) => {
    const reply = new RegistryBench()
      .connect(source)
      .send({ type: 'beacon_register', beacon_id: 7, addr })
    expect(reply.type).toBe(isAccepted ? 'beacon_register_ok' : 'error')
  })

  it('on local addresses announce what they like where the operator trusts them', () => {
    const bench = new RegistryBench({ trustLocalBeacons: true })
    const announce = (source: string): unknown =>
      bench
        .connect(source)
        .send({ type: 'beacon_register', beacon_id: 7, addr: '198.51.100.1:9001' }).type
    expect(announce('192.0.2.1')).toBe('error')
    expect(announce('10.1.2.3')).toBe('beacon_register_ok')
  })

  it('are at most 256', () => {
    const bench = new RegistryBench()
    const connection = bench.connect()
    const outcomes = Array.from(
      { length: 257 },
      (_, i) =>
        connection.send({ type: 'beacon_register', beacon_id: i + 1, addr: '192.0.2.1:9001' }).type,
    )
    expect(outcomes.indexOf('error')).toBe(256)
  })
})
