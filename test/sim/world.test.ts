/** The simulator itself: what its links, NATs and clock promise. */
import { describe, expect, it } from 'vitest'
import type { Endpoint, Instant } from '../../core/machine.ts'
import { Link, type LinkOptions } from './link.ts'
import type { NatOptions, NatScope } from './nat.ts'
import { Random } from './random.ts'
import { type Host, type Transmit, World } from './world.ts'

class Probe implements Host {
  readonly endpoint: Endpoint
  readonly received: { at: Instant; from: Endpoint; text: string }[] = []
  readonly #queue: Transmit[] = []

  constructor(address: string, port = 4000) {
    this.endpoint = { address, port }
  }
  send(to: Endpoint, text: string): void {
    this.#queue.push({ to, datagram: Uint8Array.from(Buffer.from(text)) })
  }
  handleDatagram(datagram: Uint8Array, from: Endpoint, now: Instant): void {
    this.received.push({ at: now, from, text: Buffer.from(datagram).toString() })
  }
  handleTimeout(): void {}
  pollTimeout(): Instant | undefined {
    return undefined
  }
  pollTransmit(): Transmit | undefined {
    return this.#queue.shift()
  }
  get texts(): string[] {
    return this.received.map(({ text }) => text)
  }
}

describe('Random', () => {
  it('repeats by seed and label', () => {
    const draw = (seed: number, label: string): number[] => {
      const random = new Random(seed, label)
      return Array.from({ length: 5 }, () => random.int(0, 1000))
    }
    expect(draw(1, 'a')).toEqual(draw(1, 'a'))
    expect(draw(1, 'a')).not.toEqual(draw(2, 'a'))
    expect(draw(1, 'a')).not.toEqual(draw(1, 'b'))
  })

  it('is evenly spread', () => {
    const random = new Random(3)
    const counts = new Array<number>(10).fill(0)
    for (let i = 0; i < 10_000; i++) counts[random.int(0, 9)]!++
    for (const count of counts) expect(Math.abs(count - 1000)).toBeLessThan(150)
  })
})

describe('Link', () => {
  const link = (options: LinkOptions): Link => new Link(options, new Random(1))

  it('delays', () => {
    expect(link({ latencyMs: 20 }).send(100, 5)).toEqual([25])
  })

  it('loses about as often as told, evenly or in bursts', () => {
    const even = link({ loss: 0.1 })
    const bursts = link({ burst: { enter: 0.01, leave: 0.1, loss: 1 } })
    let runs = 0
    let before = false
    for (let i = 0; i < 10_000; i++) {
      even.send(100, i)
      const isLost = bursts.send(100, i).length === 0
      if (isLost && !before) runs++
      before = isLost
    }
    expect(Math.abs(even.lost - 1000)).toBeLessThan(120)
    expect(bursts.lost / runs).toBeGreaterThan(5)
  })

  it('keeps order under jitter, and breaks it only by reordering', () => {
    const overtaken = (one: Link): number => {
      let last = 0
      let count = 0
      for (let i = 0; i < 1000; i++) {
        const [at] = one.send(100, i)
        if (at! < last) count++
        last = Math.max(last, at!)
      }
      return count
    }
    expect(overtaken(link({ jitterMs: 50 }))).toBe(0)
    expect(overtaken(link({ reorder: 0.1, reorderMs: 20 }))).toBeGreaterThan(50)
  })

  it('sends at its rate, and drops what its buffer does not hold', () => {
    const slow = link({ rateBytesPerMs: 100, bufferBytes: 1000 })
    const arrivals = Array.from({ length: 12 }, () => slow.send(72, 0))
    expect(arrivals.slice(0, 10)).toEqual([[1], [2], [3], [4], [5], [6], [7], [8], [9], [10]])
    expect(arrivals.slice(10)).toEqual([[], []])
    expect(slow.overflowed).toBe(2)
    expect(slow.send(72, 5)).toEqual([11])
  })

  it('duplicates, drops what is too large, and can be down', () => {
    expect(link({ duplicate: 1 }).send(10, 0)).toEqual([0, 0])
    expect(link({ mtuBytes: 100 }).send(101, 0)).toEqual([])
    expect(link({ isDown: true }).send(10, 0)).toEqual([])
  })
})

describe('World', () => {
  it('carries datagrams over both access links', () => {
    const world = new World({ seed: 1, link: { latencyMs: 10 } })
    const [a, b] = [new Probe('1.1.1.1'), new Probe('2.2.2.2')]
    world.add(a)
    world.add(b)
    a.send(b.endpoint, 'hi')
    world.touch(a)
    world.runUntil(100)
    expect(b.received).toEqual([{ at: 20, from: a.endpoint, text: 'hi' }])
    expect(world.now).toBe(100)
  })

  it('orders what happens at one time by insertion', () => {
    const world = new World({ seed: 1 })
    const seen: number[] = []
    for (let i = 0; i < 50; i++) world.at(i % 2 === 0 ? 5 : 3, () => seen.push(i))
    world.runUntil(10)
    const odd = Array.from({ length: 25 }, (_, i) => 2 * i + 1)
    expect(seen).toEqual([...odd, ...odd.map((i) => i - 1)])
  })

  it('refuses a timer that does not move on', () => {
    const world = new World({ seed: 1 })
    const stuck = new Probe('1.1.1.1')
    stuck.pollTimeout = () => 5
    world.add(stuck)
    expect(() => world.runUntil(10)).toThrow(/timer of 1.1.1.1:4000 stays at 5/)
  })

  it('forgets a host that left', () => {
    const world = new World({ seed: 1, link: { latencyMs: 10 } })
    const [a, b] = [new Probe('1.1.1.1'), new Probe('2.2.2.2')]
    world.add(a)
    const site = world.add(b)
    a.send(b.endpoint, 'late')
    world.touch(a)
    world.at(15, () => site.detach())
    world.runUntil(100)
    expect(b.received).toEqual([])
  })

  it('tells seed and transcript with a failure', () => {
    const world = new World({ seed: 42 })
    world.note('something')
    expect(() => world.check(() => expect(1).toBe(2))).toThrow(/seed 42[\s\S]*0.000 something/)
  })
})

