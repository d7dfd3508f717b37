/** WebSocket paths between nodes whose UDP reaches only the rendezvous: told through the tunnel, proven by key. */
import { once } from 'node:events'
import { afterEach, describe, expect, it } from 'vitest'
import { WebSocket } from 'ws'
import { Identity, utf8 } from '../../../core/index.ts'
import { compatChallenge, encodeCompatMessage } from '../../../core/rendezvous/compat-message.ts'
import { createNode } from '../../../runtimes/node/create-node.ts'
import { nodeCrypto } from '../../../runtimes/node/crypto.ts'
import { PathListener } from '../../../runtimes/node/path-listener.ts'
import { nodeWebSockets } from '../../../runtimes/node/web-socket.ts'
import {
  dialableUrls,
  parsePathUrl,
  pathUrls,
} from '../../../runtimes/shared/paths/websocket-address.ts'
import { pathChallenge } from '../../../runtimes/shared/paths/websocket-auth.ts'
import type { SharedPilotNode } from '../../../runtimes/shared/pilot-node.ts'
import { createRendezvous, type Rendezvous } from '../../../signaling/index.ts'
import {
  closeAll,
  connectionMaker,
  echo,
  open,
  relayedNode,
  rendezvous,
  roundTrip,
  transportOf,
  trusted,
  until,
} from './relayed-nodes.ts'

afterEach(closeAll)

const openWebSocket = nodeWebSockets({ env: {} })

async function listening(
  server: Rendezvous,
  hostname: string,
  more: Parameters<typeof relayedNode>[2] = {},
): Promise<{ node: SharedPilotNode; door: PathListener; url: string }> {
  const door = await PathListener.listen({ listen: '127.0.0.1:0' })
  const node = await relayedNode(server, hostname, { door, parts: [door], ...more })
  return { node, door, url: door.urls[0]! }
}

/** The door's challenge, and how to answer it. */
async function challenged(
  url: string,
): Promise<{ socket: WebSocket; nonce: string; ts: number; closed: Promise<[number, string]> }> {
  const socket = new WebSocket(url, 'pilot.path.v1')
  socket.on('error', () => {})
  const closed = once(socket, 'close').then(([code, reason]): [number, string] => [
    code as number,
    `${reason as Buffer}`,
  ])
  const [data] = (await once(socket, 'message')) as [Buffer]
  const { type, nonce, ts } = JSON.parse(data.toString()) as Record<string, unknown>
  expect(type).toBe('auth_challenge')
  return { socket, nonce: `${nonce}`, ts: Number(ts), closed }
}

function reply(nodeId: number, signature: Uint8Array): string {
  return encodeCompatMessage({ type: 'auth_reply', nodeId, publicKey: '', signature })
}

