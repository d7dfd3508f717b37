/** WebRTC across a lane: two werift connections, each in the hands of a host, each driven from the other end of a port. */
import { afterEach, describe, expect, it } from 'vitest'
import { RTCPeerConnection as WeriftConnection } from 'werift'
import { NO_STUN } from '../../../runtimes/node/rtc/backend.ts'
import { unpackFrames } from '../../../runtimes/shared/rtc/frame-pack.ts'
import type {
  DataChannel,
  DataChannelInit,
  PeerConnection,
  SessionDescription,
} from '../../../runtimes/shared/rtc/peer-connection.ts'
import { RemoteConnections } from '../../../runtimes/shared/rtc/remote-connection.ts'
import { ConnectionHost } from '../../../runtimes/shared/rtc/remote-connection-host.ts'
import {
  type ClientMessage,
  type HostMessage,
  type PortLike,
  portLane,
} from '../../../runtimes/shared/rtc/remote-messages.ts'

const CHANNEL: DataChannelInit = { negotiated: true, id: 0, ordered: false, maxRetransmits: 0 }

const atEnd: (() => void)[] = []
afterEach(() => {
  for (const close of atEnd.splice(0).reverse()) close()
})

function loopbackConnection(): PeerConnection {
  return new WeriftConnection({
    iceServers: [NO_STUN as { urls: string }],
    iceUseIpv6: false,
    iceAdditionalHostAddresses: ['127.0.0.1'],
    iceFilterCandidatePair: ({ localCandidate, remoteCandidate }) =>
      localCandidate.host === '127.0.0.1' && remoteCandidate.host === '127.0.0.1',
  }) as unknown as PeerConnection
}

interface Pair {
  readonly client: RemoteConnections
  readonly host: ConnectionHost
}

function across(
  createConnection: () => PeerConnection,
  options: { readonly transferChannels?: boolean } = {},
): Pair {
  const { port1, port2 } = new MessageChannel()
  const client = new RemoteConnections(
    portLane<ClientMessage, HostMessage>(port1 as unknown as PortLike),
  )
  const lane = portLane<HostMessage, ClientMessage>(port2 as unknown as PortLike)
  const host = new ConnectionHost({ lane, createConnection, ...options })
  atEnd.push(() => {
    host.close()
    port1.close()
    port2.close()
  })
  return { client, host }
}

async function until(check: () => boolean, ms = 10_000): Promise<void> {
  const end = Date.now() + ms
  while (!check() && Date.now() < end) await new Promise((resolve) => setTimeout(resolve, 5))
  expect(check()).toBe(true)
}

/** Connects two as signaling would. */
async function connect(a: PeerConnection, b: PeerConnection): Promise<[DataChannel, DataChannel]> {
  const open = { a: false, b: false }
  const channels: [DataChannel, DataChannel] = [
    a.createDataChannel('pilot', CHANNEL),
    b.createDataChannel('pilot', CHANNEL),
  ]
  channels[0].onopen = () => {
    open.a = true
  }
  channels[1].onopen = () => {
    open.b = true
  }
  a.onicecandidate = ({ candidate }) => void b.addIceCandidate(candidate?.toJSON())
  b.onicecandidate = ({ candidate }) => void a.addIceCandidate(candidate?.toJSON())
  const offer = (await a.createOffer()) as SessionDescription
  await a.setLocalDescription(offer)
  await b.setRemoteDescription(offer)
  const answer = (await b.createAnswer()) as SessionDescription
  await b.setLocalDescription(answer)
  await a.setRemoteDescription(answer)
  await until(() => open.a && open.b)
  return channels
}

/** A connection whose channel opens at once and whose network the test is. */
class FakeConnection implements PeerConnection {
  connectionState = 'new'
  onicecandidate: PeerConnection['onicecandidate'] = null
  onconnectionstatechange: PeerConnection['onconnectionstatechange'] = null
  isClosed = false
  readonly channel = new FakeChannel()

  createDataChannel(): DataChannel {
    setTimeout(() => this.channel.onopen?.(undefined), 0)
    return this.channel
  }
  createOffer(): Promise<SessionDescription> {
    return Promise.reject(new Error('no offer today'))
  }
  createAnswer(): Promise<SessionDescription> {
    return new Promise(() => {})
  }
  async setLocalDescription(): Promise<void> {}
  async setRemoteDescription(): Promise<void> {}
  async addIceCandidate(): Promise<void> {}
  close(): void {
    this.isClosed = true
  }
}

