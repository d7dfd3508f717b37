/** Two nodes and a rendezvous: the story on bad networks, in virtual time. */
import { describe, expect, it } from 'vitest'
import { type Endpoint, formatEndpoint, Identity, type Stream, toBase64 } from '../../core/index.ts'
import { rotateKeyChallenge } from '../../core/wire/registry-challenge.ts'
import { nodeCrypto } from '../../runtimes/node/crypto.ts'
import type { LinkOptions } from './link.ts'
import { NodeHost, RendezvousHost, serveEcho } from './node-host.ts'
import { World } from './world.ts'

const ECHO = 7
const A: Endpoint = { address: '203.0.113.10', port: 4000 }
const B: Endpoint = { address: '203.0.113.20', port: 4000 }

interface Story {
  readonly world: World
  readonly rendezvous: RendezvousHost
  readonly a: NodeHost
  readonly b: NodeHost
}

function story(seed: number, link: LinkOptions = {}, isPublic = true): Story {
  const world = new World({ seed, link })
  const rendezvous = new RendezvousHost(world)
  world.add(rendezvous)
  const a = new NodeHost({ world, rendezvous, endpoint: A, name: 'a', isPublic })
  const b = new NodeHost({ world, rendezvous, endpoint: B, name: 'b', isPublic })
  for (const host of [a, b]) {
    host.machine.listen(ECHO)
    world.add(host)
  }
  start(world, [a, b])
  return { world, rendezvous, a, b }
}

function start(world: World, hosts: readonly NodeHost[]): void {
  const isReady = (): boolean => hosts.every((host) => host.machine.isRegistered)
  world.check(() => expect(world.runUntilTrue(isReady, world.now + 20_000)).toBe(true))
}

function payload(bytes: number): Uint8Array {
  return Uint8Array.from({ length: bytes }, (_, i) => (i * 31 + (i >> 8)) & 255)
}

/** Dials b's echo from a, sends `data`, and returns what has come back, growing as the world runs. */
function echo(world: World, from: NodeHost, nodeId: number, data: Uint8Array) {
  const stream = from.machine.dial({ network: 0, node: nodeId }, ECHO, world.now)
  const back = new Uint8Array(data.length + 1)
  const state = { stream, received: 0, sent: 0, isDone: false, isClosed: false, back }
  const serve = from.onStream
  from.onStream = (other: Stream, now) => {
    if (other !== stream) return serve(other, now)
    for (
      let chunk = from.machine.read(stream, now);
      chunk !== undefined;
      chunk = from.machine.read(stream, now)
    ) {
      back.set(chunk, state.received)
      state.received += chunk.length
    }
    while (state.sent < data.length) {
      const taken = from.machine.write(stream, data.subarray(state.sent, state.sent + 16_384), now)
      if (taken === 0) break
      state.sent += taken
    }
    if (state.received === data.length && !state.isDone) {
      state.isDone = true
      from.machine.closeStream(stream, now)
    }
    if (stream.news.isClosed) state.isClosed = true
  }
  from.onStream(stream, world.now)
  world.touch(from)
  return state
}

function expectEcho(
  world: World,
  from: NodeHost,
  nodeId: number,
  bytes: number,
  limitMs: number,
): number {
  const data = payload(bytes)
  const started = world.now
  const state = echo(world, from, nodeId, data)
  world.check(() => {
    expect(world.runUntilTrue(() => state.isDone || state.isClosed, started + limitMs)).toBe(true)
    expect(state.stream.connection.failure).toBeUndefined()
    expect(state.back.subarray(0, state.received)).toEqual(data)
  })
  return world.now - started
}

