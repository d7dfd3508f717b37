/** Signaling that somebody meddles with: no direct path comes of it, the relay goes on, and the reason is told. */
import { afterEach, describe, expect, it } from 'vitest'
import { fromUtf8, utf8, viewOf } from '../../../core/bytes.ts'
import { Identity } from '../../../core/index.ts'
import { nodeCrypto } from '../../../runtimes/node/crypto.ts'
import { RtcProcess } from '../../../runtimes/node/rtc/rtc-process.ts'
import type { PilotConnection } from '../../../runtimes/shared/api.ts'
import { encodeSignal } from '../../../runtimes/shared/paths/signal-message.ts'
import type { SharedPilotNode } from '../../../runtimes/shared/pilot-node.ts'
import type {
  LocalDescription,
  PeerConnection,
} from '../../../runtimes/shared/rtc/peer-connection.ts'
import {
  closeAll,
  connectionMaker,
  echo,
  loopbackConnection,
  open,
  relayedNode,
  rendezvous,
  roundTrip,
  transportOf,
  trusted,
  until,
} from './relayed-nodes.ts'

afterEach(closeAll)

const { make: createPeerConnection, made } = connectionMaker()

/** What a middle makes of the messages of one side: the frames to send instead of this one. */
type Meddler = (frame: Uint8Array, index: number) => readonly Uint8Array[]

/** Every talk that this node begins passes through a middle. */
function meddle(node: SharedPilotNode, makeMeddler: () => Meddler): void {
  const dial = node.dial.bind(node)
  node.dial = async (target, options) => {
    const stream = await dial(target, options)
    if (typeof target === 'string' || target.port !== 446) return stream
    const meddler = makeMeddler()
    const write = stream.write.bind(stream)
    let index = 0
    return Object.assign(stream, {
      write: (frame: Uint8Array) => {
        for (const one of meddler(frame.slice(), index++)) write(one)
        return frame.length
      },
    } satisfies Partial<PilotConnection>)
  }
}

function edit(frame: Uint8Array, change: (json: Record<string, unknown>) => void): Uint8Array {
  const json = JSON.parse(fromUtf8(frame.subarray(4)) ?? '') as Record<string, unknown>
  change(json)
  const text = utf8(JSON.stringify(json))
  const edited = new Uint8Array(4 + text.length)
  viewOf(edited).setUint32(0, text.length)
  edited.set(text, 4)
  return edited
}

async function twoNodes(): Promise<[SharedPilotNode, SharedPilotNode]> {
  const server = await rendezvous()
  const a = await relayedNode(server, 'a', { createPeerConnection })
  const b = await relayedNode(server, 'b', { createPeerConnection })
  echo(b)
  return [a, b]
}

async function refused(a: SharedPilotNode, b: SharedPilotNode, reason: RegExp): Promise<void> {
  await trusted(a, b)
  const reasons = (): string => `${a.peers()[0]?.directReason} / ${b.peers()[0]?.directReason}`
  await until(() => reason.test(reasons()), 25_000)
  expect([transportOf(a), transportOf(b)]).toEqual(['relay', 'relay'])
  await roundTrip(a, b.nodeId, 50_000)
  expect([transportOf(a), transportOf(b)]).toEqual(['relay', 'relay'])
}

