/** Whose id, key, endpoint and name it is (spec/04 §22 W1 to W6, W13). */

import { describe, expect, it } from 'vitest'
import { parseRotations, provesRotation } from '../../core/trust/key-rotations.ts'
import type { RegistryMessage } from '../../core/wire/registry-message.ts'
import { readSnapshot } from '../../signaling/snapshot-read.ts'
import { writeSnapshot } from '../../signaling/snapshot-write.ts'
import { crypto } from '../support.ts'
import { type BenchNode, identity, RegistryBench, refused } from './registry-bench.ts'

const FAR = '198.51.100.66'

/** Registers the victim's public key from elsewhere, as anyone can who looked it up. */
function impostor(bench: RegistryBench, victim: BenchNode, fields: RegistryMessage = {}) {
  const connection = bench.connect(FAR, 6666)
  const reply = connection.send({
    type: 'register',
    public_key: victim.key,
    listen_addr: ':6666',
    ...fields,
  })
  return { connection, reply }
}

describe('W1: the owner text', () => {
  it('never moves the id of a live node to another key', () => {
    const bench = new RegistryBench()
    const a = bench.node('a', { owner: 'o@example.com' })
    const thief = bench.node('thief', { owner: 'o@example.com', address: FAR })
    expect(thief.id).toBe(2)
    expect(a.lookup().public_key).toBe(a.key)
  })

  it('is not believed from a connection without the key, so that it recovers nothing later', () => {
    const bench = new RegistryBench({ allowOwnerRecovery: true })
    const victim = bench.node('victim')
    bench.connect(FAR).send({ type: 'register', public_key: victim.key, owner: 'thief' })
    bench.pass(240_000)
    expect(victim.lookup()).toEqual(refused())
    bench.connect(FAR).send({ type: 'register', public_key: victim.key, owner: 'thief' })
    bench.pass(240_000)
    expect(bench.node('thief', { owner: 'thief', address: FAR }).id).toBe(2)
  })

  it('recovers an offline id only where the operator allows it, and then forgets the old key (W2)', () => {
    for (const allowOwnerRecovery of [false, true]) {
      const bench = new RegistryBench({ allowOwnerRecovery })
      const old = bench.node('old', { owner: 'o' })
      old.signed('deregister')
      const fresh = bench.node('fresh', { owner: 'o' })
      expect(fresh.id).toBe(allowOwnerRecovery ? 1 : 2)
      old.register()
      expect(old.id).toBe(allowOwnerRecovery ? 2 : 1)
    }
  })
})

describe('W3: a registration from elsewhere', () => {
  it('is answered, but changes nothing while the node is alive', () => {
    const bench = new RegistryBench()
    const a = bench.node('a', { isPublic: true })
    const { connection, reply } = impostor(bench, a, { hostname: 'stolen', owner: 'x' })
    expect(reply).toMatchObject({ type: 'register_ok', node_id: a.id })
    expect(a.lookup()).toMatchObject({ real_addr: '192.0.2.1:4000' })
    expect(a.lookup().hostname).toBeUndefined()
    const garbage = Buffer.alloc(64).toString('base64')
    connection.send({ type: 'heartbeat', node_id: a.id, signature: garbage })
    expect(a.lookup().real_addr).toBe('192.0.2.1:4000')
  })

  it('takes effect with the first signed request on the same connection, name included', () => {
    const bench = new RegistryBench()
    const a = bench.node('a', { isPublic: true })
    const { connection } = impostor(bench, a, { hostname: 'moved' })
    a.heartbeat()
    expect(a.lookup().real_addr).toBe('192.0.2.1:4000')
    a.connection = connection
    a.heartbeat()
    expect(a.lookup()).toMatchObject({ real_addr: `${FAR}:6666`, hostname: 'moved' })
    a.register({ listen_addr: ':7777' })
    expect(a.lookup().real_addr).toBe(`${FAR}:7777`)
  })

  it('takes effect at once when the node has been silent for 180 s', () => {
    const bench = new RegistryBench()
    const a = bench.node('a', { isPublic: true })
    bench.at += 180_000
    impostor(bench, a)
    expect(a.lookup().real_addr).toBe(`${FAR}:6666`)
  })

  it('takes effect at once from the same address', () => {
    const bench = new RegistryBench()
    const a = bench.node('a', { isPublic: true })
    a.connection = bench.connect('192.0.2.1', 50_001)
    a.register({ listen_addr: ':4001' })
    expect(a.lookup().real_addr).toBe('192.0.2.1:4001')
  })

  it('unsigned, of a key that has signed one, counts once that connection has proven the key', () => {
    const bench = new RegistryBench()
    const a = bench.node('a', { isPublic: true })
    const sign = (text: string): RegistryMessage => ({ signature: a.identity.signBase64(text) })
    expect(a.register(sign(`register::4001:${a.key}`))).toEqual(
      refused('signature verification failed'),
    )
    expect(a.register(sign(`register::4000:${a.key}`))).toMatchObject({ node_id: 1 })
    a.connection = bench.connect('192.0.2.1', 50_001)
    expect(a.register({ listen_addr: ':4999' })).toMatchObject({ node_id: 1 })
    expect(a.lookup().real_addr).toBe('192.0.2.1:4000')
    a.heartbeat()
    expect(a.lookup().real_addr).toBe('192.0.2.1:4999')
  })

  it('unsigned, brings a node back that has left: its identity may have moved to an older daemon', () => {
    const bench = new RegistryBench()
    const a = bench.node('a')
    const sign = (text: string): RegistryMessage => ({ signature: a.identity.signBase64(text) })
    a.register(sign(`register::4000:${a.key}`))
    a.signed('deregister')
    expect(a.register()).toMatchObject({ type: 'register_ok', node_id: 1 })
  })
})

