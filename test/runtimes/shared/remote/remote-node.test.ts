/** A node used from elsewhere: the whole contract over a MessageChannel, and what ends with either side. */
import { MessageChannel } from 'node:worker_threads'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { PilotError } from '../../../../core/errors.ts'
import type { NodeEvent, PilotConnection, PilotNode } from '../../../../runtimes/shared/api.ts'
import { type Lane, portLane } from '../../../../runtimes/shared/remote/lane.ts'
import { NodeHost } from '../../../../runtimes/shared/remote/node-host.ts'
import { RemoteNode } from '../../../../runtimes/shared/remote/remote-node.ts'
import type { Rendezvous } from '../../../../signaling/index.ts'
import { generated } from '../../../support.ts'
import { nodeContract, readAll, startNode, startRendezvous, until } from './contract.ts'

function lanes(): [Lane, Lane] {
  const { port1, port2 } = new MessageChannel()
  return [portLane(port1 as never), portLane(port2 as never)]
}

nodeContract('a node that lives here', async (engine) => engine)

nodeContract('a node behind a MessageChannel', async (engine) => {
  const host = new NodeHost(engine, { onclose: (timeoutMs) => engine.close({ timeoutMs }) })
  const [here, there] = lanes()
  host.serve(there)
  return RemoteNode.connect(here)
})

function isFree(node: PilotNode, port: number): boolean {
  try {
    node.listen(port).close()
    return true
  } catch (error) {
    if (error instanceof PilotError && error.code === 'ERR_PORT_IN_USE') return false
    throw error
  }
}