describe('signaling in which a middle', () => {
  const frames: Uint8Array[] = []
  const cases: Record<string, [() => Meddler, RegExp]> = {
    'changes a description': [
      () => (frame) => [
        edit(frame, (json) => {
          json.body = String(json.body).replace(/fingerprint:sha-256 ../, 'fingerprint:sha-256 00')
        }),
      ],
      /WebRTC: .*invalid signature/,
    ],
    'signs with another key': [
      () => (frame) => [
        edit(frame, (json) => {
          json.signature = Buffer.alloc(64, 7).toString('base64')
        }),
      ],
      /WebRTC: .*invalid signature/,
    ],
    'puts another number on a message': [
      () => (frame) => [
        edit(frame, (json) => {
          json.sequence = Number(json.sequence) + 1
        }),
      ],
      /WebRTC: .*invalid signature/,
    ],
    'drops a message': [
      () => (frame, index) => (index === 1 ? [] : [frame]),
      /WebRTC: .*signaling was tampered with/,
    ],
    'repeats a message': [
      () => (frame, index) => (index === 1 ? [frame, frame] : [frame]),
      /WebRTC: .*signaling was tampered with/,
    ],
    'swaps two messages': [
      () => {
        let held: Uint8Array | undefined
        return (frame, index) => {
          if (index === 0) {
            held = frame
            return []
          }
          return index === 1 ? [frame, held!] : [frame]
        }
      },
      /WebRTC: .*signaling was tampered with/,
    ],
    'repeats the talk before': [
      () => {
        const old = frames.splice(0)
        return (frame, index) => {
          frames.push(frame)
          // The first talk ends by a drop; what was said in it is said again in the next.
          return old.length === 0 ? (index === 1 ? [] : [frame]) : [old[index] ?? frame]
        }
      },
      /WebRTC: .*signaling was tampered with/,
    ],
    'announces more than a message holds': [
      () => () => [Uint8Array.of(0x7f, 0xff, 0xff, 0xff)],
      /WebRTC: .*signal of 2147483647 bytes/,
    ],
    'sends what is no message': [
      () => () => [Uint8Array.of(0, 0, 0, 2, 0x7b, 0x7d)],
      /WebRTC: .*invalid session/,
    ],
  }
  for (const [what, [meddler, reason]] of Object.entries(cases))
    it(`${what} leads to no path`, async () => {
      const [a, b] = await twoNodes()
      for (const node of [a, b]) meddle(node, meddler)
      await refused(a, b, reason)
    }, 30_000)
})

it('a peer that says again and again which paths it has ends the talk', async () => {
  const server = await rendezvous()
  const identity = Identity.generate(nodeCrypto)
  const a = await relayedNode(server, 'a', { createPeerConnection })
  const b = await relayedNode(server, 'b', { identity })
  await trusted(a, b)
  const stream = await b.dial({ address: { network: 0, node: a.nodeId }, port: 446 })
  const parties = { sender: b.nodeId, receiver: a.nodeId, session: '7'.repeat(32) }
  const body = { kind: 'paths', webrtc: false, websocket: [] } as const
  for (const sequence of [1, 2])
    stream.write(await encodeSignal(nodeCrypto, identity, parties, sequence, body))
  await until(() => a.peers()[0]?.directReason.includes('more than once') === true, 5000)
}, 30_000)

it('a peer that begins talk after talk is refused after the tenth', async () => {
  const server = await rendezvous()
  const a = await relayedNode(server, 'a', { createPeerConnection })
  const b = await relayedNode(server, 'b')
  await trusted(a, b)
  const target = { address: { network: 0, node: a.nodeId }, port: 446 }
  const ends = await Promise.all(
    Array.from({ length: 14 }, async () => {
      const stream = await b.dial(target)
      return Promise.race([
        stream.closed.then(
          () => 'closed',
          ({ code }: { code: string }) => code,
        ),
        new Promise<string>((resolve) => setTimeout(() => resolve('open'), 1000)),
      ])
    }),
  )
  expect(ends.filter((end) => end === 'ERR_CONNECTION_RESET').length).toBeGreaterThanOrEqual(3)
  expect(ends.filter((end) => end !== 'ERR_CONNECTION_RESET').length).toBeGreaterThanOrEqual(5)
}, 30_000)

/** Signs for a certificate that is not its own: what it says of itself was true of somebody else. */
function lying(connection: PeerConnection): PeerConnection {
  const foreign = `${'AB:'.repeat(31)}AB`
  const lie = (description: LocalDescription): LocalDescription => ({
    type: description.type,
    sdp: (description.sdp ?? '').replace(/(a=fingerprint:sha-256 ).*/g, `$1${foreign}`),
  })
  const { createOffer, createAnswer, setLocalDescription } = connection
  let truth: LocalDescription | undefined
  return Object.assign(connection, {
    createOffer: async () => {
      truth = await createOffer.call(connection)
      return lie(truth)
    },
    createAnswer: async () => {
      truth = await createAnswer.call(connection)
      return lie(truth)
    },
    setLocalDescription: () => setLocalDescription.call(connection, truth as never),
  })
}