describe('Nat', () => {
  const inside = { address: '192.168.0.2', port: 4000 }
  const x = { address: '5.5.5.5', port: 1 }
  const otherPort = { address: '5.5.5.5', port: 2 }
  const y = { address: '6.6.6.6', port: 1 }
  const make = (options: Partial<NatOptions>) =>
    new World({ seed: 1 }).nat({ publicAddress: '9.9.9.9', ...options })

  it.each<[NatScope, boolean, boolean]>([
    ['endpoint-independent', true, true],
    ['address-dependent', true, false],
    ['address-and-port-dependent', false, false],
  ])('maps %s', (mapping, sameForPort, sameForAddress) => {
    const nat = make({ mapping })
    const first = nat.outbound(inside, x, 0)
    expect(nat.outbound(inside, x, 1)).toEqual(first)
    expect(nat.outbound(inside, otherPort, 2).port === first.port).toBe(sameForPort)
    expect(nat.outbound(inside, y, 3).port === first.port).toBe(sameForAddress)
  })

  it.each<[NatScope, boolean, boolean]>([
    ['endpoint-independent', true, true],
    ['address-dependent', true, false],
    ['address-and-port-dependent', false, false],
  ])('filters %s', (filtering, fromPort, fromAddress) => {
    const nat = make({ filtering })
    const { port } = nat.outbound(inside, x, 0)
    expect(nat.inbound(port, x, 1)).toEqual(inside)
    expect(nat.inbound(port, otherPort, 1) !== undefined).toBe(fromPort)
    expect(nat.inbound(port, y, 1) !== undefined).toBe(fromAddress)
  })

  it('ends a mapping without traffic, and refreshes it by what is told to', () => {
    const nat = make({ timeoutMs: 1000 })
    const { port } = nat.outbound(inside, x, 0)
    expect(nat.inbound(port, x, 900)).toEqual(inside)
    expect(nat.inbound(port, x, 1800)).toEqual(inside)
    expect(nat.inbound(port, x, 2801)).toBeUndefined()
    const strict = make({ timeoutMs: 1000, inboundRefresh: false })
    const other = strict.outbound(inside, x, 0).port
    expect(strict.inbound(other, x, 900)).toEqual(inside)
    expect(strict.inbound(other, x, 1001)).toBeUndefined()
  })

  it('forgets everything when it rebinds', () => {
    const nat = make({})
    const { port } = nat.outbound(inside, x, 0)
    nat.rebind()
    expect(nat.inbound(port, x, 1)).toBeUndefined()
    expect(nat.outbound(inside, x, 2).port).not.toBe(port)
  })

  it('lets answers in, keeps strangers out, and joins its own hosts directly', () => {
    const world = new World({ seed: 1, link: { latencyMs: 10 } })
    const nat = world.nat({ publicAddress: '9.9.9.9' })
    const [a, neighbour] = [new Probe('192.168.0.2'), new Probe('192.168.0.3')]
    const [server, stranger] = [new Probe('5.5.5.5'), new Probe('6.6.6.6')]
    world.add(a, { nat })
    world.add(neighbour, { nat })
    world.add(server)
    world.add(stranger)
    a.send(server.endpoint, 'ask')
    a.send(neighbour.endpoint, 'near')
    world.touch(a)
    world.runUntil(50)
    const seen = server.received[0]!.from
    expect(seen.address).toBe('9.9.9.9')
    expect(neighbour.received).toEqual([{ at: 0, from: a.endpoint, text: 'near' }])
    server.send(seen, 'answer')
    stranger.send(seen, 'spam')
    world.touch(server)
    world.touch(stranger)
    world.runUntil(100)
    expect(a.texts).toEqual(['answer'])
    expect(nat.filtered).toBe(1)
  })

  it('hairpins only when told to', () => {
    for (const hairpinning of [false, true]) {
      const world = new World({ seed: 1 })
      const nat = world.nat({
        publicAddress: '9.9.9.9',
        filtering: 'endpoint-independent',
        hairpinning,
      })
      const [a, b] = [new Probe('192.168.0.2'), new Probe('192.168.0.3')]
      const server = new Probe('5.5.5.5')
      world.add(a, { nat })
      world.add(b, { nat })
      world.add(server)
      b.send(server.endpoint, 'open')
      world.touch(b)
      world.runUntil(1)
      a.send(server.received[0]!.from, 'loop')
      world.touch(a)
      world.runUntil(2)
      expect(b.texts).toEqual(hairpinning ? ['loop'] : [])
    }
  })
})
