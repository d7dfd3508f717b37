/**
 * What every runtime must do, as one text without a test runner: it runs wherever `createNode` does, and gives
 * results by name. What differs between runtimes is in the kit.
 */
import { ERROR_CODES, utf8 } from '../../core/index.ts'
import type { PilotConnection, PilotNode } from '../../runtimes/shared/api.ts'
import { AsyncStream } from '../../runtimes/shared/services/async-stream.ts'
import { echoScenario, exchangeScenario } from './services.ts'
import {
  bytesFrom,
  check,
  codeOf,
  codeOfError,
  equal,
  generated,
  hashOf,
  sleep,
  within,
} from './tools.ts'

export interface NodeWish {
  /** Name of a place where identity and trust are kept; without one nothing is. */
  readonly home?: string
  readonly hostname?: string
  readonly isPublic?: boolean
  /** New connections from strangers per second. */
  readonly synRateLimit?: number
}

export interface ConformanceKit {
  readonly runtime: string
  readonly transport: 'udp' | 'compat'
  createNode(wish: NodeWish): Promise<PilotNode>
  /** Ends a node that has a home as its program's end does: by `close`, or as pages go, with nothing said. */
  end(node: PilotNode): Promise<void>
  /** Ends the rendezvous and starts it again, same places and same store. */
  restartRendezvous(): Promise<void>
}

export interface ScenarioResult {
  readonly name: string
  /** `''` when it passed. */
  readonly failure: string
  readonly ms: number
}

const SCENARIO_MS = 30_000
const RESTART_MS = 10_000
const MEBIBYTE = 1 << 20

/** Two public nodes for what needs no others. */
export interface Stage {
  readonly kit: ConformanceKit
  readonly alice: PilotNode
  readonly bob: PilotNode
  /** Closed when the scenario is over, whatever became of it. */
  keep<T extends { close(): unknown }>(one: T): T
}

type Scenario = (stage: Stage) => Promise<void>

export async function runSuite(kit: ConformanceKit): Promise<readonly ScenarioResult[]> {
  const alice = await kit.createNode({ isPublic: true, hostname: `alice-${tag(kit)}` })
  const bob = await kit.createNode({ isPublic: true })
  const results: ScenarioResult[] = []
  for (const [name, scenario] of Object.entries(SCENARIOS)) {
    const opened: { close(): unknown }[] = []
    const keep = <T extends { close(): unknown }>(one: T): T => {
      opened.push(one)
      return one
    }
    const startedAt = performance.now()
    let failure = ''
    try {
      await within(SCENARIO_MS, name, scenario({ kit, alice, bob, keep }))
    } catch (error) {
      failure = textOf(error)
    }
    for (const one of opened.reverse()) await one.close()
    results.push({ name, failure, ms: Math.round(performance.now() - startedAt) })
  }
  await Promise.all([alice.close(), bob.close()])
  return results
}