describe('WebSocket paths', () => {
  it('are found at once between trusted peers, are preferred to WebRTC, and carry streams in large frames', async () => {
    const server = await rendezvous()
    const { make: createPeerConnection } = connectionMaker()
    const { node: b } = await listening(server, 'b', { createPeerConnection })
    const a = await relayedNode(server, 'a', { openWebSocket, createPeerConnection })
    echo(b)
    await trusted(a, b)
    await until(() => transportOf(a) === 'websocket' && transportOf(b) === 'websocket', 15_000)
    await roundTrip(a, b.nodeId, 4_000_000)
    expect(a.peers()[0]).toMatchObject({ path: 'direct', directReason: '', endpoint: '' })
    expect(a.info().drops).not.toHaveProperty('path-foreign')
  }, 30_000)

  it('work where neither side has WebRTC, and whoever trusts whom first', async () => {
    const server = await rendezvous()
    const { node: b } = await listening(server, 'b')
    const a = await relayedNode(server, 'a', { openWebSocket })
    echo(b)
    await roundTrip(a, b.nodeId, 1000)
    expect(transportOf(a)).toBe('relay')
    await trusted(b, a)
    await until(() => transportOf(a) === 'websocket' && transportOf(b) === 'websocket', 15_000)
  }, 30_000)

  it('are one, where both sides listen', async () => {
    const server = await rendezvous()
    const made: WebSocket[] = []
    const counted: typeof openWebSocket = (url, protocol) => {
      const socket = openWebSocket(url, protocol)
      made.push(socket as unknown as WebSocket)
      return socket
    }
    const { node: a } = await listening(server, 'a', { openWebSocket: counted })
    const { node: b } = await listening(server, 'b', { openWebSocket: counted })
    echo(b)
    await trusted(a, b)
    await until(() => transportOf(a) === 'websocket' && transportOf(b) === 'websocket', 15_000)
    await new Promise((resolve) => setTimeout(resolve, 4000))
    expect(made.filter(({ readyState }) => readyState === WebSocket.OPEN)).toHaveLength(1)
    await roundTrip(a, b.nodeId, 100_000)
    for (const socket of made) socket.terminate()
    await until(() => transportOf(a) !== 'websocket', 15_000)
    await until(() => transportOf(a) === 'websocket' && transportOf(b) === 'websocket', 15_000)
    expect(made.filter(({ readyState }) => readyState === WebSocket.OPEN)).toHaveLength(1)
  }, 30_000)

  it('are dialed by a node without UDP that was made by createNode, and taken by one with it', async () => {
    const server = await createRendezvous({
      registryAddress: '127.0.0.1:0',
      beaconAddress: '127.0.0.1:0',
      httpAddress: '127.0.0.1:0',
    })
    open.push(server)
    const b = await createNode({
      registry: `127.0.0.1:${server.registryEndpoint.port}`,
      beacon: `127.0.0.1:${server.beaconEndpoint.port}`,
      listen: '127.0.0.1:0',
      isPublic: true,
      webSocket: { listen: '127.0.0.1:0' },
    })
    open.push(b)
    const a = await createNode({
      transport: 'compat',
      rendezvousUrl: `ws://127.0.0.1:${server.httpEndpoint?.port}`,
      isPublic: true,
    })
    open.push(a)
    expect(b.webSocketUrls).toEqual([expect.stringMatching(/^ws:\/\/127\.0\.0\.1:\d+\/v1\/path$/)])
    echo(b)
    await trusted(a, b)
    await until(() => transportOf(a) === 'websocket' && transportOf(b) === 'websocket', 15_000)
    await roundTrip(a, b.nodeId, 1_000_000)
  }, 30_000)

  it('that are cut in the middle of a transfer lose no byte, and come back', async () => {
    const server = await rendezvous()
    const made: WebSocket[] = []
    const { node: b } = await listening(server, 'b')
    const a = await relayedNode(server, 'a', {
      openWebSocket: (url, protocol) => {
        const socket = openWebSocket(url, protocol)
        made.push(socket as unknown as WebSocket)
        return socket
      },
    })
    echo(b)
    await trusted(a, b)
    await until(() => transportOf(a) === 'websocket' && transportOf(b) === 'websocket', 15_000)
    const transfer = roundTrip(a, b.nodeId, 30_000_000)
    await new Promise((resolve) => setTimeout(resolve, 60))
    for (const socket of made) socket.terminate()
    await until(() => transportOf(a) === 'relay', 15_000)
    await transfer
    await until(() => transportOf(a) === 'websocket' && transportOf(b) === 'websocket', 15_000)
  }, 60_000)

  it('that go silent without being closed are left for the relay', async () => {
    const server = await rendezvous()
    let isMute = false
    const made: WebSocket[] = []
    const { node: b } = await listening(server, 'b')
    const a = await relayedNode(server, 'a', {
      openWebSocket: (url, protocol) => {
        const socket = openWebSocket(url, protocol)
        const send = socket.send.bind(socket)
        const raw = socket as unknown as WebSocket
        made.push(raw)
        socket.send = (data) => {
          if (!isMute) send(data)
        }
        return socket
      },
    })
    echo(b)
    await trusted(a, b)
    await until(() => transportOf(a) === 'websocket', 15_000)
    isMute = true
    for (const socket of made) socket.pause()
    await roundTrip(a, b.nodeId, 100_000)
    await until(() => transportOf(a) === 'relay', 15_000)
  }, 30_000)

  it('are made where WebRTC cannot be, and the reason is told', async () => {
    const server = await rendezvous()
    const { make } = connectionMaker()
    const { node: b } = await listening(server, 'b', { createPeerConnection: make })
    const a = await relayedNode(server, 'a', {
      openWebSocket,
      createPeerConnection: () => {
        throw new Error('WebRTC is switched off here')
      },
    })
    await trusted(a, b)
    await until(() => transportOf(a) === 'websocket' && transportOf(b) === 'websocket', 15_000)
    expect(a.peers()[0]?.directReason).toBe('WebRTC: WebRTC is switched off here')
    await until(() => b.peers()[0]?.directReason === 'WebRTC: the peer makes no such paths', 15_000)
  }, 30_000)

  it('end with trust', async () => {
    const server = await rendezvous()
    const { node: b, url } = await listening(server, 'b')
    const identity = Identity.generate(nodeCrypto)
    const a = await relayedNode(server, 'a', { openWebSocket, identity })
    await trusted(a, b)
    await until(() => transportOf(b) === 'websocket', 15_000)
    await b.trust.revoke(a.nodeId)
    await until(() => transportOf(b) !== 'websocket', 15_000)
    const { socket, nonce, ts, closed } = await challenged(url)
    socket.send(reply(a.nodeId, identity.sign(pathChallenge(b.nodeId, a.nodeId, ts, nonce))))
    expect(await closed).toEqual([1008, 'auth failed'])
  }, 30_000)
})