class FakeChannel implements DataChannel {
  bufferedAmount = 0
  onopen: DataChannel['onopen'] = null
  onmessage: DataChannel['onmessage'] = null
  onclose: DataChannel['onclose'] = null
  readonly sent: Uint8Array[] = []

  send(data: Uint8Array): void {
    this.sent.push(data.slice())
    this.bufferedAmount += data.length
  }
  close(): void {}
}

async function fake(): Promise<Pair & { ours: PeerConnection; real: FakeConnection }> {
  const real = new FakeConnection()
  const pair = across(() => real)
  const ours = pair.client.create()
  return { ...pair, ours, real }
}

describe('connections across a lane', () => {
  it('connect, and carry frames of every size in both directions', async () => {
    const left = across(loopbackConnection)
    const right = across(loopbackConnection)
    const a = left.client.create()
    const b = right.client.create()
    const [ca, cb] = await connect(a, b)
    await until(() => a.connectionState === 'connected' && b.connectionState === 'connected')
    const got: Uint8Array[] = []
    const back: Uint8Array[] = []
    cb.onmessage = ({ data }) => {
      got.push(data as Uint8Array)
      cb.send((data as Uint8Array<ArrayBuffer>).slice())
    }
    ca.onmessage = ({ data }) => back.push(data as Uint8Array)
    const sizes = [1, 16_384, 1200, 2, 900]
    for (const size of sizes) ca.send(new Uint8Array(size).fill(size & 255))
    await until(() => back.length === sizes.length)
    for (const frames of [got, back]) {
      const lengths = frames.map(({ length }) => length)
      expect(lengths.sort((x, y) => x - y)).toEqual([...sizes].sort((x, y) => x - y))
      for (const frame of frames)
        expect(frame.every((byte) => byte === (frame.length & 255))).toBe(true)
    }
    a.close()
    await until(() => left.host.size === 0)
  })

  it('share one lane, each with its own frames and its own end', async () => {
    const left = across(loopbackConnection)
    const right = across(loopbackConnection)
    const pairs = await Promise.all(
      [1, 2, 3].map(async (mark) => {
        const [a, b] = [left.client.create(), right.client.create()]
        const [ca, cb] = await connect(a, b)
        const got: number[] = []
        cb.onmessage = ({ data }) => got.push((data as Uint8Array)[0]!)
        return { mark, a, ca, got }
      }),
    )
    for (const { mark, ca } of pairs) ca.send(Uint8Array.of(mark))
    await until(() => pairs.every(({ got }) => got.length === 1))
    for (const { mark, got } of pairs) expect(got).toEqual([mark])
    pairs[0]!.a.close()
    await until(() => left.host.size === 2)
    expect(left.client.size).toBe(2)
  })

  it('tell honestly what waits in the channel', async () => {
    const { ours, real } = await fake()
    const channel = ours.createDataChannel('pilot', CHANNEL)
    let isOpen = false
    channel.onopen = () => {
      isOpen = true
    }
    await until(() => isOpen)
    for (let i = 0; i < 10; i++) channel.send(new Uint8Array(1000))
    expect(channel.bufferedAmount).toBe(10_000)
    await until(() => real.channel.sent.length === 10)
    await new Promise((resolve) => setTimeout(resolve, 60))
    expect(channel.bufferedAmount).toBe(10_000) // handed over is not sent
    real.channel.bufferedAmount = 4000
    await until(() => channel.bufferedAmount === 4000)
    let isLow = false
    channel.onbufferedamountlow = () => {
      isLow = true
    }
    real.channel.bufferedAmount = 0
    await until(() => channel.bufferedAmount === 0)
    expect(isLow).toBe(true)
  })

  it('drop and count what a busy end does not take, and go on after it', async () => {
    const { ours, real, host } = await fake()
    const channel = ours.createDataChannel('pilot', CHANNEL)
    let got = 0
    channel.onmessage = () => got++
    let isOpen = false
    channel.onopen = () => {
      isOpen = true
    }
    await until(() => isOpen)
    const frame = new Uint8Array(16_384)
    // All in one turn: the client cannot acknowledge anything meanwhile.
    for (let i = 0; i < 1000; i++) real.channel.onmessage?.({ data: frame })
    expect(host.dropped).toBeGreaterThan(700)
    await until(() => got === 1000 - host.dropped)
    const before = got
    real.channel.onmessage?.({ data: frame })
    await until(() => got === before + 1)
    // The other direction: a channel whose queue is full.
    real.channel.bufferedAmount = 4 << 20
    const dropped = host.dropped
    channel.send(new Uint8Array(100))
    await until(() => host.dropped === dropped + 1)
    real.channel.bufferedAmount = 0
    await until(() => channel.bufferedAmount === 0) // dropped is not waiting
  })

  it('pass on why an operation failed, and fail what is open when they close', async () => {
    const { ours } = await fake()
    await expect(ours.createOffer()).rejects.toMatchObject({
      code: 'ERR_PATH',
      message: 'no offer today',
    })
    const answer = ours.createAnswer()
    ours.close()
    await expect(answer).rejects.toMatchObject({ code: 'ERR_PATH' })
    await expect(ours.createOffer()).rejects.toMatchObject({ code: 'ERR_PATH' })
  })

  it('end all together, with the reason, when the other end dies; later ones are closed from the start', async () => {
    const { client, ours } = await fake()
    const channel = ours.createDataChannel('pilot', CHANNEL)
    const said: string[] = []
    ours.onconnectionstatechange = () =>
      void said.push(`${ours.connectionState}: ${ours.closeReason}`)
    channel.onclose = () => void said.push('channel closed')
    const offer = ours.createAnswer()
    client.end('the process died')
    await expect(offer).rejects.toMatchObject({ message: 'the process died' })
    expect(said.sort()).toEqual(['channel closed', 'closed: the process died'])
    expect(client.size).toBe(0)
    expect(() => channel.send(new Uint8Array(1))).toThrow(/not open/)
    expect(client.create().connectionState).toBe('closed')
  })

  it('are refused above the limit, and when none can be made, with the reason', async () => {
    const { client } = across(() => new FakeConnection())
    const all = Array.from({ length: 257 }, () => client.create())
    await until(() => all.some(({ connectionState }) => connectionState === 'closed'))
    expect(all[256]?.closeReason).toContain('256')
    expect(all[0]?.connectionState).toBe('new')
    const broken = across(() => {
      throw new Error('no WebRTC here')
    }).client.create()
    await until(() => broken.connectionState === 'closed')
    expect(broken.closeReason).toBe('no WebRTC here')
  })

  it('use the channel itself where it can be handed over', async () => {
    const { port1, port2 } = new MessageChannel()
    atEnd.push(() => {
      port1.close()
      port2.close()
    })
    const real = new FakeConnection()
    // A lane on which a channel can travel, as between a page and its worker.
    const client = { post: (_: ClientMessage) => {}, onmessage: undefined } as {
      post: (message: ClientMessage) => void
      onmessage: ((message: HostMessage) => void) | undefined
    }
    const hostLane = {
      post: (message: HostMessage) => client.onmessage?.(message),
      onmessage: undefined as ((message: ClientMessage) => void) | undefined,
    }
    const host = new ConnectionHost({
      lane: hostLane,
      createConnection: () => real,
      transferChannels: true,
    })
    client.post = (message) => hostLane.onmessage?.(message)
    const ours = new RemoteConnections(client).create()
    const channel = ours.createDataChannel('pilot', CHANNEL)
    const got: unknown[] = []
    channel.onmessage = ({ data }) => got.push(data)
    let isOpen = false
    channel.onopen = () => {
      isOpen = true
    }
    await until(() => isOpen)
    channel.send(Uint8Array.of(1, 2))
    expect(real.channel.sent).toEqual([Uint8Array.of(1, 2)])
    expect(channel.bufferedAmount).toBe(2)
    real.channel.onmessage?.({ data: Uint8Array.of(3) })
    expect(got).toEqual([Uint8Array.of(3)])
    host.close()
  })

  it('fall back to the lane where a channel cannot be cloned', async () => {
    const real = new FakeConnection()
    const { client } = across(() => real, { transferChannels: true })
    const channel = client.create().createDataChannel('pilot', CHANNEL)
    let isOpen = false
    channel.onopen = () => {
      isOpen = true
    }
    await until(() => isOpen)
    channel.send(Uint8Array.of(7))
    await until(() => real.channel.sent.length === 1)
  })
})

it('packed frames cut short at the end give those that are whole', () => {
  expect(unpackFrames(Uint8Array.of(0, 0, 0, 1, 9, 0, 0, 0, 5, 1))).toEqual([Uint8Array.of(9)])
  expect(unpackFrames(Uint8Array.of(0, 0))).toEqual([])
})
