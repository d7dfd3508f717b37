/** The rendezvous of a worker over sleep, restarts and time: what is reaped, what is kept, and for how long. */
import { describe, expect, it } from 'vitest'
import type { Identity } from '../../core/identity/identity.ts'
import { compatChallenge, encodeCompatMessage } from '../../core/rendezvous/compat-message.ts'
import { encodeBeaconMessage } from '../../core/wire/beacon-message.ts'
import {
  encodeRegistryFrame,
  RegistryFrameDecoder,
  type RegistryMessage,
} from '../../core/wire/registry-message.ts'
import { register } from './door-client.ts'
import { type BenchSocket, ObjectBench } from './object-bench.ts'
import { identity } from './registry-bench.ts'

const HEARTBEAT_MS = 60_000

class Node {
  readonly bench: ObjectBench
  readonly who: Identity
  id = 0
  registry!: BenchSocket
  relay!: BenchSocket

  private constructor(bench: ObjectBench, name: string) {
    this.bench = bench
    this.who = identity(name)
  }

  static async join(bench: ObjectBench, name: string): Promise<Node> {
    const node = new Node(bench, name)
    await node.register()
    await node.connect()
    return node
  }

  async register(): Promise<void> {
    this.registry = await this.bench.open('/v1/registry', 'pilot.registry.v1')
    const { node_id } = this.ask({ ...register(this.who), hostname: `h${this.who.publicKey[0]}` })
    this.id = node_id as number
    this.heartbeat()
  }

  async connect(): Promise<void> {
    this.relay = await this.bench.open('/v1/compat', 'pilot.v1')
    const { nonce, ts } = JSON.parse(this.relay.sent[0] as string)
    const signature = this.who.sign(compatChallenge(this.id, nonce, ts))
    const reply = encodeCompatMessage({
      type: 'auth_reply',
      nodeId: this.id,
      publicKey: '',
      signature,
    })
    this.bench.send(this.relay, reply)
  }

  ask(message: RegistryMessage): RegistryMessage {
    const before = this.registry.sent.length
    this.bench.send(this.registry, encodeRegistryFrame(message))
    const decoder = new RegistryFrameDecoder()
    for (const one of this.registry.sent.slice(before)) decoder.push(one as Uint8Array)
    return decoder.next()!
  }

  heartbeat(): RegistryMessage {
    const signature = this.who.signBase64(`heartbeat:${this.id}`)
    return this.ask({ type: 'heartbeat', node_id: this.id, signature })
  }

  send(to: Node, ...frame: number[]): void {
    const { id: senderId } = this
    this.bench.send(
      this.relay,
      encodeBeaconMessage({
        type: 'relay',
        senderId,
        destinationId: to.id,
        frame: Uint8Array.from(frame),
      }),
    )
  }

  get frames(): readonly unknown[] {
    return this.relay.sent.slice(2)
  }

  get isKnown(): boolean {
    return this.bench.rows(`SELECT is_live FROM nodes WHERE id = ${this.id}`)[0]?.is_live === 1
  }
}

describe('a node that nobody hears', () => {
  it.each([false, true])('is reaped after three minutes; asleep in between: %s', async (sleeps) => {
    const bench = new ObjectBench()
    const [quiet, loud] = [await Node.join(bench, 'quiet'), await Node.join(bench, 'loud')]
    for (let minute = 0; minute < 3; minute++) {
      bench.pass(HEARTBEAT_MS, { sleeps })
      expect(loud.heartbeat().type).toBe('heartbeat_ok')
    }
    expect([quiet.isKnown, loud.isKnown]).toEqual([true, true])
    for (let minute = 0; minute < 2; minute++) {
      bench.pass(HEARTBEAT_MS, { sleeps })
      loud.heartbeat()
    }
    expect([quiet.isKnown, loud.isKnown]).toEqual([false, true])
    // Its WebSocket at the relay goes with it: nobody else would end one whose client is gone.
    bench.pass(2 * HEARTBEAT_MS, { sleeps })
    expect([quiet.relay.closed, loud.relay.closed]).toEqual(['1001 idle', undefined])
  })

  it('keeps its registration while the rendezvous itself was away', async () => {
    const bench = new ObjectBench()
    const node = await Node.join(bench, 'back-soon')
    bench.at += 3_600_000 // no alarm: nothing ran
    bench.restart()
    bench.object.alarm()
    expect(node.isKnown).toBe(true)
    bench.pass(4 * HEARTBEAT_MS, { sleeps: true })
    expect(node.isKnown).toBe(false)
  })

  it('is no longer woken for when it was the last', async () => {
    const bench = new ObjectBench()
    await Node.join(bench, 'last')
    for (const socket of bench.sockets.splice(0)) bench.object.webSocketClose(socket, 1006)
    bench.pass(10 * HEARTBEAT_MS, { sleeps: true })
    expect(bench.alarmAt).toBeUndefined()
  })
})

