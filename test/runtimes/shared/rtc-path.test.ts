/** One WebRTC path by itself: descriptions and candidates in their order, ICE restarted, given up. */
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import type { SignalBody } from '../../../runtimes/shared/paths/signal-message.ts'
import type {
  DataChannel,
  IceCandidate,
  PeerConnection,
  SessionDescription,
} from '../../../runtimes/shared/rtc/peer-connection.ts'
import { RtcPath } from '../../../runtimes/shared/rtc/rtc-path.ts'

beforeEach(() => void vi.useFakeTimers())
afterEach(() => void vi.useRealTimers())

class FakeConnection implements PeerConnection {
  connectionState = 'new'
  iceConnectionState = 'new'
  onicecandidate: PeerConnection['onicecandidate'] = null
  onconnectionstatechange: PeerConnection['onconnectionstatechange'] = null
  oniceconnectionstatechange: PeerConnection['oniceconnectionstatechange'] = null
  readonly done: string[] = []
  isClosed = false
  readonly channel: DataChannel = {
    bufferedAmount: 0,
    onopen: null,
    onclose: null,
    onmessage: null,
    send: () => {},
    close: () => {},
  }

  createDataChannel(): DataChannel {
    this.find('early') // some gather as soon as there is a channel
    return this.channel
  }
  async createOffer({ iceRestart = false } = {}): Promise<SessionDescription> {
    return { type: 'offer', sdp: iceRestart ? 'again' : 'first' }
  }
  async createAnswer(): Promise<SessionDescription> {
    return { type: 'answer', sdp: 'reply' }
  }
  async setLocalDescription({ sdp }: SessionDescription): Promise<void> {
    this.find(`of ${sdp}`)
  }
  async setRemoteDescription({ sdp }: SessionDescription): Promise<void> {
    this.done.push(`remote ${sdp}`)
  }
  async addIceCandidate(candidate?: IceCandidate): Promise<void> {
    this.done.push(`candidate ${candidate?.candidate ?? 'end'}`)
  }
  close(): void {
    this.isClosed = true
  }

  find(candidate: string): void {
    this.onicecandidate?.({ candidate: { toJSON: () => ({ candidate }) } })
  }
  enter(state: string): void {
    this.connectionState = state
    this.onconnectionstatechange?.(undefined)
  }
}

function scene(isInitiator: boolean) {
  const connection = new FakeConnection()
  const said: string[] = []
  const ends: string[] = []
  let work = Promise.resolve()
  const path = new RtcPath({
    createConnection: () => connection,
    isInitiator,
    say: (body: SignalBody) => {
      if (body.kind === 'description') said.push(`${body.type} ${body.sdp}`)
      if (body.kind === 'candidate') said.push(`candidate ${body.candidate?.candidate ?? 'end'}`)
    },
    later: (next) => {
      work = work.then(next)
    },
    onopen: () => said.push('open'),
    onframe: () => {},
    onend: (reason) => ends.push(reason),
  })
  const settle = (): Promise<void> => vi.advanceTimersByTimeAsync(0).then(() => work)
  return { connection, said, ends, path, settle }
}

describe('a WebRTC path', () => {
  it('says its description before the candidates that belong to it', async () => {
    const { connection, said, settle } = scene(true)
    connection.find('impatient')
    await settle()
    connection.find('late')
    expect(said).toEqual([
      'offer first',
      'candidate impatient',
      'candidate of first',
      'candidate late',
    ])
  })

  it("keeps the peer's candidates until its description has come, and no more than 64", async () => {
    const { connection, path, said } = scene(false)
    for (let i = 0; i < 70; i++)
      await path.handle({ kind: 'candidate', candidate: { candidate: `${i}` } })
    expect(connection.done).toEqual([])
    await path.handle({ kind: 'description', type: 'offer', sdp: 'theirs' })
    expect(connection.done).toHaveLength(65)
    expect(connection.done.slice(0, 2)).toEqual(['remote theirs', 'candidate 0'])
    await path.handle({ kind: 'candidate', candidate: null })
    expect(connection.done.at(-1)).toBe('candidate end')
    expect(said).toEqual(['answer reply', 'candidate of reply'])
  })

  it('takes no offer from who did not begin, and no answer from who did', async () => {
    const first = scene(true)
    await first.path.handle({ kind: 'description', type: 'offer', sdp: 'x' })
    expect(first.ends).toEqual(['the peer sent an offer out of turn'])
    const second = scene(false)
    await second.path.handle({ kind: 'description', type: 'answer', sdp: 'x' })
    expect(second.ends).toEqual(['the peer sent an answer out of turn'])
    expect(second.connection.done).toEqual([])
  })

  it('restarts ICE at once when it failed, and goes on when that helped', async () => {
    const { connection, said, ends, path, settle } = scene(true)
    await settle()
    connection.channel.onopen?.(undefined)
    connection.enter('connected')
    connection.enter('failed')
    await settle()
    expect(said.at(-2)).toBe('offer again')
    await path.handle({ kind: 'description', type: 'answer', sdp: 'renewed' })
    connection.enter('connected')
    await vi.advanceTimersByTimeAsync(60_000)
    expect([ends, path.isOpen]).toEqual([[], true])
  })

  it('waits 2.5 s when it is only disconnected, and lets the one who began restart it', async () => {
    const ours = scene(true)
    const theirs = scene(false)
    for (const { connection, settle } of [ours, theirs]) {
      await settle()
      connection.channel.onopen?.(undefined)
      connection.enter('disconnected')
    }
    await vi.advanceTimersByTimeAsync(2000)
    expect(ours.said).not.toContain('offer again')
    await vi.advanceTimersByTimeAsync(600)
    expect(ours.said).toContain('offer again')
    expect(theirs.said).not.toContain('offer again')
  })

  it('is given up when ICE finds no other way within 10 s, at either end', async () => {
    for (const isInitiator of [true, false]) {
      const { connection, ends, settle } = scene(isInitiator)
      await settle()
      connection.channel.onopen?.(undefined)
      connection.enter('failed')
      await vi.advanceTimersByTimeAsync(9000)
      expect(ends).toEqual([])
      await vi.advanceTimersByTimeAsync(2000)
      expect(ends).toEqual(['ICE found no other path'])
      expect(connection.isClosed).toBe(true)
    }
  })

  it('tells why it never came about', async () => {
    const none = scene(true)
    none.connection.enter('failed')
    expect(none.ends).toEqual(['ICE found no path'])
    const foreign = scene(true)
    foreign.connection.iceConnectionState = 'connected'
    foreign.connection.oniceconnectionstatechange?.(undefined)
    foreign.connection.enter('failed')
    expect(foreign.ends[0]).toContain('another certificate')
    const slow = scene(true)
    await vi.advanceTimersByTimeAsync(20_000)
    expect(slow.ends).toEqual(['no direct path was found in time'])
  })
})
