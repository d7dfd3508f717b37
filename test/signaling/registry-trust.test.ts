/** Trust, consent and relayed handshakes (spec/04 §9, §22 W7, W8, W10, W15, W23). */
import { describe, expect, it } from 'vitest'
import type { RegistryMessage } from '../../core/wire/registry-message.ts'
import { MemoryStore } from '../../signaling/registry-store.ts'
import { TrustTable } from '../../signaling/trust-table.ts'
import { type BenchNode, RegistryBench, refused, START_SECONDS } from './registry-bench.ts'

function pair(): { bench: RegistryBench; a: BenchNode; b: BenchNode } {
  const bench = new RegistryBench()
  return { bench, a: bench.node('a'), b: bench.node('b', { address: '192.0.2.2' }) }
}

describe('resolve', () => {
  it('is refused for a private node in the words used for an unknown one', () => {
    const { a, b } = pair()
    const unknown = a.send(
      { type: 'resolve', node_id: 99, requester_id: a.id },
      `resolve:${a.id}:99`,
    )
    expect(a.toward('resolve', b).error).toBe(String(unknown.error).replace('99', '2'))
  })

  it('answers for a public node, and for nobody without a signature', () => {
    const { a, b } = pair()
    b.signed('set_visibility', { public: true })
    expect(a.toward('resolve', b)).toMatchObject({
      type: 'resolve_ok',
      node_id: 2,
      real_addr: '192.0.2.2:4000',
    })
    expect(a.connection.send({ type: 'resolve', node_id: 2, requester_id: 1 })).toEqual(refused())
  })

  it('needs the consent of the resolved node beside the pair (W7)', () => {
    const { a, b } = pair()
    a.toward('report_trust', b)
    expect(a.toward('resolve', b)).toEqual(refused())
    b.toward('report_trust', a)
    expect(a.toward('resolve', b).type).toBe('resolve_ok')
    expect(b.toward('resolve', a).type).toBe('resolve_ok')
  })

  it('needs the pair beside the consent', () => {
    const { a, b } = pair()
    b.toward('request_handshake', a)
    expect(a.toward('resolve', b)).toEqual(refused())
  })

  it('ends with a revocation by either side, and the revoked cannot restore it alone', () => {
    const { a, b } = pair()
    a.toward('report_trust', b)
    b.toward('report_trust', a)
    expect(b.toward('revoke_trust', a)).toEqual({ type: 'revoke_trust_ok' })
    expect(a.toward('resolve', b)).toEqual(refused())
    a.toward('report_trust', b)
    expect(a.toward('resolve', b)).toEqual(refused())
    expect(b.toward('resolve', a).type).toBe('resolve_ok')
  })

  it('works for 10 s for the one who ended trust, who has yet to tell the other', () => {
    const { bench, a, b } = pair()
    a.toward('report_trust', b)
    b.toward('report_trust', a)
    b.toward('revoke_trust', a)
    bench.pass(9999)
    expect(b.toward('resolve', a).type).toBe('resolve_ok')
    expect(a.toward('resolve', b)).toEqual(refused())
    bench.pass(1)
    expect(b.toward('resolve', a)).toEqual(refused())
    // The farewell was no consent to be resolved.
    a.toward('report_trust', b)
    expect(a.toward('resolve', b)).toEqual(refused())
  })

  it('is not opened by ending trust that opened nothing', () => {
    const { a, b } = pair()
    a.toward('report_trust', b)
    a.toward('revoke_trust', b)
    expect(a.toward('resolve', b)).toEqual(refused())
  })

  it('works for both after a relayed handshake was accepted', () => {
    const { a, b } = pair()
    a.toward('request_handshake', b, { justification: 'hi' })
    b.toward('respond_handshake', a, { accept: true })
    expect(a.toward('resolve', b).type).toBe('resolve_ok')
    expect(b.toward('resolve', a).type).toBe('resolve_ok')
  })

  it('works for both after a direct handshake with a public node that reports trust', () => {
    const { a, b } = pair()
    a.signed('set_visibility', { public: true })
    b.toward('resolve', a)
    a.toward('report_trust', b)
    expect(a.toward('resolve', b).type).toBe('resolve_ok')
  })

  it('forgets the oldest of too many consents given by resolving', () => {
    const trust = new TrustTable(new MemoryStore())
    for (let peer = 2; peer <= 1026; peer++) trust.addConsent(1, peer, 'resolved')
    expect(trust.hasConsent(1, 2)).toBe(false)
    expect(trust.hasConsent(1, 3)).toBe(true)
    expect(trust.hasConsent(1, 1026)).toBe(true)
  })

  it('refuses more consents by asking than the cap, except those already given', () => {
    const trust = new TrustTable(new MemoryStore())
    for (let peer = 2; peer <= 4097; peer++) trust.addConsent(1, peer, 'asked')
    expect(trust.hasRoom(1, 5000)).toBe(false)
    expect(trust.hasRoom(1, 4097)).toBe(true)
  })
})

describe('respond_handshake (W8)', () => {
  it('is refused when the peer never asked, and leaves nothing behind', () => {
    const { a, b } = pair()
    expect(a.toward('respond_handshake', b, { accept: true })).toEqual(
      refused('no pending handshake request from node 2'),
    )
    expect(b.poll()).toMatchObject({ requests: [], responses: [] })
    expect(b.toward('resolve', a)).toEqual(refused())
  })

  it('finds the request for 7 days after it was polled', () => {
    const { bench, a, b } = pair()
    a.toward('request_handshake', b)
    b.poll()
    b.heartbeat()
    bench.at += 7 * 86_400_000 - 1000
    expect(b.toward('respond_handshake', a, { accept: false })).toEqual({
      type: 'respond_handshake_ok',
      accept: false,
      peer_id: 1,
    })
    bench.at += 1000
    expect(b.toward('respond_handshake', a, { accept: true })).toEqual(refused())
  })
})