describe('sleep', () => {
  it('may come after every message', async () => {
    const bench = new ObjectBench()
    const [a, b] = [await Node.join(bench, 'a'), await Node.join(bench, 'b')]
    for (let i = 0; i < 5; i++) {
      bench.sleep()
      a.send(b, 0x50, i)
      bench.sleep()
      expect(b.heartbeat().type).toBe('heartbeat_ok')
    }
    expect(b.frames).toEqual([0, 1, 2, 3, 4].map((i) => Uint8Array.of(6, 0, 0, 0, a.id, 0x50, i)))
  })

  it('may come after every byte of a frame, in either encoding', async () => {
    const bench = new ObjectBench()
    const json = await bench.open('/v1/registry', 'pilot.registry.v1')
    const frame = encodeRegistryFrame({ type: 'list_networks' })
    for (const byte of [...frame, ...frame]) {
      bench.send(json, Uint8Array.of(byte))
      bench.sleep()
    }
    const decoder = new RegistryFrameDecoder()
    for (const one of json.sent) decoder.push(one as Uint8Array)
    expect([decoder.next()?.type, decoder.next()?.type]).toEqual([
      'list_networks_ok',
      'list_networks_ok',
    ])
    const binary = await bench.open('/v1/registry', 'pilot.registry.v1')
    const [nodes, again] = [binaryLookup(7), binaryLookup(8)]
    for (const byte of [...Buffer.from('PILT'), 1, ...nodes, ...again]) {
      bench.send(binary, Uint8Array.of(byte))
      bench.sleep()
    }
    expect(binary.closed).toBeUndefined()
    expect(binary.sent).toHaveLength(2)
  })

  it('does not hand a request out twice, nor lose one that came meanwhile', async () => {
    const bench = new ObjectBench()
    const nodes = [
      await Node.join(bench, 'p'),
      await Node.join(bench, 'q'),
      await Node.join(bench, 'r'),
    ]
    const [p, q, r] = nodes as [Node, Node, Node]
    const request = (from: Node): RegistryMessage =>
      from.ask({
        type: 'request_handshake',
        from_node_id: from.id,
        to_node_id: r.id,
        justification: '',
        signature: from.who.signBase64(`handshake:${from.id}:${r.id}`),
      })
    const poll = (): readonly unknown[] => {
      const signature = r.who.signBase64(`poll_handshakes:${r.id}`)
      const { requests } = r.ask({ type: 'poll_handshakes', node_id: r.id, signature })
      return ((requests ?? []) as { from_node_id: number }[]).map((one) => one.from_node_id)
    }
    request(p)
    expect(poll()).toEqual([p.id])
    bench.sleep()
    request(q)
    bench.sleep()
    expect(poll()).toEqual([q.id])
    bench.sleep()
    expect(poll()).toEqual([])
    expect(bench.rows('SELECT * FROM requests')).toEqual([])
  })

  it('keeps a challenge, and its time', async () => {
    const bench = new ObjectBench()
    const relay = await bench.open('/v1/compat', 'pilot.v1')
    bench.pass(9000)
    bench.sleep()
    expect(relay.closed).toBeUndefined()
    bench.pass(2000, { sleeps: true })
    expect(relay.closed).toBe('1008 auth failed')
  })

  it('forgets clients whose WebSockets went meanwhile, and what is no longer theirs', async () => {
    const bench = new ObjectBench()
    const node = await Node.join(bench, 'gone')
    expect(bench.rows('SELECT id FROM sessions')).toHaveLength(1)
    node.registry.readyState = 3
    bench.sleep()
    expect(bench.rows('SELECT id FROM sessions')).toEqual([])
  })

  it('goes on with the newer of two WebSockets of a node, in whatever order they come', async () => {
    for (const order of [0, 1]) {
      const bench = new ObjectBench()
      const node = await Node.join(bench, 'a')
      const older = node.relay
      const state = older.deserializeAttachment()
      bench.pass(1000)
      await node.connect()
      expect(older.closed).toBe('1000 replaced')
      // As if the close had not left before the sleep.
      older.readyState = 1
      older.closed = undefined
      older.serializeAttachment(state)
      if (order === 1) bench.sockets.reverse()
      bench.sleep()
      expect([older.closed, node.relay.closed]).toEqual(['1000 replaced', undefined])
      node.send(node, 1)
      expect(node.frames).toHaveLength(1)
    }
  })

  it('closes a socket that it knows nothing of', async () => {
    const bench = new ObjectBench()
    const node = await Node.join(bench, 'a')
    node.relay.serializeAttachment({ kind: 'else' })
    bench.sleep()
    expect(node.relay.closed).toBe('1011 ')
  })

  it('closes a frame that does not end in time', async () => {
    const bench = new ObjectBench()
    const client = await bench.open('/v1/registry', 'pilot.registry.v1')
    bench.send(client, Uint8Array.of(0, 0, 1))
    bench.pass(29_000)
    expect(client.closed).toBeUndefined()
    bench.pass(2000, { sleeps: true })
    expect(client.closed).toBe('1001 going away')
  })
})