describe('two public nodes', () => {
  it('reach each other directly, in few round trips', () => {
    const { world, a, b } = story(1, { latencyMs: 20 })
    // A round trip is 80 ms: the registry (40 each) on either side, keys, SYN, data.
    expect(expectEcho(world, a, b.machine.nodeId, 100, 5000)).toBeLessThanOrEqual(320)
    expect(a.machine.peers.get(b.machine.nodeId)?.paths.kind).toBe('direct')
    expect(expectEcho(world, a, b.machine.nodeId, 100, 5000)).toBeLessThanOrEqual(170)
  })

  it('count the bytes of their tunnel', () => {
    const { world, a, b } = story(1, { latencyMs: 20 })
    expectEcho(world, a, b.machine.nodeId, 20_000, 5000)
    world.runUntilTrue(() => false, world.now + 100) // what is on the way arrives
    const ofB = a.machine.peers.get(b.machine.nodeId)!
    const ofA = b.machine.peers.get(a.machine.nodeId)!
    expect(ofB.bytesSent).toBeGreaterThan(20_000)
    expect(ofB.bytesSent).toBeLessThan(40_000)
    // Key exchanges and relay headers are sent too; what opened is the rest.
    expect(ofA.bytesReceived).toBeGreaterThan(20_000)
    expect(ofA.bytesReceived).toBeLessThanOrEqual(ofB.bytesSent)
    expect(ofB.bytesReceived).toBeLessThanOrEqual(ofA.bytesSent)
  })

  it.each([1, 2, 3, 4, 5, 6])('lose nothing on a bad link, seed %i', (seed) => {
    const link = {
      latencyMs: 15,
      jitterMs: 5,
      loss: 0.05,
      duplicate: 0.05,
      reorder: 0.05,
      reorderMs: 30,
    }
    const { world, a, b } = story(seed, link)
    expectEcho(world, a, b.machine.nodeId, 200_000, 120_000)
    expectEcho(world, b, a.machine.nodeId, 50_000, 120_000)
  })

  it('make the same transcript from the same seed', () => {
    const run = (): string => {
      const { world, a, b } = story(9, { latencyMs: 10, loss: 0.1, jitterMs: 3 })
      expectEcho(world, a, b.machine.nodeId, 20_000, 60_000)
      return world.transcript.join('\n')
    }
    expect(run()).toBe(run())
  })

  it('fall back to the relay when the direct path dies mid-stream, and come back, without losing a byte', () => {
    const { world, a, b } = story(3, { latencyMs: 10, rateBytesPerMs: 500 })
    expectEcho(world, a, b.machine.nodeId, 100, 5000)
    let isCut = false
    // A firewall between the two, which lets the beacon through.
    for (const [host, other] of [
      [a, B],
      [b, A],
    ] as const) {
      const handle = host.handleDatagram.bind(host)
      host.handleDatagram = (datagram, from, now) => {
        if (isCut && from.address === other.address) return
        handle(datagram, from, now)
      }
    }
    const data = payload(3_000_000)
    const state = echo(world, a, b.machine.nodeId, data)
    world.runUntil(world.now + 1000)
    expect(state.received).toBeGreaterThan(0)
    isCut = true
    const before = state.received
    const cutAt = world.now
    world.check(() => {
      expect(world.runUntilTrue(() => state.received > before + 100_000, cutAt + 20_000)).toBe(true)
    })
    expect(world.now - cutAt).toBeLessThan(4000)
    world.runUntilTrue(
      () => a.machine.peers.get(b.machine.nodeId)?.paths.kind === 'relay',
      cutAt + 10_000,
    )
    expect(a.machine.peers.get(b.machine.nodeId)?.paths.kind).toBe('relay')
    isCut = false
    world.check(() => {
      expect(world.runUntilTrue(() => state.isDone, cutAt + 120_000)).toBe(true)
      expect(state.back.subarray(0, state.received)).toEqual(data)
    })
    world.runUntil(world.now + 20_000)
    expectEcho(world, a, b.machine.nodeId, 100, 5000)
    expect(a.machine.peers.get(b.machine.nodeId)?.paths.kind).toBe('direct')
  })

  it('leave a direct path on which only the way back works', () => {
    const { world, a, b } = story(8, { latencyMs: 10 })
    expectEcho(world, a, b.machine.nodeId, 1000, 5000)
    expect(a.machine.peers.get(b.machine.nodeId)?.paths.kind).toBe('direct')
    const poll = a.pollTransmit.bind(a)
    a.pollTransmit = (now) => {
      for (;;) {
        const transmit = poll(now)
        if (transmit?.to.address !== B.address) return transmit
      }
    }
    // The other one keeps talking directly, and is heard.
    const pings = (): void => {
      b.machine.ping(a.machine.nodeId, world.now)
      world.touch(b)
      world.at(world.now + 200, pings)
    }
    pings()
    expectEcho(world, a, b.machine.nodeId, 100_000, 8000)
  })

  it('find each other again after one restarted elsewhere with the same identity', () => {
    const { world, rendezvous, a, b } = story(4, { latencyMs: 10 })
    expectEcho(world, a, b.machine.nodeId, 100, 5000)
    const id = b.machine.nodeId
    b.handleDatagram = () => {}
    const again = new NodeHost({
      world,
      rendezvous,
      endpoint: { ...B, port: 4321 },
      name: 'b',
      identity: b.identity,
    })
    again.machine.listen(ECHO)
    world.add(again)
    start(world, [again])
    expect(again.machine.nodeId).toBe(id)
    expectEcho(world, a, id, 100, 15_000)
  })

  it('are heard from the restarted side at once', () => {
    const { world, rendezvous, a, b } = story(5, { latencyMs: 10 })
    expectEcho(world, a, b.machine.nodeId, 100, 5000)
    b.handleDatagram = () => {}
    const again = new NodeHost({
      world,
      rendezvous,
      endpoint: { ...B, port: 4321 },
      name: 'b',
      identity: b.identity,
    })
    world.add(again)
    start(world, [again])
    expectEcho(world, again, a.machine.nodeId, 100, 3000)
  })

  it('survive a restart of the rendezvous with nothing lost', () => {
    const { world, rendezvous, a, b } = story(6, { latencyMs: 10 })
    expectEcho(world, a, b.machine.nodeId, 100, 5000)
    rendezvous.restart()
    expectEcho(world, a, b.machine.nodeId, 100, 5000)
    world.runUntil(world.now + 60_000)
    expect(a.machine.isRegistered && b.machine.isRegistered).toBe(true)
    const c = new NodeHost({
      world,
      rendezvous,
      endpoint: { address: '203.0.113.30', port: 1 },
      name: 'c',
    })
    world.add(c)
    start(world, [c])
    expectEcho(world, c, b.machine.nodeId, 1000, 5000)
  })

  it('register again when the registry lost its memory', () => {
    const { world, rendezvous, a } = story(7, { latencyMs: 10 })
    const nodeId = a.machine.nodeId
    rendezvous.registry.desk.nodes.remove(rendezvous.registry.desk.nodes.live(nodeId)!)
    world.runUntil(world.now + 45_000)
    expect(rendezvous.registry.desk.nodes.live(nodeId)).toBeDefined()
  })
})