const SCENARIOS: Readonly<Record<string, Scenario>> = {
  identity: async ({ kit, keep }) => {
    const first = await kit.createNode({ home: 'identity' })
    const { nodeId, publicKey } = first
    await first.close()
    const again = keep(await kit.createNode({ home: 'identity' }))
    equal(again.nodeId, nodeId, 'node id after a reload')
    equal(hashOf(again.publicKey), hashOf(publicKey), 'key after a reload')
    const other = keep(await kit.createNode({ home: 'identity-of-another' }))
    check(other.nodeId !== nodeId, 'another home is another node')
  },

  trust: async ({ kit, keep }) => {
    const carol = keep(await kit.createNode({ home: 'carol' }))
    let dan = await kit.createNode({ home: 'dan' })
    dan.listen(4100)
    equal(
      await codeOf(carol.dial({ address: dan.address, port: 4100 })),
      'ERR_PEER_UNRESOLVED',
      'dial of a private node without trust',
    )
    await carol.trust.request(dan.nodeId, 'conformance')
    await until('the request arrives', () =>
      dan.trust.pending().some(({ nodeId }) => nodeId === carol.nodeId),
    )
    equal(dan.trust.pending()[0]?.justification, 'conformance', 'justification')
    await dan.trust.approve(carol.nodeId)
    check(await carol.trust.wait(dan.nodeId, 10_000), 'trust within 10 s')
    const connection = await carol.dial({ address: dan.address, port: 4100 })
    equal(connection.remote.port, 4100, 'remote port')
    connection.reset()
    await dan.close()
    dan = keep(await kit.createNode({ home: 'dan' }))
    check(dan.trust.isTrusted(carol.nodeId), 'trust outlives a restart')
    await dan.trust.revoke(carol.nodeId)
    check(!dan.trust.isTrusted(carol.nodeId), 'revoked')
    equal(await codeOf(dan.trust.revoke(carol.nodeId)), 'ERR_NOT_TRUSTED', 'revoked twice')
    equal(await codeOf(dan.trust.approve(carol.nodeId)), 'ERR_NOT_PENDING', 'nothing to approve')
  },

  'dial and listen': async ({ kit, alice, bob, keep }) => {
    const listener = keep(alice.listen(4000))
    const accepting = accept(listener)
    const connection = await bob.dial(`alice-${tag(kit)}:4000`)
    const accepted = await accepting
    equal(connection.state, 'ESTABLISHED', 'state')
    equal(connection.remote.address.node, alice.nodeId, 'whom was dialed')
    equal(accepted.remote.address.node, bob.nodeId, 'who dialed')
    const writer = connection.writable.getWriter()
    await writer.write(utf8('hello'))
    const closing = writer.close()
    const text = await readAll(accepted)
    accepted.close()
    await closing
    equal(new TextDecoder().decode(text), 'hello', 'text')
    await Promise.all([connection.closed, accepted.closed])
  },

  backpressure: async (stage) => {
    const [near, far] = await pair(stage, 4001)
    const chunk = generated(65_536)
    // Nobody reads: the stream takes what the buffers hold, and then no more.
    let written = 0
    const isFull = async (): Promise<boolean> => {
      for (let quiet = 0; quiet < 20; quiet++) {
        const taken = near.write(chunk.subarray(written % chunk.length))
        written += taken
        check(written <= 64 * MEBIBYTE, 'a writer is held up within 64 MiB')
        if (taken > 0) quiet = 0
        else await sleep(10)
      }
      return true
    }
    check(await isFull(), 'full')
    near.close()
    let at = 0
    const stream = new AsyncStream(far)
    for (let piece = await stream.read(); piece !== undefined; piece = await stream.read()) {
      for (let i = 0; i < piece.length; i += 997)
        equal(piece[i], chunk[(at + i) % chunk.length], `byte ${at + i}`)
      at += piece.length
    }
    equal(at, written, 'bytes read')
    far.close()
    await near.closed
  },

  'half-close': async (stage) => {
    const [near, far] = await pair(stage, 4002)
    near.write(utf8('question'))
    near.close()
    equal(new TextDecoder().decode(await readAll(far)), 'question', 'question')
    far.write(utf8('answer'))
    far.close()
    equal(new TextDecoder().decode(await readAll(near)), 'answer', 'answer after our end')
    await Promise.all([near.closed, far.closed])
  },

  '8 MiB both ways': async (stage) => {
    const [near, far] = await pair(stage, 4003)
    const data = [generated(8 * MEBIBYTE, 1), generated(8 * MEBIBYTE, 2)] as const
    const send = async (connection: PilotConnection, bytes: Uint8Array): Promise<string> => {
      const stream = new AsyncStream(connection)
      const [got] = await Promise.all([
        bytesFrom(stream, 8 * MEBIBYTE),
        stream.write(bytes).then(() => connection.close()),
      ])
      return hashOf(got)
    }
    const [atNear, atFar] = await Promise.all([send(near, data[0]), send(far, data[1])])
    equal(atFar, hashOf(data[0]), 'hash of what was sent')
    equal(atNear, hashOf(data[1]), 'hash of what came back')
  },

  datagrams: async ({ alice, bob }) => {
    const got = new Map<number, string>()
    const stop = alice.onDatagram(({ source, destinationPort, data }) => {
      if (source.address.node === bob.nodeId && destinationPort === 4004)
        got.set(data.length, hashOf(data))
    })
    const sizes = [1, 100, 1000, 5000, 30_000]
    // Delivery is not promised: what was lost is sent again.
    for (let trial = 0; trial < 40 && got.size < sizes.length; trial++) {
      for (const size of sizes)
        if (!got.has(size))
          bob.sendDatagram({ address: alice.address, port: 4004 }, generated(size))
      await sleep(100)
    }
    stop()
    for (const size of sizes)
      equal(got.get(size), hashOf(generated(size)), `datagram of ${size} bytes`)
    const oversize = new Uint8Array(65_429)
    equal(
      await codeOf(async () => bob.sendDatagram({ address: alice.address, port: 1 }, oversize)),
      'ERR_INVALID_ARGUMENT',
      'oversize',
    )
  },

  ping: async ({ kit, alice, bob }) => {
    for (const target of [alice.address, `alice-${tag(kit)}`, String(alice.nodeId)]) {
      const ms = await bob.ping(target)
      // Clocks of workers and of Firefox count whole milliseconds.
      check(ms >= 0 && ms < 5000, `round trip of ${ms} ms`)
    }
    const transport = bob.peers().find(({ nodeId }) => nodeId === alice.nodeId)?.transport
    equal(transport, kit.transport === 'udp' ? 'udp' : 'relay', 'what carries it')
  },

  echo: echoScenario,
  'data exchange': exchangeScenario,

  errors: async ({ kit, alice, bob, keep }) => {
    equal(await codeOf(bob.dial('no-such-host:80')), 'ERR_HOSTNAME_NOT_FOUND', 'unknown host')
    equal(
      await codeOf(bob.dial({ address: alice.address, port: 4999 })),
      'ERR_CONNECTION_REFUSED',
      'nobody listens',
    )
    equal(await codeOf(bob.dial({ address: bob.address, port: 1 })), 'ERR_DIAL_SELF', 'ourselves')
    equal(await codeOf(bob.dial('what?')), 'ERR_INVALID_ARGUMENT', 'no target')
    equal(
      await codeOf(bob.dial({ address: { network: 0, node: 0xfffffff0 }, port: 1 })),
      'ERR_PEER_UNRESOLVED',
      'nobody has the address',
    )
    const abort = AbortSignal.abort()
    const target = { address: alice.address, port: 4999 }
    equal(await codeOf(bob.dial(target, { signal: abort })), 'ERR_ABORTED', 'cancelled')
    keep(alice.listen(4005))
    equal(await codeOf(async () => alice.listen(4005)), 'ERR_PORT_IN_USE', 'port')
    equal(await codeOf(async () => alice.listen(0)), 'ERR_INVALID_ARGUMENT', 'port 0')
    // A node that takes one stranger a second says nothing to more.
    const shy = keep(await kit.createNode({ isPublic: true, synRateLimit: 1 }))
    shy.listen(4006)
    const dials = await Promise.all(
      [1, 2, 3, 4].map(() =>
        codeOf(bob.dial({ address: shy.address, port: 4006 }, { timeoutMs: 700 })),
      ),
    )
    check(dials.includes('ERR_DIAL_TIMEOUT'), `a dial without an answer, got ${dials.join()}`)
  },

  restart: async ({ kit, bob, keep }) => {
    const first = await kit.createNode({ home: 'restart', isPublic: true })
    first.listen(4007)
    const before = await bob.dial({ address: first.address, port: 4007 })
    const gone = before.closed.then(
      () => 'closed',
      (error: unknown) => codeOfError(error) ?? String(error),
    )
    await kit.end(first)
    const second = keep(await kit.createNode({ home: 'restart', isPublic: true }))
    equal(second.nodeId, first.nodeId, 'same node')
    keep(second.listen(4007))
    const again = await bob.dial({ address: second.address, port: 4007 })
    equal(again.state, 'ESTABLISHED', 'a dial after the restart')
    // Where nothing was said, whoever writes learns it.
    if (before.state === 'ESTABLISHED') before.write(utf8('still there?'))
    const end = await within(RESTART_MS, 'the end of the stream to the former', gone)
    check(end === 'closed' || end in ERROR_CODES, `how the stream to the former ended: ${end}`)
    again.reset()
  },

  reconnect: async (stage) => {
    const { kit, alice, bob, keep } = stage
    const [near, far] = await pair(stage, 4008)
    await kit.restartRendezvous()
    // Streams that stand go on: directly at once, by relay as soon as both are back.
    const echo = new AsyncStream(far)
    near.write(utf8('still here'))
    equal(new TextDecoder().decode(await bytesFrom(echo, 10)), 'still here', 'the old stream')
    near.reset()
    let last = ''
    const found = async (): Promise<boolean> => {
      last = await codeOf(bob.registry.lookup(alice.nodeId))
      return last === 'no error'
    }
    for (let trial = 0; trial < 80 && !(await found()); trial++) await sleep(250)
    equal(last, 'no error', 'the registry answers again')
    const newcomer = keep(await kit.createNode({}))
    const listener = keep(alice.listen(4009))
    const accepting = accept(listener)
    const connection = await newcomer.dial(`alice-${tag(kit)}:4009`)
    await accepting
    connection.reset()
  },

  close: async ({ kit }) => {
    const node = await kit.createNode({})
    const listener = node.listen(4010)
    const ended = (async () => {
      for await (const connection of listener) connection.reset()
    })()
    await node.close()
    await ended.catch(() => {})
    await node.close()
    equal(await codeOf(node.dial({ address: node.address, port: 1 })), 'ERR_NODE_CLOSED', 'dial')
    equal(await codeOf(async () => node.listen(1)), 'ERR_NODE_CLOSED', 'listen')
  },
}

