/** Nodes without UDP in virtual time: they send nothing but relays, and peers send them nothing else (spec/09). */
import { describe, expect, it } from 'vitest'
import type { Stream } from '../../core/index.ts'
import { RELAY_ENDPOINT } from '../../runtimes/shared/relay-socket.ts'
import type { LinkOptions } from './link.ts'
import { NodeHost, type NodeHostOptions, RendezvousHost } from './node-host.ts'
import { RelayedHost } from './relayed-host.ts'
import { World } from './world.ts'

const ECHO = 7
const RELAY = 0x05

type Kind = 'udp' | 'relayed'

/** Takes a host off the network, as when its process is killed. */
const leave = new WeakMap<NodeHost, () => void>()

function host(kind: Kind, options: NodeHostOptions): NodeHost {
  const made = kind === 'udp' ? new NodeHost(options) : new RelayedHost(options)
  made.machine.listen(ECHO)
  leave.set(made, options.world.add(made).detach)
  return made
}

interface Story {
  readonly world: World
  readonly rendezvous: RendezvousHost
  readonly a: NodeHost
  readonly b: NodeHost
}

function story(kinds: readonly [Kind, Kind], link: LinkOptions = {}, seed = 1): Story {
  const world = new World({ seed, link })
  const rendezvous = new RendezvousHost(world)
  world.add(rendezvous)
  const shared = { world, rendezvous }
  const endpoint = (last: number) => ({ address: `203.0.113.${last}`, port: 4000 })
  const a = host(kinds[0], { ...shared, endpoint: endpoint(10), name: 'a' })
  const b = host(kinds[1], { ...shared, endpoint: endpoint(20), name: 'b' })
  const isReady = (): boolean => a.machine.isRegistered && b.machine.isRegistered
  expect(world.runUntilTrue(isReady, 20_000)).toBe(true)
  return { world, rendezvous, a, b }
}

/** A stream to the other's echo; `received` grows as the world runs. */
function open(world: World, from: NodeHost, to: NodeHost) {
  const stream = from.machine.dial({ network: 0, node: to.machine.nodeId }, ECHO, world.now)
  const state = { stream, received: 0, toSend: 0 }
  const serve = from.onStream
  from.onStream = (other: Stream, now) => {
    if (other !== stream) return serve(other, now)
    for (
      let got = from.machine.read(stream, now);
      got !== undefined;
      got = from.machine.read(stream, now)
    )
      state.received += got.length
    while (state.toSend > 0) {
      const taken = from.machine.write(stream, new Uint8Array(Math.min(state.toSend, 8192)), now)
      if (taken === 0) break
      state.toSend -= taken
    }
  }
  return {
    /** Until so many bytes have come back; the milliseconds it took. */
    echo(bytes: number, limitMs: number): number {
      const started = world.now
      const wanted = state.received + bytes
      state.toSend += bytes
      from.onStream(stream, world.now)
      world.touch(from)
      world.check(() => {
        expect(world.runUntilTrue(() => state.received >= wanted, started + limitMs)).toBe(true)
        expect(stream.connection.failure).toBeUndefined()
      })
      return world.now - started
    },
  }
}

function expectRelayedOnly(...hosts: readonly NodeHost[]): void {
  for (const one of hosts)
    if (one instanceof RelayedHost) {
      expect(one.strays).toEqual([])
      expect([...one.types]).toEqual([RELAY])
    }
}