describe('frames for a node that is on its way back', () => {
  it('wait for it, in order, and for 15 seconds only', async () => {
    const bench = new ObjectBench()
    const [a, b] = [await Node.join(bench, 'a'), await Node.join(bench, 'b')]
    bench.object.webSocketClose(b.relay, 1006)
    b.relay.readyState = 3
    a.send(b, 1)
    bench.sleep()
    a.send(b, 2)
    await b.connect()
    expect(b.frames).toEqual([1, 2].map((i) => Uint8Array.of(6, 0, 0, 0, a.id, i)))
    bench.object.webSocketClose(b.relay, 1006)
    b.relay.readyState = 3
    a.send(b, 3)
    bench.pass(15_000)
    expect(bench.rows('SELECT id FROM held')).toHaveLength(1)
    await b.connect()
    expect(b.frames).toEqual([])
    bench.object.webSocketClose(b.relay, 1006)
    b.relay.readyState = 3
    a.send(b, 4)
    bench.pass(60_000, { sleeps: true })
    expect(bench.rows('SELECT id FROM held')).toEqual([])
  })

  it('are at most 64, and none for who is not registered', async () => {
    const bench = new ObjectBench()
    const [a, b] = [await Node.join(bench, 'a'), await Node.join(bench, 'b')]
    bench.object.webSocketClose(b.relay, 1006)
    for (let i = 0; i < 70; i++) a.send(b, i)
    expect(bench.rows('SELECT id FROM held')).toHaveLength(64)
    a.send({ id: 999 } as Node, 1)
    expect(bench.rows('SELECT id FROM held')).toHaveLength(64)
    bench.restart()
    await a.connect()
    a.send(b, 99)
    expect(bench.rows('SELECT id FROM held')).toHaveLength(64)
  })

  it('take at most 256 KiB', async () => {
    const bench = new ObjectBench()
    const [a, b] = [await Node.join(bench, 'a'), await Node.join(bench, 'b')]
    bench.object.webSocketClose(b.relay, 1006)
    for (let i = 0; i < 6; i++) a.send(b, ...new Uint8Array(60_000))
    expect(bench.rows('SELECT id FROM held')).toHaveLength(4)
  })
})

it('refuses storage of a later version, and leaves it alone', () => {
  const bench = new ObjectBench()
  bench.database.exec('UPDATE schema_version SET version = 99')
  expect(() => bench.sleep()).toThrow(expect.objectContaining({ code: 'ERR_STORE_CORRUPT' }))
  expect(bench.rows('SELECT version FROM schema_version')).toEqual([{ version: 99 }])
})

/** A lookup in the binary encoding (spec/05 §4). */
function binaryLookup(nodeId: number): Uint8Array {
  const frame = new Uint8Array(9)
  const view = new DataView(frame.buffer)
  view.setUint32(0, 5)
  view.setUint8(4, 0x02)
  view.setUint32(5, nodeId)
  return frame
}