describe('the challenge of a WebSocket path', () => {
  async function scene() {
    const server = await rendezvous()
    const identity = Identity.generate(nodeCrypto)
    const { node: b, url } = await listening(server, 'b')
    const { node: c, url: otherUrl } = await listening(server, 'c')
    const a = await relayedNode(server, 'a', { identity })
    echo(b)
    await trusted(a, b)
    await trusted(a, c)
    await roundTrip(a, b.nodeId, 10)
    return { a, b, c, url, otherUrl, identity }
  }

  it('is met by the key of a trusted peer, whose second connection replaces the first', async () => {
    const { a, b, url, identity } = await scene()
    const first = await challenged(url)
    const text = (ts: number, nonce: string): Uint8Array =>
      pathChallenge(b.nodeId, a.nodeId, ts, nonce)
    first.socket.send(reply(a.nodeId, identity.sign(text(first.ts, first.nonce))))
    expect(`${(await once(first.socket, 'message'))[0]}`).toBe('{"type":"auth_ok"}')
    const second = await challenged(url)
    second.socket.send(reply(a.nodeId, identity.sign(text(second.ts, second.nonce))))
    expect(`${(await once(second.socket, 'message'))[0]}`).toBe('{"type":"auth_ok"}')
    expect(await first.closed).toEqual([1000, 'replaced'])
    second.socket.terminate()
  }, 30_000)

  it('is not met by a stranger, another text, another node, another challenge, or another key', async () => {
    const { a, b, c, url, otherUrl, identity } = await scene()
    const stranger = Identity.generate(nodeCrypto)
    const old = await challenged(url)
    const recorded = identity.sign(pathChallenge(b.nodeId, a.nodeId, old.ts, old.nonce))
    type Answer = (ts: number, nonce: string) => [number, Uint8Array]
    const answers: Record<string, Answer> = {
      stranger: (ts, nonce) => [9999, stranger.sign(pathChallenge(b.nodeId, 9999, ts, nonce))],
      'another key': (ts, nonce) => [
        a.nodeId,
        stranger.sign(pathChallenge(b.nodeId, a.nodeId, ts, nonce)),
      ],
      'a signature for a rendezvous': (ts, nonce) => [
        a.nodeId,
        identity.sign(utf8(`${compatChallenge(a.nodeId, nonce, ts)}`)),
      ],
      'a signature for another door': (ts, nonce) => [
        a.nodeId,
        identity.sign(pathChallenge(c.nodeId, a.nodeId, ts, nonce)),
      ],
      'an answer of before': () => [a.nodeId, recorded],
      "the door's own id": (ts, nonce) => [
        b.nodeId,
        identity.sign(pathChallenge(b.nodeId, b.nodeId, ts, nonce)),
      ],
    }
    for (const [what, answer] of Object.entries(answers)) {
      const { socket, nonce, ts, closed } = await challenged(url)
      socket.send(reply(...answer(ts, nonce)))
      expect([what, await closed]).toEqual([what, [1008, 'auth failed']])
    }
    // And the other way round: what was signed for b is nothing to c.
    const atC = await challenged(otherUrl)
    atC.socket.send(
      reply(a.nodeId, identity.sign(pathChallenge(b.nodeId, a.nodeId, atC.ts, atC.nonce))),
    )
    expect(await atC.closed).toEqual([1008, 'auth failed'])
    old.socket.terminate()
  }, 30_000)

  it('is the only thing that can be answered: no frame, no command, before or after it', async () => {
    const { a, b, url, identity } = await scene()
    for (const first of [
      new Uint8Array([0x50, 0x49, 0x4c, 0x53]),
      '{"type":"auth_ok"}',
      '{"command":"info"}',
      'x'.repeat(5000),
    ]) {
      const { socket, closed } = await challenged(url)
      socket.send(first)
      expect(await closed).toEqual([1008, 'auth failed'])
    }
    const { socket, nonce, ts } = await challenged(url)
    socket.send(reply(a.nodeId, identity.sign(pathChallenge(b.nodeId, a.nodeId, ts, nonce))))
    await once(socket, 'message')
    // A command of the daemon's local socket (u32 length, opcode), a beacon message, frames in another's name.
    const foreign = new Uint8Array(80)
    foreign.set([0x50, 0x49, 0x4c, 0x53, 0, 0, 0x99, 0x99])
    const discover = Uint8Array.of(1, 0, 0, 0, 1)
    for (const bytes of [Uint8Array.of(0, 0, 0, 1, 0x0d), discover, foreign]) socket.send(bytes)
    socket.send('{"type":"anything"}')
    await until(() => (b.info().drops['path-foreign'] ?? 0) === 3, 15_000)
    expect(b.info().drops.forged ?? 0).toBe(0)
    socket.terminate()
  }, 30_000)

  it('is put to 64 strangers at once, for more the oldest are told to come back', async () => {
    const server = await rendezvous()
    const { node, door } = await listening(server, 'b')
    const answers: string[] = []
    for (let i = 0; i < 70; i++) {
      const socket = {
        send: () => void answers.push('challenged'),
        close: (_code: number, reason: string) => void answers.push(reason),
      }
      door.onsocket?.(socket as never)
    }
    expect(answers.filter((one) => one === 'challenged')).toHaveLength(70)
    expect(answers.filter((one) => one === 'try again later')).toHaveLength(6)
    await node.close()
  }, 30_000)
})

