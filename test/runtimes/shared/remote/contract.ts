/** What every `PilotNode` does, wherever its engine lives: one suite for all ways to get one. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { PilotError } from '../../../../core/errors.ts'
import { createNode } from '../../../../runtimes/node/index.ts'
import type {
  NodeEvent,
  PilotConnection,
  PilotDatagram,
  PilotNode,
} from '../../../../runtimes/shared/api.ts'
import { createRendezvous, type Rendezvous } from '../../../../signaling/index.ts'
import { generated, sha256Hex } from '../../../support.ts'

/** What makes the node under test: from a node that lives here, with what ends everything it made. */
export type Wrap = (engine: PilotNode) => Promise<PilotNode>

/** Waits for what takes a moment. */
export async function until(check: () => boolean, ms = 5000): Promise<void> {
  const started = Date.now()
  while (!check()) {
    if (Date.now() - started > ms) throw new Error(`waited ${ms} ms in vain`)
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}

export async function startRendezvous(): Promise<Rendezvous> {
  return createRendezvous({
    registryAddress: '127.0.0.1:0',
    beaconAddress: '127.0.0.1:0',
    limits: { registrationsPerMinute: 1000 },
  })
}

export function startNode(rendezvous: Rendezvous, hostname: string): Promise<PilotNode> {
  return createNode({
    registry: `127.0.0.1:${rendezvous.registryEndpoint.port}`,
    beacon: `127.0.0.1:${rendezvous.beaconEndpoint.port}`,
    listen: '127.0.0.1:0',
    hostname,
    isPublic: true,
  })
}

export async function readAll(connection: PilotConnection): Promise<Uint8Array> {
  const pieces: Uint8Array[] = []
  for await (const piece of connection.readable) pieces.push(piece)
  return Buffer.concat(pieces)
}

async function code(promise: Promise<unknown>): Promise<string> {
  const error: unknown = await promise.then(
    () => undefined,
    (reason) => reason,
  )
  return error instanceof PilotError ? `${error.name} ${error.code}` : String(error)
}

export function nodeContract(name: string, wrap: Wrap): void {
  describe(`the node's contract: ${name}`, () => {
    let rendezvous: Rendezvous
    let peer: PilotNode
    let engine: PilotNode
    let node: PilotNode

    beforeAll(async () => {
      rendezvous = await startRendezvous()
      ;[peer, engine] = await Promise.all([
        startNode(rendezvous, 'peer'),
        startNode(rendezvous, 'under-test'),
      ])
      node = await wrap(engine)
      peer.listen(4000).onconnection = (connection) => {
        void connection.readable.pipeTo(connection.writable).catch(() => {})
      }
    })

    afterAll(async () => {
      await node?.close()
      await engine?.close()
      await peer?.close()
      await rendezvous?.close()
    })

    it('tells who it is', () => {
      expect(node.nodeId).toBe(engine.nodeId)
      expect(node.address).toEqual(engine.address)
      expect(node.publicKey).toEqual(engine.publicKey)
      expect(node.hostname).toBe('under-test')
      expect(node.isPublic).toBe(true)
      expect(node.registry.endpoint).toBe(engine.registry.endpoint)
      expect(node.registry.isReachable).toBe(true)
    })

    it('carries a stream both ways by web streams', async () => {
      const connection = await node.dial('peer:4000')
      expect(connection.remote.port).toBe(4000)
      expect(connection.remote.address.node).toBe(peer.nodeId)
      expect(connection.state).toBe('ESTABLISHED')
      const data = generated(3 << 20)
      const writer = connection.writable.getWriter()
      const writing = writer.write(data).then(() => writer.close())
      const back = await readAll(connection)
      await writing
      expect(sha256Hex(back)).toBe(sha256Hex(data))
      await connection.closed
      expect(connection.ended).toBe(true)
    })

    it('carries a stream by raw calls, small writes in order', async () => {
      const connection = await node.dial({ address: peer.address, port: 4000 })
      const pieces = Array.from({ length: 500 }, (_, i) => Uint8Array.of(i & 255, i >> 8, 7))
      for (const piece of pieces) expect(connection.write(piece)).toBe(3)
      connection.close()
      expect(connection.write(Uint8Array.of(1))).toBe(0)
      const got: number[] = []
      await new Promise<void>((resolve) => {
        const read = (): void => {
          for (let data = connection.read(); data !== undefined; data = connection.read())
            got.push(...data)
          if (connection.ended) resolve()
        }
        connection.onreadable = read
        read()
      })
      expect(got).toEqual(pieces.flatMap((piece) => [...piece]))
      await connection.closed
    })

    it('copies what is written: the caller may change it at once', async () => {
      const connection = await node.dial('peer:4000')
      const data = Uint8Array.of(1, 2, 3)
      connection.write(data)
      data.fill(9)
      connection.close()
      expect([...(await readAll(connection))]).toEqual([1, 2, 3])
    })

    it('pushes back on a writer whose peer does not read', async () => {
      const listener = peer.listen(4001)
      const accepted = listener[Symbol.asyncIterator]().next()
      const connection = await node.dial('peer:4001')
      const there = (await accepted).value as PilotConnection
      const chunk = generated(1 << 18)
      let written = 0
      for (let idle = 0; idle < 20; ) {
        const count = connection.write(chunk)
        written += count
        idle = count === 0 ? idle + 1 : 0
        if (count < chunk.length) await new Promise((resolve) => setTimeout(resolve, 10))
        expect(written).toBeLessThan(64 << 20)
      }
      expect(connection.write(chunk)).toBe(0)
      let isWritable = false
      connection.onwritable = () => {
        isWritable = true
      }
      let read = 0
      const drain = (): void => {
        for (let data = there.read(); data !== undefined; data = there.read()) read += data.length
      }
      there.onreadable = drain
      drain()
      await until(() => isWritable && read >= written - chunk.length)
      connection.close()
      await until(() => read === written)
      there.close()
      await connection.closed
      listener.close()
    })

    it('pushes back on a peer when the application does not read', async () => {
      const listener = node.listen(4002)
      const accepted = listener[Symbol.asyncIterator]().next()
      const there = await peer.dial('under-test:4002')
      const here = (await accepted).value as PilotConnection
      expect(here.remote.address.node).toBe(peer.nodeId)
      const chunk = generated(1 << 18)
      let written = 0
      for (let idle = 0; idle < 20; ) {
        const count = there.write(chunk)
        written += count
        idle = count === 0 ? idle + 1 : 0
        if (count < chunk.length) await new Promise((resolve) => setTimeout(resolve, 10))
        expect(written).toBeLessThan(64 << 20)
      }
      there.close()
      here.close()
      const data = await readAll(here)
      expect(data.length).toBe(written)
      expect(sha256Hex(data.subarray(0, chunk.length))).toBe(sha256Hex(chunk))
      await here.closed
      listener.close()
    })

    it('listens by callback and by iteration, and lets go of the port', async () => {
      const listener = node.listen(4003)
      expect(() => node.listen(4003)).toThrow(/already bound/)
      expect(() => node.listen(0)).toThrow(/1 to 65535/)
      const got = new Promise<PilotConnection>((resolve) => {
        listener.onconnection = resolve
      })
      const there = await peer.dial('under-test:4003')
      const here = await got
      here.reset()
      expect(await code(there.closed)).toBe('NetworkError ERR_CONNECTION_RESET')
      listener.close()
      expect(await code(peer.dial('under-test:4003'))).toBe('NetworkError ERR_CONNECTION_REFUSED')
      const again = node.listen(4003)
      const iterated = (async () => {
        for await (const connection of again) return connection.remote.address.node
      })()
      const second = await peer.dial('under-test:4003')
      expect(await iterated).toBe(peer.nodeId)
      second.reset()
    })

    it('says why something failed, with class and code', async () => {
      expect(await code(node.dial('peer:9'))).toBe('NetworkError ERR_CONNECTION_REFUSED')
      expect(await code(node.dial('nobody-of-that-name:1'))).toBe(
        'NetworkError ERR_HOSTNAME_NOT_FOUND',
      )
      expect(await code(node.dial('no port'))).toBe('UsageError ERR_INVALID_ARGUMENT')
      expect(await code(node.dial({ address: node.address, port: 1 }))).toBe(
        'UsageError ERR_DIAL_SELF',
      )
      expect(await code(node.trust.approve(4_000_000))).toBe('SecurityError ERR_NOT_PENDING')
      expect(await code(node.registry.request({ type: 'no_such_request' }))).toBe(
        'PilotError ERR_REGISTRY',
      )
      expect(() =>
        node.sendDatagram({ address: peer.address, port: 1 }, new Uint8Array(0)),
      ).toThrow(/1 to 65428/)
      expect(() => node.sendDatagram({ address: node.address, port: 1 }, Uint8Array.of(1))).toThrow(
        /self|own/,
      )
    })

    it('ends a call by its signal', async () => {
      const aborted = AbortSignal.abort()
      expect(await code(node.dial('peer:4000', { signal: aborted }))).toBe('PilotError ERR_ABORTED')
      expect(await code(node.ping('peer', { signal: aborted }))).toBe('PilotError ERR_ABORTED')
      const soon = new AbortController()
      // Nobody has this id; the registry is asked, and the dial would last.
      const dial = node.dial('peer:4000', { signal: soon.signal })
      soon.abort()
      expect(await code(dial)).toBe('PilotError ERR_ABORTED')
      await until(() => engine.connections().every((one) => one.state !== 'ESTABLISHED'))
    })

    it('measures a round trip', async () => {
      expect(await node.ping('peer')).toBeGreaterThan(0)
      expect(await node.ping(peer.address, { timeoutMs: 5000 })).toBeGreaterThan(0)
    })

    it('sends and receives datagrams', async () => {
      const here: PilotDatagram[] = []
      const there: PilotDatagram[] = []
      const stopHere = node.onDatagram((datagram) => here.push(datagram))
      const stopThere = peer.onDatagram((datagram) => there.push(datagram))
      node.sendDatagram({ address: peer.address, port: 77 }, Uint8Array.of(1, 2, 3))
      await until(() => there.length === 1)
      expect(there[0]!.destinationPort).toBe(77)
      expect([...there[0]!.data]).toEqual([1, 2, 3])
      await new Promise((resolve) => setTimeout(resolve, 20)) // the subscription is on its way
      peer.sendDatagram({ address: node.address, port: 78 }, Uint8Array.of(4, 5))
      await until(() => here.length === 1)
      expect([...here[0]!.data]).toEqual([4, 5])
      expect(here[0]!.source.address.node).toBe(peer.nodeId)
      stopHere()
      stopThere()
    })

    it('shows what an awaited call changed', async () => {
      const events: NodeEvent[] = []
      const stop = node.on((event) => events.push(event))
      const connection = await node.dial('peer:4000')
      expect(node.connections().map(({ id }) => id)).toContain(connection.id)
      expect(node.peers().map(({ nodeId }) => nodeId)).toContain(peer.nodeId)
      await node.setHostname('renamed')
      expect(node.hostname).toBe('renamed')
      await node.setVisibility(false)
      expect(node.isPublic).toBe(false)
      await node.setVisibility(true)
      expect(node.closeConnection(connection.id)).toBe(true)
      expect(node.closeConnection(99_999)).toBe(false)
      await connection.closed.catch(() => {})
      await until(
        () =>
          !node
            .connections()
            .some(({ id, state }) => id === connection.id && state === 'ESTABLISHED'),
      )

      await peer.trust.request(node.nodeId, 'let me in')
      await until(() => events.some(({ type }) => type === 'trust-request'))
      expect(node.trust.pending().map(({ justification }) => justification)).toEqual(['let me in'])
      await node.trust.approve(peer.nodeId)
      expect(node.trust.pending()).toEqual([])
      expect(node.trust.trusted().map(({ nodeId }) => nodeId)).toEqual([peer.nodeId])
      expect(node.trust.isTrusted(peer.nodeId)).toBe(true)
      expect(await node.trust.wait(peer.nodeId, 1000)).toBe(true)
      expect(await node.trust.wait(4_000_000, 20)).toBe(false)
      await node.trust.revoke(peer.nodeId)
      expect(node.trust.isTrusted(peer.nodeId)).toBe(false)
      stop()
    })

    it('answers for the registry', async () => {
      expect((await node.registry.lookup(peer.nodeId)).node_id).toBe(peer.nodeId)
      expect((await node.registry.resolveHostname('peer')).node_id).toBe(peer.nodeId)
      expect(await node.resolve('peer')).toEqual(peer.address)
      expect((await node.setTags(['a', 'b'])).type).toBe('set_tags_ok')
      // Signed in the node's own name; what no node says so is refused before anybody is asked.
      expect((await node.registry.requestSigned({ type: 'poll_invites' })).invites).toEqual([])
      const other = node.registry.requestSigned({ type: 'register', node_id: peer.nodeId })
      expect(await code(other)).toBe('UsageError ERR_INVALID_ARGUMENT')
      const foreign = node.registry.requestSigned({ type: 'leave_network', network_id: 9 })
      expect(await code(foreign)).toMatch(/ ERR_REGISTRY$/)
    })

    it('counts while somebody looks', async () => {
      const before = node.info()
      const stop = setInterval(() => node.info(), 20)
      await node.ping('peer')
      await until(() => node.info().packetsSent > before.packetsSent)
      clearInterval(stop)
      expect(node.info().uptimeMs).toBeGreaterThan(before.uptimeMs)
    })

    it('is disposed of, and says so afterwards', async () => {
      const connection = await node.dial('peer:4000')
      const writer = connection.writable.getWriter()
      await writer.write(Uint8Array.of(1, 2, 3))
      await node.close({ timeoutMs: 300 })
      await connection.closed.catch(() => {})
      expect(await code(node.dial('peer:4000'))).toBe('PilotError ERR_NODE_CLOSED')
      expect(() => node.listen(1)).toThrow(/closed/)
      await node.close()
    })
  })
}
