/** Path MTU discovery between whole nodes, in virtual time. */
import { describe, expect, it } from 'vitest'
import type { Endpoint } from '../../core/index.ts'
import type { LinkOptions } from './link.ts'
import { NodeHost, type NodeHostOptions, RendezvousHost } from './node-host.ts'
import { type Attachment, World } from './world.ts'

const ECHO = 7
const A: Endpoint = { address: '203.0.113.10', port: 4000 }
const B: Endpoint = { address: '203.0.113.20', port: 4000 }
const ETHERNET = { datagramBytesMax: (): number => 1472 }
const LOOPBACK = { datagramBytesMax: (): number => 65_507 }

class Story {
  readonly world: World
  readonly a: NodeHost
  readonly b: NodeHost
  readonly attachments: Attachment[]
  /** Largest datagram that left either of the two. */
  largest = 0

  constructor(link: LinkOptions, machine: NodeHostOptions['machine']) {
    const world = new World({ seed: 1, link })
    const rendezvous = new RendezvousHost(world)
    world.add(rendezvous)
    const nodes = [A, B].map((endpoint) => {
      const name = `n${endpoint.address.slice(-2)}`
      return new NodeHost({ world, rendezvous, endpoint, name, ...(machine && { machine }) })
    })
    const [a, b] = nodes as [NodeHost, NodeHost]
    this.world = world
    this.a = a
    this.b = b
    for (const node of nodes) {
      node.machine.listen(ECHO)
      const poll = node.pollTransmit.bind(node)
      node.pollTransmit = (now) => {
        const transmit = poll(now)
        this.largest = Math.max(this.largest, transmit?.datagram.length ?? 0)
        return transmit
      }
    }
    this.attachments = nodes.map((node) => world.add(node))
    this.#until(() => nodes.every(({ machine: { isRegistered } }) => isRegistered), 20_000)
  }

  /** Sends so many bytes to the echo of b and back; what it took in ms. */
  echo(bytes: number, limitMs: number, meanwhile: (received: number) => void = () => {}): number {
    const { world, a, b } = this
    const started = world.now
    const data = Uint8Array.from({ length: bytes }, (_, i) => (i * 31 + (i >> 8)) & 255)
    const back = new Uint8Array(bytes)
    let [sent, received] = [0, 0]
    const stream = a.machine.dial({ network: 0, node: b.machine.nodeId }, ECHO, world.now)
    const serve = a.onStream
    a.onStream = (other, now) => {
      if (other !== stream) return serve(other, now)
      for (let part = a.machine.read(stream, now); part; part = a.machine.read(stream, now)) {
        back.set(part, received)
        received += part.length
        meanwhile(received)
      }
      for (let taken = -1; sent < bytes && taken !== 0; sent += taken)
        taken = a.machine.write(stream, data.subarray(sent, sent + 65_536), now)
    }
    a.onStream(stream, world.now)
    world.touch(a)
    this.#until(() => received === bytes || stream.connection.state === 'CLOSED', limitMs)
    world.check(() => expect(back).toEqual(data))
    a.onStream = serve
    a.machine.closeStream(stream, world.now)
    world.touch(a)
    return world.now - started
  }

  run(ms: number): void {
    this.world.runUntilTrue(() => false, this.world.now + ms)
  }

  get mtu(): (number | undefined)[] {
    const [a, b] = [this.a, this.b].map(({ machine }) => machine)
    return [
      [a, b],
      [b, a],
    ].map(([from, to]) => {
      const peer = from!.peers.get(to!.nodeId)
      return peer?.mtu.bytesTo(peer.paths.endpoint)
    })
  }

  set carried(mtuBytes: number) {
    for (const { up, down } of this.attachments) {
      up.options = { ...up.options, mtuBytes }
      down.options = { ...down.options, mtuBytes }
    }
  }

  #until(isTrue: () => boolean, limitMs: number): void {
    const { world } = this
    world.check(() => expect(world.runUntilTrue(isTrue, world.now + limitMs)).toBe(true))
  }
}

describe('datagrams on a direct path', () => {
  it('become as large as it carries, in both directions', () => {
    const story = new Story({ latencyMs: 10, mtuBytes: 65_507 }, LOOPBACK)
    story.echo(300_000, 10_000)
    story.run(1000)
    expect(story.mtu).toEqual([32_768, 32_768])
    story.largest = 0
    const sent = story.a.machine.datagramsSent
    story.echo(1_000_000, 10_000)
    expect(story.largest).toBe(32_768)
    expect(story.a.machine.datagramsSent - sent).toBeLessThan(150)
  })

  it('find the MTU of a tunnel on the way, and lose no byte of a stream while they look', () => {
    const story = new Story({ latencyMs: 10, mtuBytes: 1400 }, ETHERNET)
    const took = story.echo(300_000, 10_000)
    expect(took).toBeLessThan(2000)
    story.run(10_000)
    expect(story.mtu).toEqual([1392, 1392])
    story.largest = 0
    story.echo(300_000, 10_000)
    expect(story.largest).toBe(1392)
  })

  it('stay small where nothing is known of the interface', () => {
    const story = new Story({ latencyMs: 10 }, undefined)
    story.echo(300_000, 10_000)
    story.run(10_000)
    expect(story.mtu).toEqual([undefined, undefined])
    expect(story.largest).toBeLessThanOrEqual(1232)
  })

  it('become small again when the path carries less than it did, in the middle of a transfer', () => {
    const story = new Story({ latencyMs: 10, mtuBytes: 8972 }, { datagramBytesMax: () => 8972 })
    story.echo(300_000, 10_000)
    story.run(1000)
    expect(story.mtu).toEqual([8972, 8972])
    story.echo(2_000_000, 60_000, (received) => {
      if (received > 500_000) story.carried = 1400
    })
    expect(story.mtu).toEqual([undefined, undefined])
    // The path itself was never given up: small datagrams had passed all the time.
    expect(story.a.machine.peers.get(story.b.machine.nodeId)?.paths.kind).toBe('direct')
    story.run(120_000)
    story.echo(300_000, 10_000)
    story.run(20_000)
    expect(story.mtu).toEqual([1392, 1392])
  })
})