describe('private nodes', () => {
  it('are refused without trust, trusted by request and approval, and then reach each other', () => {
    const { world, a, b } = story(11, { latencyMs: 10 }, false)
    const id = b.machine.nodeId
    const refused = a.machine.dial({ network: 0, node: id }, ECHO, world.now)
    world.touch(a)
    world.runUntilTrue(() => refused.news.isClosed || refused.error !== undefined, world.now + 5000)
    expect(refused.error?.code).toBe('ERR_PEER_UNRESOLVED')
    a.machine.requestTrust(id, 'hello', world.now)
    world.touch(a)
    expect(
      world.runUntilTrue(() => b.machine.trust.store.pending().length > 0, world.now + 5000),
    ).toBe(true)
    b.machine.approveTrust(a.machine.nodeId, world.now)
    world.touch(b)
    expect(world.runUntilTrue(() => a.machine.trust.isTrusted(id), world.now + 5000)).toBe(true)
    expectEcho(world, a, id, 1000, 5000)
    const kinds = () => [
      a.machine.peers.get(id)?.paths.kind,
      b.machine.peers.get(a.machine.nodeId)?.paths.kind,
    ]
    world.runUntilTrue(() => kinds().every((kind) => kind === 'direct'), world.now + 5000)
    expect(kinds()).toEqual(['direct', 'direct'])
    b.machine.revokeTrust(a.machine.nodeId, world.now)
    world.touch(b)
    expect(world.runUntilTrue(() => !a.machine.trust.isTrusted(id), world.now + 5000)).toBe(true)
    world.runUntil(world.now + 130_000)
    const again = a.machine.dial({ network: 0, node: id }, ECHO, world.now)
    world.touch(a)
    world.runUntilTrue(() => again.connection.state === 'CLOSED', world.now + 30_000)
    expect(again.connection.state).toBe('CLOSED')
  })

  /** Trusted both ways; then a has another key, of which the registry hears as `tell` says, and begins anew. */
  function rotated(
    seed: number,
    tell: (a: NodeHost, next: Identity, rendezvous: RendezvousHost, now: number) => void,
  ) {
    const { world, rendezvous, a, b } = story(seed, { latencyMs: 10 }, false)
    a.machine.requestTrust(b.machine.nodeId, '', world.now)
    b.machine.requestTrust(a.machine.nodeId, '', world.now)
    for (const host of [a, b]) world.touch(host)
    const id = a.machine.nodeId
    const isTrusted = (): boolean =>
      b.machine.trust.isTrusted(id) && a.machine.trust.isTrusted(b.machine.nodeId)
    expect(world.runUntilTrue(isTrusted, world.now + 20_000)).toBe(true)
    expectEcho(world, a, b.machine.nodeId, 100, 10_000)
    const next = Identity.generate(nodeCrypto)
    tell(a, next, rendezvous, world.now)
    world.touch(a)
    world.runUntil(world.now + 500)
    a.handleDatagram = () => {}
    const { trustStore } = a
    const endpoint = { ...A, port: 4322 }
    const name = 'a2'
    const again = new NodeHost({ world, rendezvous, endpoint, name, identity: next, trustStore })
    again.machine.listen(ECHO)
    world.add(again)
    start(world, [again])
    expect(again.machine.nodeId).toBe(id)
    return { world, again, b, next }
  }
  const pinned = (host: NodeHost, nodeId: number) =>
    host.machine.trust.store.getTrusted(nodeId)?.publicKey

  it('trust each other on when one has rotated its key, whoever speaks first', () => {
    const ask = (a: NodeHost, next: Identity, _: RendezvousHost, now: number): void => {
      const text = rotateKeyChallenge(a.machine.nodeId, toBase64(next.publicKey))
      const proof = next.sign(text)
      a.machine.request(a.machine.requests.rotateKey(next.publicKey, true, proof), now)
    }
    for (const isRotatedFirst of [true, false]) {
      const { world, again, b, next } = rotated(14, ask)
      const id = again.machine.nodeId
      if (isRotatedFirst) expectEcho(world, again, b.machine.nodeId, 1000, 15_000)
      else expectEcho(world, b, id, 1000, 15_000)
      expect(pinned(b, id)).toBe(toBase64(next.publicKey))
      expect(b.events.map(({ type }) => type)).toContain('peer-key-rotated')
      expect(b.events.map(({ type }) => type)).not.toContain('peer-key-mismatch')
    }
  })

  it('refuse another key that the former one has not signed, whatever the registry says of it', () => {
    const lie = (a: NodeHost, next: Identity, { registry }: RendezvousHost): void => {
      const { nodes } = registry.desk
      const node = nodes.live(a.machine.nodeId)!
      const key = { text: toBase64(next.publicKey), bytes: next.publicKey }
      // As a change, but by the new key itself.
      const text = rotateKeyChallenge(node.id, key.text)
      const rotation = { publicKey: node.publicKey, signature: next.signBase64(text) }
      nodes.rekey(node, key, 1, [rotation])
    }
    const { world, again, b, next } = rotated(15, lie)
    const id = again.machine.nodeId
    const dialed = again.machine.dial({ network: 0, node: b.machine.nodeId }, ECHO, world.now)
    world.touch(again)
    world.runUntilTrue(() => dialed.connection.state === 'CLOSED', world.now + 30_000)
    expect(dialed.connection.state).toBe('CLOSED')
    expect(pinned(b, id)).not.toBe(toBase64(next.publicKey))
    expect(b.events.map(({ type }) => type)).toContain('peer-key-mismatch')
  })

  it('let nobody in whose trust they ended, though they dialed it and it has not heard', () => {
    const { world, a, b } = story(13, { latencyMs: 10 }, false)
    a.machine.requestTrust(b.machine.nodeId, '', world.now)
    b.machine.requestTrust(a.machine.nodeId, '', world.now)
    world.touch(a)
    world.touch(b)
    const isMutual = (): boolean =>
      a.machine.trust.isTrusted(b.machine.nodeId) && b.machine.trust.isTrusted(a.machine.nodeId)
    world.check(() => expect(world.runUntilTrue(isMutual, world.now + 20_000)).toBe(true))
    expectEcho(world, a, b.machine.nodeId, 100, 5000)
    expectEcho(world, b, a.machine.nodeId, 100, 5000)
    const handle = a.handleDatagram
    a.handleDatagram = () => {}
    b.machine.revokeTrust(a.machine.nodeId, world.now)
    world.touch(b)
    world.runUntil(world.now + 50)
    expect(a.machine.trust.isTrusted(b.machine.nodeId)).toBe(true)
    a.handleDatagram = handle
    const stream = a.machine.dial({ network: 0, node: b.machine.nodeId }, ECHO, world.now)
    world.touch(a)
    world.runUntilTrue(() => stream.connection.state !== 'SYN_SENT', world.now + 20_000)
    expect(stream.connection.state).toBe('CLOSED')
    world.runUntil(world.now + 20_000)
  })

  it('accept who asked directly and lets nobody in, by asking back through the registry', () => {
    const { world, rendezvous, a, b } = story(16, { latencyMs: 10 }, false)
    const { nodeId } = a.machine
    a.machine.requestTrust(b.machine.nodeId, '', world.now)
    world.touch(a)
    const isPending = (): boolean => b.machine.trust.store.pending().length > 0
    world.check(() => expect(world.runUntilTrue(isPending, world.now + 5000)).toBe(true))
    world.runUntil(world.now + 3000)
    // As if the request had come directly: the registry forgets that there was one; a takes no SYN of b.
    a.handleDatagram = () => {}
    rendezvous.registry.desk.inbox.sweep(rendezvous.time.unixSeconds + 8 * 86_400)
    b.machine.approveTrust(nodeId, world.now)
    world.touch(b)
    const isMutual = (): boolean =>
      a.machine.trust.isTrusted(b.machine.nodeId) && b.machine.trust.isTrusted(nodeId)
    world.check(() => expect(world.runUntilTrue(isMutual, world.now + 14_000)).toBe(true))
  })

  it('end with the streams between them, and may ask again at once', () => {
    const { world, a, b } = story(15, { latencyMs: 10 }, false)
    const id = b.machine.nodeId
    const meet = (): void => {
      a.machine.requestTrust(id, '', world.now)
      b.machine.requestTrust(a.machine.nodeId, '', world.now)
      world.touch(a)
      world.touch(b)
      const isMutual = (): boolean =>
        a.machine.trust.isTrusted(id) && b.machine.trust.isTrusted(a.machine.nodeId)
      world.check(() => expect(world.runUntilTrue(isMutual, world.now + 5000)).toBe(true))
    }
    meet()
    for (let i = 0; i < 5; i++) {
      const stream = a.machine.dial({ network: 0, node: id }, ECHO, world.now)
      world.touch(a)
      const { connection } = stream
      world.runUntilTrue(() => connection.state === 'ESTABLISHED', world.now + 5000)
      expect(connection.state).toBe('ESTABLISHED')
      const [from, to] = i % 2 === 0 ? [b, a] : [a, b]
      from.machine.revokeTrust(to.machine.nodeId, world.now)
      world.touch(from)
      const isOver = (): boolean => !to.machine.trust.isTrusted(from.machine.nodeId)
      world.check(() => expect(world.runUntilTrue(isOver, world.now + 500)).toBe(true))
      world.runUntil(world.now + 50)
      expect(connection.state).toBe('CLOSED')
      meet()
    }
  })

  it('are asked through the registry after 1.5 s when a private reference drops the direct request', () => {
    const { world, a, b } = story(14, { latencyMs: 10 }, false)
    a.machine.requestTrust(b.machine.nodeId, '', world.now)
    b.machine.requestTrust(a.machine.nodeId, '', world.now)
    world.touch(a)
    world.touch(b)
    const isMutual = (): boolean =>
      a.machine.trust.isTrusted(b.machine.nodeId) && b.machine.trust.isTrusted(a.machine.nodeId)
    world.check(() => expect(world.runUntilTrue(isMutual, world.now + 20_000)).toBe(true))
    expectEcho(world, a, b.machine.nodeId, 100, 5000)
    // b forgets a without a word, and from now on hears nothing but the registry.
    b.machine.trust.store.removeTrusted(a.machine.nodeId)
    b.handleDatagram = () => {}
    const asked = world.now
    a.machine.trust.store.removeTrusted(b.machine.nodeId)
    a.machine.requestTrust(b.machine.nodeId, '', world.now)
    world.touch(a)
    const outcome = () => a.events.findLast((event) => event.type === 'trust-outcome')
    const isRelayed = (): boolean => outcome()?.outcome === 'relayed'
    world.check(() => expect(world.runUntilTrue(isRelayed, world.now + 5000)).toBe(true))
    expect(world.now - asked).toBeLessThan(2000)
  })

  it('that ask each other at the same time are trusted without a question', () => {
    const { world, a, b } = story(12, { latencyMs: 30 }, false)
    a.machine.requestTrust(b.machine.nodeId, '', world.now)
    b.machine.requestTrust(a.machine.nodeId, '', world.now)
    world.touch(a)
    world.touch(b)
    const isMutual = (): boolean =>
      a.machine.trust.isTrusted(b.machine.nodeId) && b.machine.trust.isTrusted(a.machine.nodeId)
    expect(world.runUntilTrue(isMutual, world.now + 20_000)).toBe(true)
  })

  it('hear of requests through the registry when no path exists', () => {
    const { world, a, b } = story(13, {}, false)
    for (const host of [a, b]) {
      const handle = host.handleDatagram.bind(host)
      host.handleDatagram = (datagram, from, now) => {
        if (datagram[0] !== 6 && from.port === 9001) handle(datagram, from, now)
      }
    }
    a.machine.requestTrust(b.machine.nodeId, 'by letter', world.now)
    world.touch(a)
    expect(
      world.runUntilTrue(() => b.machine.trust.store.pending().length > 0, world.now + 15_000),
    ).toBe(true)
    b.machine.approveTrust(a.machine.nodeId, world.now)
    world.touch(b)
    expect(
      world.runUntilTrue(() => a.machine.trust.isTrusted(b.machine.nodeId), world.now + 15_000),
    ).toBe(true)
  })
})