describe('URLs of WebSocket paths', () => {
  it('lead to path doors only', () => {
    expect(parsePathUrl('ws://10.0.0.1:8080/v1/path')?.href).toBe('ws://10.0.0.1:8080/v1/path')
    for (const bad of [
      'http://h/v1/path',
      'ws://h/',
      'ws://h/v1/path?x=1',
      'ws://h/v1/path#x',
      'ws://user:p@h/v1/path',
      'ws://127.0.0.1:9222/devtools/browser',
      `ws://${'h'.repeat(300)}/v1/path`,
      'nonsense',
      7,
      null,
    ])
      expect(parsePathUrl(bad)).toBeUndefined()
  })

  it('are at most eight, each once', () => {
    const many = Array.from({ length: 100 }, (_, i) => `ws://10.0.0.${i % 50}/v1/path`)
    expect(pathUrls(many)).toHaveLength(8)
    expect(pathUrls(['wss://h/v1/path', 'wss://h:443/v1/path', 3])).toEqual(['wss://h/v1/path'])
  })

  it('that a page from https may open are encrypted, or stay on the machine', () => {
    const urls = [
      'wss://h/v1/path',
      'ws://10.0.0.1/v1/path',
      'ws://127.0.0.1:1/v1/path',
      'ws://[::1]:1/v1/path',
      'ws://localhost:1/v1/path',
      'ws://127.0.0.1.evil.example/v1/path',
    ]
    expect(dialableUrls(urls, 'http://page')).toEqual(urls)
    expect(dialableUrls(urls, undefined)).toEqual(urls)
    expect(dialableUrls(urls, 'https://page')).toEqual([urls[0], urls[2], urls[3], urls[4]])
  })
})