describe('W4: rotate_key', () => {
  const fresh = identity('fresh')
  const freshKey = Buffer.from(fresh.publicKey).toString('base64')

  function rotate(node: BenchNode, newKey: string, text: string, more: RegistryMessage = {}) {
    return node.send(
      { type: 'rotate_key', node_id: node.id, new_public_key: newKey, ...more },
      text,
    )
  }

  it('takes the signature that covers the new key, and repeats', () => {
    const a = new RegistryBench().node('a')
    const oldKey = a.key
    expect(rotate(a, freshKey, `rotate:1:${freshKey}`)).toEqual({
      type: 'rotate_key_ok',
      node_id: 1,
      address: '0:0000.0000.0001',
      public_key: freshKey,
    })
    expect(a.heartbeat()).toEqual(refused())
    a.identity = fresh
    expect(a.heartbeat().type).toBe('heartbeat_ok')
    expect(rotate(a, freshKey, `rotate:1:${freshKey}`)).toMatchObject({ type: 'rotate_key_ok' })
    expect(a.connection.send({ type: 'register', public_key: oldKey })).toMatchObject({
      node_id: 2,
    })
  })

  it('shows who asks that each key has signed the next one', () => {
    const bench = new RegistryBench()
    const a = bench.node('a')
    expect(a.lookup()).not.toHaveProperty('rotations')
    let known = a.identity.publicKey
    const first = known
    for (const name of ['second', 'third']) {
      const next = identity(name)
      const key = Buffer.from(next.publicKey).toString('base64')
      expect(rotate(a, key, `rotate:1:${key}`).type).toBe('rotate_key_ok')
      a.identity = next
      const rotations = parseRotations(a.lookup().rotations)
      for (const from of [known, first])
        expect(provesRotation(crypto.ed25519Verify, 1, from, next.publicKey, rotations)).toBe(true)
      known = next.publicKey
    }
    // A state file takes them along.
    const { state } = readSnapshot(writeSnapshot(bench.registry.desk.state(), 1), 1)
    const [kept] = [...state.nodes]
    expect(kept?.rotations).toEqual(parseRotations(a.lookup().rotations))
    // What a signature does not cover, it does not prove.
    const lenient = new RegistryBench({ allowUnboundRotation: true }).node('a')
    rotate(lenient, freshKey, 'rotate:1')
    expect(lenient.lookup()).not.toHaveProperty('rotations')
  })

  it('refuses the signature that does not, unless the operator allows it', () => {
    expect(rotate(new RegistryBench().node('a'), freshKey, 'rotate:1')).toEqual(refused())
    const lenient = new RegistryBench({ allowUnboundRotation: true }).node('a')
    expect(rotate(lenient, freshKey, 'rotate:1')).toMatchObject({ type: 'rotate_key_ok' })
  })

  it('refuses the key of another node, live or not', () => {
    const bench = new RegistryBench()
    const a = bench.node('a')
    const b = bench.node('b')
    expect(rotate(a, b.key, `rotate:1:${b.key}`)).toEqual(refused())
    b.signed('deregister')
    expect(rotate(a, b.key, `rotate:1:${b.key}`)).toEqual(refused())
    expect(b.register()).toMatchObject({ node_id: 2 })
  })

  it('checks the new key’s own signature when there is one', () => {
    const a = new RegistryBench().node('a')
    const text = `rotate:1:${freshKey}`
    expect(rotate(a, freshKey, text, { new_key_signature: a.identity.signBase64(text) })).toEqual(
      refused(),
    )
    expect(rotate(a, freshKey, text, { new_key_signature: 'x' })).toEqual(refused())
    expect(rotate(a, freshKey, text, { new_key_signature: fresh.signBase64(text) })).toMatchObject({
      type: 'rotate_key_ok',
    })
  })
})

describe('W5: a repeated signature', () => {
  it('deregisters at most a few times', () => {
    const bench = new RegistryBench()
    const a = bench.node('a')
    const outcomes = Array.from({ length: 7 }, () => {
      a.register()
      return a.signed('deregister').type
    })
    expect(outcomes.filter((type) => type === 'error')).toHaveLength(2)
  })

  it('from another address is counted', () => {
    const bench = new RegistryBench()
    const a = bench.node('a')
    a.heartbeat()
    expect(bench.registry.desk.foreignSignatures).toBe(0)
    a.connection = bench.connect(FAR)
    a.heartbeat()
    expect(bench.registry.desk.foreignSignatures).toBe(1)
  })
})

describe('W6: punch', () => {
  function punch(from: BenchNode, a: BenchNode, b: BenchNode): RegistryMessage {
    return from.send(
      { type: 'punch', requester_id: from.id, node_a: a.id, node_b: b.id },
      `punch:${a.id}:${b.id}`,
    )
  }

  it('gives a private endpoint only to whom resolve would, with the text of an unknown node', () => {
    const bench = new RegistryBench()
    const a = bench.node('a')
    const b = bench.node('b')
    const gone = { id: 99 } as BenchNode
    expect(punch(a, a, b).error).toBe(String(punch(a, a, gone).error).replace('99', String(b.id)))
    b.signed('set_visibility', { public: true })
    expect(punch(a, b, a)).toEqual({
      type: 'punch_ok',
      node_a: 2,
      node_a_addr: '192.0.2.1:4000',
      node_b: 1,
      node_b_addr: '192.0.2.1:4000',
    })
  })

  it('is for participants', () => {
    const bench = new RegistryBench()
    const [a, b, c] = ['a', 'b', 'c'].map((name) => bench.node(name, { isPublic: true }))
    expect(punch(c!, a!, b!)).toEqual(refused('punch denied: requester must be participant'))
  })
})