describe.each<[Kind, Kind]>([
  ['relayed', 'relayed'],
  ['relayed', 'udp'],
  ['udp', 'relayed'],
])('%s to %s', (from, to) => {
  it('echoes, by relay alone, without a punch', () => {
    const { world, rendezvous, a, b } = story([from, to], { latencyMs: 20 })
    const stream = open(world, a, b)
    // The registry's answer, the tunnel's keys, SYN, data: a handful of round trips.
    expect(stream.echo(1, 3000)).toBeLessThan(1000)
    stream.echo(200_000, 30_000)
    expectRelayedOnly(a, b)
    expect(rendezvous.beacon.counters.punches).toBe(0)
    for (const [one, other] of [
      [a, b],
      [b, a],
    ] as const) {
      const peer = one.machine.peers.get(other.machine.nodeId)!
      expect(peer.paths.kind).toBe('relay')
      expect(peer.paths.endpoint).toBeUndefined()
    }
  })

  it('stays so for an hour of use, and nothing is sent beside the relay', () => {
    const { world, a, b } = story([from, to], { latencyMs: 20 })
    const stream = open(world, a, b)
    for (let minute = 0; minute < 60; minute++) {
      stream.echo(100, 20_000)
      world.runUntil(world.now + 60_000)
    }
    expectRelayedOnly(a, b)
    expect(a.machine.peers.get(b.machine.nodeId)!.paths.kind).toBe('relay')
  })

  it('loses datagrams on the UDP side and no bytes', () => {
    for (let seed = 1; seed <= 5; seed++) {
      const { world, a, b } = story([from, to], { latencyMs: 20, loss: 0.05 }, seed)
      open(world, a, b).echo(100_000, 120_000)
    }
  })

  it('goes on when the rendezvous comes back', () => {
    const { world, rendezvous, a, b } = story([from, to], { latencyMs: 20 })
    const stream = open(world, a, b)
    stream.echo(1000, 5000)
    rendezvous.isListening = false
    rendezvous.restart()
    world.at(world.now + 5000, () => {
      rendezvous.isListening = true
    })
    expect(stream.echo(1000, 60_000)).toBeLessThan(20_000)
    expectRelayedOnly(a, b)
  })
})

it('a peer that restarted is reached long before its old keys would be given up', () => {
  const { world, rendezvous, a, b } = story(['relayed', 'udp'], { latencyMs: 20 })
  open(world, a, b).echo(1000, 5000)
  leave.get(b)!()
  const { identity, trustStore } = b
  const endpoint = { address: '203.0.113.30', port: 4000 }
  const again = host('udp', { world, rendezvous, endpoint, name: 'b', identity, trustStore })
  const isReady = (): boolean => again.machine.isRegistered
  world.check(() => expect(world.runUntilTrue(isReady, world.now + 20_000)).toBe(true))
  // A SYN in vain, new keys (for which the registry is asked for ours), and the SYN again after a second.
  expect(open(world, a, again).echo(1000, 10_000)).toBeLessThan(2000)
})

it('a peer that was direct and now has no UDP is relayed to', () => {
  const { world, rendezvous, a, b } = story(['udp', 'udp'], { latencyMs: 20 })
  open(world, a, b).echo(1000, 5000)
  const peer = () => a.machine.peers.get(b.machine.nodeId)!
  expect(peer().paths.kind).toBe('direct')
  // The process ends without a word and another begins behind a firewall.
  const { identity, trustStore } = b
  const later = host('relayed', {
    world,
    rendezvous,
    endpoint: { address: '203.0.113.30', port: 4000 },
    name: 'b',
    identity,
    trustStore,
  })
  leave.get(b)!()
  world.runUntil(world.now + 100_000)
  expect(later.machine.nodeId).toBe(b.machine.nodeId)
  open(world, a, later).echo(1000, 30_000)
  const { isRelayOnly, kind, endpoint } = peer().paths
  expect({ isRelayOnly, kind, endpoint }).toEqual({
    isRelayOnly: true,
    kind: 'relay',
    endpoint: undefined,
  })
})

it('what a relay that is full has no room for waits in the node, and nothing is lost', () => {
  const { world, a, b } = story(['relayed', 'udp'])
  const stream = open(world, a, b)
  stream.echo(1000, 10_000)
  const relayed = a as RelayedHost
  a.machine.paths.setPaused(RELAY_ENDPOINT, true)
  const before = relayed.sent
  const written = a.machine.dial({ network: 0, node: b.machine.nodeId }, ECHO, world.now)
  world.touch(a)
  world.runUntil(world.now + 300)
  expect(relayed.sent).toBe(before)
  expect(written.connection.state).toBe('SYN_SENT')
  a.machine.paths.setPaused(RELAY_ENDPOINT, false)
  world.touch(a)
  stream.echo(200_000, 10_000)
  expect(written.connection.state).toBe('ESTABLISHED')
})