/** Rows of the table. */
export const SCENARIO_NAMES: readonly string[] = Object.keys(SCENARIOS)

/** Both ends of a connection between the two public nodes. */
export async function pair(
  { alice, bob, keep }: Stage,
  port: number,
): Promise<[near: PilotConnection, far: PilotConnection]> {
  const accepting = accept(keep(alice.listen(port)))
  const near = await bob.dial({ address: alice.address, port })
  return [near, await accepting]
}

async function accept(listener: AsyncIterable<PilotConnection>): Promise<PilotConnection> {
  for await (const connection of listener) return connection
  throw new Error('the listener ended without a connection')
}

async function readAll(connection: PilotConnection): Promise<Uint8Array> {
  return bytesFrom(new AsyncStream(connection), Number.POSITIVE_INFINITY)
}

async function until(what: string, holds: () => boolean): Promise<void> {
  for (let trial = 0; trial < 200; trial++) {
    if (holds()) return
    await sleep(50)
  }
  throw new Error(`${what}: not within 10 s`)
}

function tag({ runtime, transport }: ConformanceKit): string {
  return `${runtime}-${transport}`
}

function textOf(error: unknown): string {
  const code = codeOfError(error)
  if (code !== undefined) return `${code}: ${(error as Error).message}`
  // Firefox leaves the message out of the stack.
  return error instanceof Error ? `${error.message} ${error.stack ?? ''}` : String(error)
}