describe('a description signed by the peer, but with the fingerprint of another certificate', () => {
  it('leads to no path, by werift', async () => {
    const server = await rendezvous()
    const a = await relayedNode(server, 'a', { createPeerConnection })
    const b = await relayedNode(server, 'b', {
      createPeerConnection: () => lying(loopbackConnection() as unknown as PeerConnection),
    })
    echo(b)
    await refused(a, b, /WebRTC: .*certificate/)
  }, 40_000)

  it('leads to no path, by node-datachannel', async () => {
    const server = await rendezvous()
    const processes = [0, 1].map(
      () => new RtcProcess({ backends: ['native'], settings: { bindAddress: '127.0.0.1' } }),
    )
    open.push(...processes)
    const [one, other] = processes
    const a = await relayedNode(server, 'a', { createPeerConnection: () => one!.create() })
    const b = await relayedNode(server, 'b', { createPeerConnection: () => lying(other!.create()) })
    echo(b)
    await refused(a, b, /WebRTC: .*certificate/)
  }, 40_000)
})

describe('a WebRTC path', () => {
  it('is one, however exactly both dial at once', async () => {
    const [a, b] = await twoNodes()
    for (let round = 0; round < 3; round++) {
      made.length = 0
      await trusted(a, b)
      await until(() => transportOf(a) === 'webrtc' && transportOf(b) === 'webrtc', 10_000)
      await new Promise((resolve) => setTimeout(resolve, 500))
      expect(made.filter(({ connectionState }) => connectionState === 'connected')).toHaveLength(2)
      expect(made.filter(({ connectionState }) => connectionState !== 'closed')).toHaveLength(2)
      await roundTrip(a, b.nodeId, 10_000)
      await Promise.all([a.trust.revoke(b.nodeId), b.trust.revoke(a.nodeId)])
      await until(() => made.every(({ connectionState }) => connectionState === 'closed'), 5000)
    }
  }, 60_000)

  it('that says it is open and carries nothing any more is made anew', async () => {
    const server = await rendezvous()
    let isDeaf = true
    const deaf = (): PeerConnection => {
      const connection = createPeerConnection()
      if (!isDeaf) return connection
      const create = connection.createDataChannel.bind(connection)
      connection.createDataChannel = (label, init) => {
        const channel = create(label, init)
        const send = channel.send.bind(channel)
        let sent = 0
        channel.send = (frame) => {
          if (sent++ < 50) send(frame)
        }
        return channel
      }
      return connection
    }
    const a = await relayedNode(server, 'a', { createPeerConnection: deaf })
    const b = await relayedNode(server, 'b', { createPeerConnection: deaf })
    echo(b)
    await trusted(a, b)
    await until(() => transportOf(a) === 'webrtc' && transportOf(b) === 'webrtc', 10_000)
    await roundTrip(a, b.nodeId, 2_000_000)
    await until(() => transportOf(a) === 'relay', 10_000)
    isDeaf = false
    made.length = 0
    await until(() => made.length > 0 && transportOf(a) === 'webrtc', 40_000)
    await roundTrip(a, b.nodeId, 100_000)
  }, 80_000)

  it('whose connection dies is made anew', async () => {
    const [a, b] = await twoNodes()
    made.length = 0
    await trusted(a, b)
    await until(() => transportOf(a) === 'webrtc' && transportOf(b) === 'webrtc', 10_000)
    const dead = [...made]
    for (const connection of dead) await connection.close()
    await until(() => transportOf(a) === 'relay', 5000)
    await roundTrip(a, b.nodeId, 1000)
    await until(() => transportOf(a) === 'webrtc' && transportOf(b) === 'webrtc', 10_000)
    expect(made.length).toBeGreaterThan(dead.length)
  }, 60_000)
})