describe('several users of one node', () => {
  let rendezvous: Rendezvous
  let peer: PilotNode
  let engine: PilotNode
  let host: NodeHost

  const user = async (): Promise<{ node: RemoteNode; gone: () => void }> => {
    const [here, there] = lanes()
    const gone = host.serve(there)
    return { node: await RemoteNode.connect(here), gone }
  }

  beforeAll(async () => {
    rendezvous = await startRendezvous()
    ;[peer, engine] = await Promise.all([
      startNode(rendezvous, 'peer'),
      startNode(rendezvous, 'shared'),
    ])
    host = new NodeHost(engine)
    peer.listen(4000).onconnection = (connection) => {
      void connection.readable.pipeTo(connection.writable).catch(() => {})
    }
  })

  afterAll(async () => {
    host?.close()
    await engine?.close()
    await peer?.close()
    await rendezvous?.close()
  })

  it('dial and listen side by side; a port of one is taken for the other', async () => {
    const [a, b] = [await user(), await user()]
    a.node.listen(5000).onconnection = (connection) =>
      void connection.writable.getWriter().write(Uint8Array.of(1))
    await a.node.ping('peer')
    await until(() => !isFree(b.node, 5000))
    b.node.listen(5001).onconnection = (connection) =>
      void connection.writable.getWriter().write(Uint8Array.of(2))
    await b.node.ping('peer')
    for (const [port, byte] of [
      [5000, 1],
      [5001, 2],
    ] as const) {
      const connection = await peer.dial(`shared:${port}`)
      const { value } = await connection.readable.getReader().read()
      expect([...(value ?? [])]).toEqual([byte])
      connection.reset()
    }
    await a.node.close()
    await until(() => isFree(b.node, 5000))
    await b.node.close()
    await until(() => host.users === 0)
  })

  it('a listener that was too late is told so', async () => {
    const [a, b] = [await user(), await user()]
    const events: NodeEvent[] = []
    for (const { node } of [a, b]) node.on((event) => events.push(event))
    // At once: neither has heard of the other's, and which one is first is nobody's choice.
    const nexts = [a, b].map(({ node }) => node.listen(5002)[Symbol.asyncIterator]().next())
    await expect(Promise.race(nexts)).rejects.toMatchObject({ code: 'ERR_PORT_IN_USE' })
    expect(events).toEqual([expect.objectContaining({ type: 'listen-failed', port: 5002 })])
    await Promise.all([a.node.close(), b.node.close()])
  })

  it('everything of a user that vanished is let go of', async () => {
    const { node, gone } = await user()
    node.listen(5003)
    node.onDatagram(() => {})
    const connections = await Promise.all([node.dial('peer:4000'), node.dial('peer:4000')])
    connections[0]!.write(generated(100_000))
    const pending = node.trust.wait(77, 60_000)
    pending.catch(() => {})
    expect(host.streams).toBe(2)
    gone()
    expect(host.streams).toBe(0)
    expect(host.users).toBe(0)
    await until(() =>
      engine.connections().every(({ state }) => state === 'TIME_WAIT' || state === 'CLOSED'),
    )
    const again = engine.listen(5003)
    again.close()
    // The other end of a port is told, or finds out when it asks.
    await until(() => !node.isAttached)
    await expect(connections[1]!.closed).rejects.toMatchObject({ code: 'ERR_ENGINE_LOST' })
    await expect(pending).rejects.toMatchObject({ code: 'ERR_ENGINE_LOST' })
    await expect(node.dial('peer:4000')).rejects.toMatchObject({ code: 'ERR_ENGINE_LOST' })
  })

  it('a call that nobody waits for leaves no connection behind', async () => {
    const { node } = await user()
    const abort = new AbortController()
    const dials = Array.from({ length: 20 }, () => node.dial('peer:4000', { signal: abort.signal }))
    setTimeout(() => abort.abort(), 1)
    const outcomes = await Promise.allSettled(dials)
    for (const outcome of outcomes)
      if (outcome.status === 'fulfilled') outcome.value.reset()
      else expect(outcome.reason).toMatchObject({ code: 'ERR_ABORTED' })
    await until(() => host.streams === 0)
    await node.close()
  })

  it('messages that are none change nothing and are counted', async () => {
    const { port1, port2 } = new MessageChannel()
    const gone = host.serve(portLane(port2 as never))
    const before = host.drops.malformed
    const answers: unknown[] = []
    port1.on('message', (message) => answers.push(message))
    const junk: unknown[] = [
      undefined,
      null,
      7,
      'text',
      [],
      {},
      { type: 'constructor' },
      { type: 'toString' },
      { type: 'call', id: 1, method: 'dial', args: ['peer:4000'] }, // before hello
      { type: 'hello', version: 'one' },
    ]
    for (const message of junk) port1.postMessage(message)
    port1.postMessage({ type: 'hello', version: 1 })
    const after: unknown[] = [
      { type: 'call', id: -1, method: 'dial', args: [] },
      { type: 'call', id: 1, method: 'dial', args: 'peer:4000' },
      { type: 'data', stream: 5, data: 'text' },
      {
        type: 'datagram',
        to: { address: { network: 0, node: -1 }, port: 1 },
        data: new Uint8Array(1),
      },
      { type: 'credit', stream: 1.5, bytes: 1 },
    ]
    for (const message of after) port1.postMessage(message)
    port1.postMessage({ type: 'call', id: 9, method: '__proto__', args: [] })
    port1.postMessage({ type: 'call', id: 10, method: 'ping', args: [{ node: 'x' }] })
    await until(() => answers.length === 3)
    expect(host.drops.malformed - before).toBe(junk.length + after.length)
    expect(answers).toMatchObject([
      { type: 'welcome' },
      { type: 'failed', id: 9, error: { name: 'UsageError', code: 'ERR_INVALID_ARGUMENT' } },
      { type: 'failed', id: 10, error: { code: 'ERR_INVALID_ARGUMENT' } },
    ])
    gone()
    port1.close()
  })

  it('a stream that gets more than it has room for is reset', async () => {
    const { port1, port2 } = new MessageChannel()
    const listener = peer.listen(4009) // accepts and does not read
    host.serve(portLane(port2 as never))
    let stream = 0
    let isClosed = false
    port1.on('message', (message) => {
      if (message.type === 'result') stream = message.value.id
      if (message.type === 'closed') isClosed = true
    })
    port1.postMessage({ type: 'hello', version: 1 })
    port1.postMessage({ type: 'call', id: 1, method: 'dial', args: ['peer:4009'] })
    await until(() => stream !== 0)
    for (let i = 0; i < 64; i++)
      port1.postMessage({ type: 'data', stream, data: generated(1 << 19) })
    await until(() => isClosed)
    port1.close()
    listener.close()
  })

  it('another version of the program is told so', async () => {
    const { port1, port2 } = new MessageChannel()
    host.serve(portLane(port2 as never))
    const answer = new Promise((resolve) => port1.once('message', resolve))
    port1.postMessage({ type: 'hello', version: 99 })
    expect(await answer).toMatchObject({ type: 'gone', error: { code: 'ERR_ENGINE_VERSION' } })
    port1.close()
  })

  it('one user too many is refused, and served when another has gone', async () => {
    await until(() => host.users === 0)
    const users = []
    for (let i = 0; i < 64; i++) users.push(await user())
    await expect(user()).rejects.toMatchObject({ code: 'ERR_LIMIT' })
    users[0]!.gone()
    const next = await user()
    expect(await next.node.ping('peer')).toBeGreaterThan(0)
    for (const { gone } of [...users, next]) gone()
    expect(host.users).toBe(0)
  })

  it('a host that never answers is given up by signal', async () => {
    const [here] = lanes()
    await expect(
      RemoteNode.connect(here, { signal: AbortSignal.timeout(20) }),
    ).rejects.toMatchObject({ code: 'ERR_ABORTED' })
  })

  it('moves to the next host: listeners serve on, streams end, calls wait for it', async () => {
    const other = await startNode(rendezvous, 'next')
    const second = new NodeHost(other)
    const node = new RemoteNode({ isResumable: true })
    const [here, there] = lanes()
    const gone = host.serve(there)
    await node.attach(here)
    const served: PilotConnection[] = []
    node.listen(5010).onconnection = (connection) => served.push(connection)
    const old = await node.dial('peer:4000')
    gone()
    await until(() => !node.isAttached)
    await expect(old.closed).rejects.toMatchObject({
      name: 'NetworkError',
      code: 'ERR_ENGINE_LOST',
    })
    await expect(readAll(old)).rejects.toMatchObject({ code: 'ERR_ENGINE_LOST' })
    const waiting = node.dial('peer:4000')
    const [next, nextThere] = lanes()
    second.serve(nextThere)
    await node.attach(next)
    expect(node.hostname).toBe('next')
    const fresh = await waiting
    expect(fresh.id).toBeGreaterThan(old.id)
    expect(node.connections().map(({ id }) => id)).toContain(fresh.id)
    fresh.close()
    await fresh.closed
    const inbound = await peer.dial('next:5010')
    await until(() => served.length === 1)
    expect(served[0]!.id).toBeGreaterThan(old.id)
    inbound.reset()
    await node.close()
    second.close()
    await other.close()
  })
})