describe('nodes whose signatures come later', () => {
  it('register, trust, talk, part and restart like any other', () => {
    const world = new World({ seed: 21, link: { latencyMs: 10 } })
    const rendezvous = new RendezvousHost(world)
    world.add(rendezvous)
    const leave = new Map<NodeHost, () => void>()
    const make = (name: string, endpoint: Endpoint, identity?: Identity): NodeHost => {
      const host = new NodeHost({
        world,
        rendezvous,
        endpoint,
        name,
        isPublic: false,
        signingMs: 40,
        ...(identity === undefined ? {} : { identity }),
      })
      host.machine.listen(ECHO)
      leave.set(host, world.add(host).detach)
      start(world, [host])
      return host
    }
    const [a, b] = [make('a', A), make('b', B)]
    const id = b.machine.nodeId
    a.machine.requestTrust(id, 'hello', world.now)
    world.touch(a)
    const isPending = (): boolean => b.machine.trust.store.pending().length > 0
    world.check(() => expect(world.runUntilTrue(isPending, world.now + 5000)).toBe(true))
    b.machine.approveTrust(a.machine.nodeId, world.now)
    world.touch(b)
    const isTrusted = (): boolean => a.machine.trust.isTrusted(id)
    world.check(() => expect(world.runUntilTrue(isTrusted, world.now + 5000)).toBe(true))
    expectEcho(world, a, id, 100_000, 5000)
    leave.get(b)!()
    const again = make('b', { ...B, port: 4321 }, b.identity)
    expect(again.machine.nodeId).toBe(id)
    again.trustStore.trust(b.trustStore.trusted()[0]!)
    expectEcho(world, a, id, 1000, 10_000)
  })

  it('count what could not be signed, and go on', () => {
    const { world, a, b } = story(22, { latencyMs: 10 })
    expect(a.machine.drops.unsigned).toBeUndefined()
    a.machine.handleSignature(4711, undefined, world.now)
    expect(a.machine.drops.unsigned).toBe(1)
    expectEcho(world, a, b.machine.nodeId, 100, 5000)
  })
})

