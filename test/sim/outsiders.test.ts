/** Who is neither the beacon nor a keyed peer moves nothing at a node (spec/01 §12, spec/02 §9). */
import { beforeEach, describe, expect, it } from 'vitest'
import {
  type Endpoint,
  encodeBeaconMessage,
  encodeKeyExchangeFrame,
  formatEndpoint,
  Identity,
  keyExchangeSigningBytes,
} from '../../core/index.ts'
import { crypto } from '../support.ts'
import { BEACON, NodeHost, RendezvousHost } from './node-host.ts'
import { World } from './world.ts'

const A: Endpoint = { address: '203.0.113.10', port: 4000 }
const B: Endpoint = { address: '203.0.113.20', port: 4000 }
const OUTSIDE: Endpoint = { address: '198.51.100.66', port: 666 }
const VICTIM: Endpoint = { address: '198.51.100.77', port: 53 }

let world: World
let rendezvous: RendezvousHost
let a: NodeHost
let b: NodeHost

beforeEach(() => {
  world = new World({ seed: 4, link: { latencyMs: 10 } })
  rendezvous = new RendezvousHost(world)
  world.add(rendezvous)
  a = new NodeHost({ world, rendezvous, endpoint: A, name: 'a' })
  b = new NodeHost({ world, rendezvous, endpoint: B, name: 'b' })
  for (const host of [a, b]) {
    host.machine.listen(7)
    world.add(host)
  }
  const isReady = (): boolean => [a, b].every((host) => host.machine.isRegistered)
  world.check(() => expect(world.runUntilTrue(isReady, 20_000)).toBe(true))
})

function meet(): void {
  const stream = a.machine.dial({ network: 0, node: b.machine.nodeId }, 7, world.now)
  world.touch(a)
  const isOpen = (): boolean => stream.connection.state === 'ESTABLISHED'
  world.check(() => expect(world.runUntilTrue(isOpen, world.now + 10_000)).toBe(true))
}

/** As if it had come from outside. */
function tell(datagram: Uint8Array, from: Endpoint = OUTSIDE): void {
  a.handleDatagram(datagram, from, world.now)
  world.touch(a)
  world.runUntil(world.now + 2000)
}

describe('a beacon message from anywhere else', () => {
  it('relayed: leaves the path to a peer as it is', () => {
    meet()
    const path = () => a.machine.peers.get(b.machine.nodeId)?.paths
    expect(path()).toMatchObject({ kind: 'direct', endpoint: B })
    const frame = Buffer.from('PILP')
    tell(encodeBeaconMessage({ type: 'relay-deliver', senderId: b.machine.nodeId, frame }))
    expect(a.machine.drops['beacon-stranger']).toBe(1)
    expect(path()).toMatchObject({ kind: 'direct', endpoint: B })
    expect(a.machine.peers.size).toBe(1)
  })

  it('relayed from nobody known: makes no peer', () => {
    tell(
      encodeBeaconMessage({
        type: 'relay-deliver',
        senderId: b.machine.nodeId,
        frame: Buffer.from('PILP'),
      }),
    )
    expect(a.machine.peers.size).toBe(0)
  })

  it('a punch command: sends nothing to the address that it names', () => {
    tell(encodeBeaconMessage({ type: 'punch-command', endpoint: VICTIM }))
    expect(world.transcript.filter((line) => line.includes(formatEndpoint(VICTIM)))).toEqual([])
    expect(a.machine.drops['beacon-stranger']).toBe(1)
  })

  it('a discover reply: does not change where the node says that it is', () => {
    const before = a.machine.endpoint
    tell(encodeBeaconMessage({ type: 'discover-reply', endpoint: VICTIM }))
    expect(a.machine.endpoint).toEqual(before)
  })
})

it('a discover reply that nobody asked for changes nothing, though it seems to come from the beacon', () => {
  const before = a.machine.endpoint
  tell(encodeBeaconMessage({ type: 'discover-reply', endpoint: VICTIM }), BEACON)
  expect(a.machine.endpoint).toEqual(before)
})

it('key exchanges under a thousand ids make no peers, and few questions to the registry', () => {
  const identity = Identity.generate(crypto)
  const publicKey = crypto.x25519PublicKey(crypto.random(32))
  let lookups = 0
  const { registry } = rendezvous
  const handle = registry.handle.bind(registry)
  registry.handle = (message, ...rest) => {
    if (message.type === 'lookup') lookups++
    return handle(message, ...rest)
  }
  for (let sender = 100_000; sender < 101_000; sender++) {
    const signature = identity.sign(keyExchangeSigningBytes(sender, publicKey))
    a.handleDatagram(
      encodeKeyExchangeFrame({ sender, publicKey, identityKey: identity.publicKey, signature }),
      { address: `198.51.${(sender >> 8) & 255}.${sender & 255}`, port: 1000 },
      world.now,
    )
  }
  world.touch(a)
  world.runUntil(world.now + 5000)
  expect(a.machine.peers.size).toBe(0)
  expect(a.machine.drops['key-exchange-rate']).toBeGreaterThan(700)
  expect(lookups).toBeLessThan(300)
})
