/** A peer that was forgotten gets another key: the reference answers no key it knows (spec/01 §7.1). */
import { expect, it } from 'vitest'
import { classifyFrame, decodeKeyExchangeFrame, type Endpoint } from '../../../core/index.ts'
import { NodeHost, RendezvousHost } from '../../sim/node-host.ts'
import { World } from '../../sim/world.ts'

const A: Endpoint = { address: '203.0.113.10', port: 4000 }
const B: Endpoint = { address: '203.0.113.20', port: 4000 }
const ECHO = 7

it('announces a fresh key after a revocation dropped the tunnel, and the same before', () => {
  const world = new World({ seed: 1, link: { latencyMs: 10 } })
  const rendezvous = new RendezvousHost(world)
  world.add(rendezvous)
  const a = new NodeHost({ world, rendezvous, endpoint: A, name: 'a', isPublic: true })
  const b = new NodeHost({ world, rendezvous, endpoint: B, name: 'b', isPublic: true })
  const announced: string[] = []
  const handle = b.handleDatagram.bind(b)
  b.handleDatagram = (datagram, from, now) => {
    if (from.port === A.port && classifyFrame(datagram) === 'key-exchange')
      announced.push(Buffer.from(decodeKeyExchangeFrame(datagram).publicKey).toString('hex'))
    handle(datagram, from, now)
  }
  for (const host of [a, b]) {
    host.machine.listen(ECHO)
    world.add(host)
  }
  const until = (isTrue: () => boolean): void =>
    world.check(() => expect(world.runUntilTrue(isTrue, world.now + 20_000)).toBe(true))
  const dial = (): void => {
    const stream = a.machine.dial({ network: 0, node: b.machine.nodeId }, ECHO, world.now)
    world.touch(a)
    until(() => stream.connection.state === 'ESTABLISHED')
    a.machine.closeStream(stream, world.now)
    world.touch(a)
  }
  until(() => a.machine.isRegistered && b.machine.isRegistered)
  dial()
  dial()
  expect(new Set(announced).size).toBe(1)
  a.machine.requestTrust(b.machine.nodeId, '', world.now)
  world.touch(a)
  until(() => b.machine.trust.store.pending().length > 0)
  b.machine.approveTrust(a.machine.nodeId, world.now)
  world.touch(b)
  until(() => a.machine.trust.isTrusted(b.machine.nodeId))
  b.machine.revokeTrust(a.machine.nodeId, world.now)
  world.touch(b)
  until(() => !a.machine.trust.isTrusted(b.machine.nodeId))
  world.runUntil(world.now + 1000)
  dial()
  expect(new Set(announced).size).toBe(2)
})