describe('behind NATs', () => {
  const inside = (last: number): Endpoint => ({ address: `10.0.${last}.2`, port: 5000 })

  function natted(
    seed: number,
    kinds: readonly ['cone' | 'symmetric', 'cone' | 'symmetric'],
    timeoutMs = 30_000,
  ) {
    const world = new World({ seed, link: { latencyMs: 15 } })
    const rendezvous = new RendezvousHost(world)
    world.add(rendezvous)
    const [a, b] = kinds.map((kind, i) => {
      const publicAddress = `192.0.2.${10 + i}`
      const mapping = kind === 'cone' ? 'endpoint-independent' : 'address-and-port-dependent'
      const nat = world.nat({ publicAddress, mapping, timeoutMs })
      const host = new NodeHost({
        world,
        rendezvous,
        endpoint: inside(i),
        publicAddress,
        name: `n${i}`,
      })
      host.machine.listen(ECHO)
      world.add(host, { nat })
      return { host, nat }
    }) as [
      { host: NodeHost; nat: ReturnType<World['nat']> },
      { host: NodeHost; nat: ReturnType<World['nat']> },
    ]
    start(world, [a.host, b.host])
    world.runUntil(world.now + 1500)
    return { world, a, b }
  }

  it('with endpoint-independent mappings they punch through, and keepalives hold the mapping', () => {
    const { world, a, b } = natted(21, ['cone', 'cone'])
    expectEcho(world, a.host, b.host.machine.nodeId, 10_000, 10_000)
    expect(a.host.machine.peers.get(b.host.machine.nodeId)?.paths.kind).toBe('direct')
    world.runUntil(world.now + 120_000)
    expect(expectEcho(world, a.host, b.host.machine.nodeId, 100, 10_000)).toBeLessThan(400)
    expect(a.host.machine.peers.get(b.host.machine.nodeId)?.paths.kind).toBe('direct')
  })

  it('between two symmetric ones the relay carries them', () => {
    const { world, a, b } = natted(22, ['symmetric', 'symmetric'])
    expectEcho(world, a.host, b.host.machine.nodeId, 10_000, 10_000)
    expect(a.host.machine.peers.get(b.host.machine.nodeId)?.paths.kind).toBe('relay')
  })

  /** Two nodes behind one NAT without hairpinning, as most are; `lan` is what they tell of themselves. */
  function neighbours(seed: number, lan: (own: Endpoint) => readonly string[]) {
    const world = new World({ seed, link: { latencyMs: 15 } })
    const rendezvous = new RendezvousHost(world)
    world.add(rendezvous)
    const publicAddress = '192.0.2.30'
    const nat = world.nat({ publicAddress })
    const hosts = [2, 3].map((last) => {
      const endpoint = { address: `192.168.7.${last}`, port: 5000 }
      const machine = { lanAddresses: () => lan(endpoint) }
      const name = `lan${last}`
      const host = new NodeHost({ world, rendezvous, endpoint, publicAddress, name, machine })
      host.machine.listen(ECHO)
      world.add(host, { nat })
      return host
    }) as [NodeHost, NodeHost]
    start(world, hosts)
    world.runUntil(world.now + 1500)
    return { world, hosts, nat }
  }
  const pathTo = (from: NodeHost, to: NodeHost) => from.machine.peers.get(to.machine.nodeId)?.paths

  it('behind the same one they find each other inside of it', () => {
    const { world, hosts } = neighbours(24, (own) => [formatEndpoint(own)])
    const [a, b] = hosts
    expectEcho(world, a, b.machine.nodeId, 10_000, 10_000)
    expect(pathTo(a, b)).toMatchObject({ kind: 'direct', endpoint: b.endpoint })
    expect(pathTo(b, a)).toMatchObject({ kind: 'direct', endpoint: a.endpoint })
    // No round trip leaves the LAN, which has no delay in this world.
    expect(expectEcho(world, a, b.machine.nodeId, 10_000, 10_000)).toBeLessThan(20)
  })

  it('behind the same one they are relayed where the addresses that they tell are those of others', () => {
    let reached = 0
    const { world, hosts, nat } = neighbours(25, ({ address }) => [
      `192.168.7.9${address.at(-1)}:5000`,
      '127.0.0.1:9',
      '8.8.8.8:53',
    ])
    const stranger = {
      endpoint: { address: '192.168.7.93', port: 5000 },
      handleDatagram: (_: Uint8Array, from: Endpoint) => {
        if (from.address.startsWith('192.168.')) reached++
      },
      handleTimeout: () => {},
      pollTimeout: () => undefined,
      pollTransmit: () => undefined,
    }
    world.add(stranger, { nat })
    const [a, b] = hosts
    const data = payload(10_000)
    const state = echo(world, a, b.machine.nodeId, data)
    world.check(() => {
      expect(world.runUntilTrue(() => state.isDone, world.now + 10_000)).toBe(true)
    })
    expect(pathTo(a, b)?.kind).toBe('relay')
    expect(reached).toBeGreaterThan(0)
    expect(world.transcript.filter((line) => /> (8\.8\.8\.8|127\.)/.test(line))).toEqual([])
  })

  it('are looked for at once when somebody asks for a direct path', () => {
    const { world, a, b } = natted(27, ['cone', 'cone'])
    const { machine } = a.host
    expect(() => machine.seekDirect(machine.nodeId, world.now)).toThrow('self')
    machine.seekDirect(b.host.machine.nodeId, world.now)
    world.touch(a.host)
    const paths = () => machine.peers.get(b.host.machine.nodeId)?.paths
    world.check(() => {
      expect(world.runUntilTrue(() => paths()?.kind === 'direct', world.now + 5000)).toBe(true)
    })
    // What works is left alone: nothing is sent.
    const { datagramsSent } = machine
    machine.seekDirect(b.host.machine.nodeId, world.now)
    world.touch(a.host)
    expect(machine.datagramsSent).toBe(datagramsSent)
  })

  it('take the relay, and each other again, when the LAN between them is cut and mended', () => {
    const { world, hosts } = neighbours(26, (own) => [formatEndpoint(own)])
    const [a, b] = hosts
    expectEcho(world, a, b.machine.nodeId, 1000, 10_000)
    expect(pathTo(a, b)?.kind).toBe('direct')
    let isCut = true
    for (const host of hosts) {
      const handle = host.handleDatagram.bind(host)
      host.handleDatagram = (datagram, from, now) => {
        if (!isCut || !from.address.startsWith('192.168.')) handle(datagram, from, now)
      }
    }
    expectEcho(world, a, b.machine.nodeId, 100_000, 30_000)
    world.runUntilTrue(() => pathTo(a, b)?.kind === 'relay', world.now + 10_000)
    expect(pathTo(a, b)?.kind).toBe('relay')
    isCut = false
    expectEcho(world, a, b.machine.nodeId, 100, 10_000)
    world.runUntil(world.now + 15_000)
    expectEcho(world, a, b.machine.nodeId, 100, 10_000)
    expect(pathTo(a, b)).toMatchObject({ kind: 'direct', endpoint: b.endpoint })
  })

  it('a rebinding mid-stream loses nothing', () => {
    const { world, a, b } = natted(23, ['cone', 'cone'])
    expectEcho(world, a.host, b.host.machine.nodeId, 1000, 10_000)
    const data = payload(500_000)
    const state = echo(world, a.host, b.host.machine.nodeId, data)
    world.runUntil(world.now + 300)
    a.nat.rebind()
    world.check(() => {
      expect(world.runUntilTrue(() => state.isDone, world.now + 60_000)).toBe(true)
      expect(state.back.subarray(0, state.received)).toEqual(data)
    })
  })
})