describe('inboxes', () => {
  it('hold one request per sender, delivered with its time', () => {
    const { bench, a, b } = pair()
    bench.at = 7000
    expect(a.toward('request_handshake', b, { justification: 'hi' })).toEqual({
      type: 'request_handshake_ok',
      status: 'delivered',
    })
    expect(a.toward('request_handshake', b)).toEqual(
      refused('handshake request already pending from node 1'),
    )
    expect(b.poll()).toEqual({
      type: 'poll_handshakes_ok',
      requests: [
        { from_node_id: 1, justification: 'hi', public_key: a.key, timestamp: START_SECONDS + 7 },
      ],
      responses: [],
    })
  })

  it('lose what one left who then ended trust, and keep what the other left', () => {
    const { a, b } = pair()
    a.toward('request_handshake', b, { justification: 'old' })
    b.toward('request_handshake', a, { justification: 'new' })
    b.toward('respond_handshake', a, { accept: true })
    a.toward('revoke_trust', b)
    expect(b.poll()).toMatchObject({ requests: [], responses: [] })
    expect(a.poll()).toMatchObject({
      requests: [{ from_node_id: b.id }],
      responses: [{ from_node_id: b.id }],
    })
    a.toward('request_handshake', b, { justification: 'again' })
    expect(b.poll().requests).toMatchObject([{ justification: 'again' }])
  })

  it('hold 100 requests', () => {
    const bench = new RegistryBench({ limits: { registrationsPerMinute: 1000 } })
    const target = bench.node('target')
    const outcomes = Array.from({ length: 101 }, (_, i) =>
      bench.node(`n${i}`).toward('request_handshake', target),
    )
    expect(outcomes.at(-2)!.type).toBe('request_handshake_ok')
    expect(outcomes.at(-1)).toEqual(refused('handshake inbox full for node 1'))
  })

  it('keep the latest response of a sender', () => {
    const { a, b } = pair()
    a.toward('request_handshake', b)
    b.toward('respond_handshake', a, { accept: true })
    b.toward('respond_handshake', a, { accept: false })
    expect(a.poll().responses).toEqual([
      { from_node_id: 2, accept: false, timestamp: START_SECONDS },
    ])
  })

  it('cut a justification at 1024 bytes, between characters', () => {
    const { a, b } = pair()
    a.toward('request_handshake', b, { justification: 'ä'.repeat(400) + '€'.repeat(400) })
    const [request] = b.poll().requests as { justification: string }[]
    expect(request!.justification).toBe('ä'.repeat(400) + '€'.repeat(74))
  })

  it('are delivered again until the connection they went to asks for something else (W23)', () => {
    const { bench, a, b } = pair()
    a.toward('request_handshake', b)
    const requests = (reply: RegistryMessage): number => (reply.requests as unknown[]).length
    expect(requests(b.poll())).toBe(1)
    b.connection = bench.connect('192.0.2.2', 50_001) // the answer was lost with its connection
    expect(requests(b.poll())).toBe(1)
    expect(b.heartbeat().type).toBe('heartbeat_ok')
    expect(requests(b.poll())).toBe(0)
  })

  it('take a new request while the delivered one is not acknowledged', () => {
    const { a, b } = pair()
    a.toward('request_handshake', b, { justification: '1' })
    b.poll()
    expect(a.toward('request_handshake', b, { justification: '2' }).type).toBe(
      'request_handshake_ok',
    )
    expect(b.poll().requests).toMatchObject([{ justification: '2' }])
  })

  it('are handed out in answers below 256 KiB, all of it in the end', () => {
    const bench = new RegistryBench({ limits: { registrationsPerMinute: 1000 } })
    const target = bench.node('target')
    for (let i = 0; i < 100; i++)
      bench
        .node(`n${i}`)
        .toward('request_handshake', target, { justification: '\u0001'.repeat(1024) })
    const seen = new Set<number>()
    let polls = 0
    for (;;) {
      const reply = target.poll()
      expect(Buffer.byteLength(JSON.stringify(reply))).toBeLessThan(256 * 1024)
      const requests = reply.requests as { from_node_id: number }[]
      if (requests.length === 0) break
      for (const { from_node_id } of requests) seen.add(from_node_id)
      polls++
    }
    expect(seen.size).toBe(100)
    expect(polls).toBeGreaterThan(1)
  })

  it('outlive a deregistration but not 7 days (W10)', () => {
    const { bench, a, b } = pair()
    a.toward('request_handshake', b)
    b.signed('deregister')
    bench.pass(6 * 86_400_000)
    b.register()
    expect(b.poll().requests).toHaveLength(1)
    bench.pass(86_400_000)
    b.register()
    expect(b.poll().requests).toHaveLength(0)
  })
})

it('addresses of a LAN are told to who has the same public address, or is trusted (05 §24 L23)', () => {
  const bench = new RegistryBench()
  const home = bench.node('home', { isPublic: true })
  home.register({ lan_addrs: ['192.168.1.5:4000'] })
  const neighbour = bench.node('neighbour')
  const stranger = bench.node('stranger', { address: '198.51.100.1' })
  const told = (node: typeof home): unknown => node.toward('resolve', home).lan_addrs
  expect(told(neighbour)).toEqual(['192.168.1.5:4000'])
  expect(told(stranger)).toBeUndefined()
  home.toward('report_trust', stranger)
  stranger.toward('report_trust', home)
  expect(told(stranger)).toEqual(['192.168.1.5:4000'])
})
