/** Runs in the page: bulk over a bare data channel, a bare WebSocket, and our own streams. */
import { createNode } from '../../../runtimes/browser/index.ts'
import type { PilotConnection, PilotNode } from '../../../runtimes/shared/api.ts'

/** Ordered and reliable, as PeerJS and simple-peer have it; or as our paths are. */
export type ChannelKind = 'reliable' | 'datagram'

/** PeerJS and simple-peer cut to 16 KiB too; what fits every browser. */
const MESSAGE_BYTES = 16_384
const BUFFERED_MAX = 1 << 18
const SINK_PORT = 9

let connection: RTCPeerConnection | undefined
let channel: RTCDataChannel | undefined
let received = 0
let node: PilotNode | undefined

const OPTIONS: Record<ChannelKind, RTCDataChannelInit> = {
  reliable: { negotiated: true, id: 0 },
  datagram: { negotiated: true, id: 0, ordered: false, maxRetransmits: 0 },
}

/** A message of one byte is the receiver's answer. */
function watch(made: RTCDataChannel): void {
  made.binaryType = 'arraybuffer'
  made.bufferedAmountLowThreshold = BUFFERED_MAX / 2
  made.onmessage = ({ data }) => {
    received += (data as ArrayBuffer).byteLength
  }
}

function create(kind: ChannelKind): RTCPeerConnection {
  connection = new RTCPeerConnection({ iceServers: [] })
  channel = connection.createDataChannel('bench', OPTIONS[kind])
  watch(channel)
  received = 0
  return connection
}

/** With all candidates: nothing is trickled. */
async function gathered(made: RTCPeerConnection): Promise<string> {
  if (made.iceGatheringState !== 'complete')
    await new Promise<void>((resolve) => {
      made.onicegatheringstatechange = () => {
        if (made.iceGatheringState === 'complete') resolve()
      }
    })
  return made.localDescription?.sdp ?? ''
}

async function until(check: () => boolean): Promise<void> {
  while (!check()) await new Promise((resolve) => setTimeout(resolve, 1))
}

const bench = {
  async offer(kind: ChannelKind) {
    const made = create(kind)
    await made.setLocalDescription(await made.createOffer())
    return gathered(made)
  },
  async answer(kind: ChannelKind, sdp: string) {
    const made = create(kind)
    await made.setRemoteDescription({ type: 'offer', sdp })
    await made.setLocalDescription(await made.createAnswer())
    return gathered(made)
  },
  accept: (sdp: string) => connection?.setRemoteDescription({ type: 'answer', sdp }),
  opened: () => until(() => channel?.readyState === 'open'),
  received: () => received,
  hangUp: () => connection?.close(),
  /** Sends with backpressure; what has arrived is counted by the other end. */
  async sendOnChannel(bytes: number) {
    const made = channel!
    const message = new Uint8Array(MESSAGE_BYTES)
    for (let sent = 0; sent < bytes; sent += MESSAGE_BYTES) {
      if (made.bufferedAmount > BUFFERED_MAX)
        await new Promise((resolve) => {
          made.onbufferedamountlow = resolve
        })
      made.send(message)
    }
    await until(() => made.bufferedAmount === 0)
  },
  /** MB/s to a server that answers the last byte. */
  async webSocket(url: string, bytes: number) {
    const socket = new WebSocket(url)
    socket.binaryType = 'arraybuffer'
    await new Promise((resolve) => {
      socket.onopen = resolve
    })
    const message = new Uint8Array(65_536)
    const answered = new Promise((resolve) => {
      socket.onmessage = resolve
    })
    const started = performance.now()
    for (let sent = 0; sent < bytes; sent += message.length) {
      if (socket.bufferedAmount > 16 * BUFFERED_MAX)
        await until(() => socket.bufferedAmount < 8 * BUFFERED_MAX)
      socket.send(message)
    }
    await answered
    const rate = bytes / 1000 / (performance.now() - started)
    socket.close()
    return rate
  },
  async join(rendezvous: string, hostname: string) {
    const workerUrl = new URL('/worker.js', location.href).href
    node = await createNode({ rendezvous, hostname, isPublic: true, workerUrl } as never)
    node.listen(SINK_PORT).onconnection = (stream) => sink(stream)
    return node.nodeId
  },
  async trust(peerId: number) {
    await node!.trust.request(peerId)
    return node!.trust.wait(peerId, 10_000)
  },
  transport: () => node!.peers()[0]?.transport ?? 'none',
  state: () => ({ drops: node!.info().drops, connections: node!.connections() }),
  ping: (peer: string) => node!.ping(peer),
  /** MB/s of a stream to the peer's sink, until its end of stream has answered ours. */
  async send(peer: string, bytes: number) {
    const stream = await node!.dial(`${peer}:${SINK_PORT}`)
    const chunk = new Uint8Array(262_144)
    const started = performance.now()
    const ended = new Promise<void>((resolve) => {
      stream.onreadable = () => {
        while (stream.read() !== undefined);
        if (stream.ended) resolve()
      }
    })
    for (let sent = 0; sent < bytes; ) {
      const taken = stream.write(chunk.subarray(0, Math.min(chunk.length, bytes - sent)))
      sent += taken
      if (taken === 0 || (taken < chunk.length && sent < bytes))
        await new Promise<void>((resolve) => {
          stream.onwritable = resolve
        })
    }
    stream.close()
    await ended
    return bytes / 1000 / (performance.now() - started)
  },
}

function sink(stream: PilotConnection): void {
  stream.onreadable = () => {
    while (stream.read() !== undefined);
    if (stream.ended) stream.close()
  }
}

Object.assign(globalThis, { bench, tab: bench })