it('holds nothing after ten thousand connections', { timeout: 120_000 }, () => {
  const { world, a, b } = story(31, {})
  // Strangers may open ten streams a second, friends as many as they like.
  for (const [host, other] of [
    [a, b],
    [b, a],
  ] as const) {
    host.machine.requestTrust(other.machine.nodeId, '', world.now)
    world.touch(host)
  }
  world.runUntilTrue(() => b.machine.trust.isTrusted(a.machine.nodeId), world.now + 20_000)
  expectEcho(world, a, b.machine.nodeId, 10, 5000)
  const opened: Stream[] = []
  a.onStream = (stream, now) => {
    if (stream.connection.state === 'ESTABLISHED') a.machine.closeStream(stream, now)
  }
  b.onStream = (stream, now) => serveEcho(b.machine, stream, now)
  b.machine.listen(99)
  for (let i = 0; i < 10_000; i++) {
    opened.push(a.machine.dial({ network: 0, node: b.machine.nodeId }, 99, world.now))
    world.touch(a)
    world.runUntil(world.now + 12)
  }
  world.runUntil(world.now + 60_000)
  for (const { machine } of [a, b]) {
    expect(machine.peers.size).toBe(1)
    for (const peer of machine.peers.values()) expect(peer.streams.size).toBe(0)
    expect(machine.heldTimers).toBeLessThanOrEqual(2)
    expect(machine.ports.connections(99)).toBe(0)
  }
  expect(opened.every((stream) => stream.connection.failure === undefined)).toBe(true)
})
