/** WebRTC in a child process: both implementations there, against each other, and what becomes of paths when it dies. */

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { connect, createServer, type Socket } from 'node:net'
import { afterEach, describe, expect, it } from 'vitest'
import { loadBackend, type WebRtcBackend } from '../../../runtimes/node/rtc/backend.ts'
import { PipeLane } from '../../../runtimes/node/rtc/pipe-lane.ts'
import { RtcProcess } from '../../../runtimes/node/rtc/rtc-process.ts'
import { stunOf } from '../../../runtimes/node/web-rtc.ts'
import type {
  DataChannel,
  PeerConnection,
  SessionDescription,
} from '../../../runtimes/shared/rtc/peer-connection.ts'
import type { ClientMessage, HostMessage } from '../../../runtimes/shared/rtc/remote-messages.ts'

const CHANNEL = { negotiated: true, id: 0, ordered: false, maxRetransmits: 0 }

const atEnd: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const close of atEnd.splice(0).reverse()) await close()
})

function rtcProcess(...backends: WebRtcBackend[]): RtcProcess {
  const rtc = new RtcProcess({ backends, settings: { bindAddress: '127.0.0.1' } })
  atEnd.push(() => rtc.close())
  return rtc
}

async function until(check: () => boolean, ms = 15_000): Promise<void> {
  const end = Date.now() + ms
  while (!check() && Date.now() < end) await new Promise((resolve) => setTimeout(resolve, 10))
  expect(check()).toBe(true)
}

async function connectPair(a: PeerConnection, b: PeerConnection): Promise<DataChannel[]> {
  const channels = [a, b].map((one) => one.createDataChannel('pilot', CHANNEL))
  let open = 0
  for (const channel of channels)
    channel.onopen = () => {
      open++
    }
  a.onicecandidate = ({ candidate }) => void b.addIceCandidate(candidate?.toJSON()).catch(() => {})
  b.onicecandidate = ({ candidate }) => void a.addIceCandidate(candidate?.toJSON()).catch(() => {})
  const offer = (await a.createOffer()) as SessionDescription
  await a.setLocalDescription(offer)
  await b.setRemoteDescription(offer)
  const answer = (await b.createAnswer()) as SessionDescription
  await b.setLocalDescription(answer)
  await a.setRemoteDescription(answer)
  await until(() => open === 2)
  return channels
}

function isRunning(pid: number): boolean {
  try {
    // A zombie is still a process to signals.
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'))
  } catch {
    return false
  }
}

describe('WebRTC in a process of its own', () => {
  for (const [left, right] of [
    ['native', 'native'],
    ['native', 'werift'],
    ['werift', 'native'],
  ] as const)
    it(`${left} offers, ${right} answers: frames of 1 to 16 384 bytes pass both ways`, async () => {
      const [a, b] = [rtcProcess(left), rtcProcess(right)]
      const [ca, cb] = await connectPair(a.create(), b.create())
      expect([a.backend, b.backend]).toEqual([left, right])
      const back = new Set<number>()
      cb!.onmessage = ({ data }) => cb!.send((data as Uint8Array<ArrayBuffer>).slice())
      ca!.onmessage = ({ data }) => {
        const frame = data as Uint8Array
        expect(frame.every((byte) => byte === (frame.length & 255))).toBe(true)
        back.add(frame.length)
      }
      for (const size of [1, 1200, 16_384]) ca!.send(new Uint8Array(size).fill(size & 255))
      await until(() => back.size === 3)
    }, 30_000)

  it('starts with the first connection, and not before', async () => {
    const rtc = rtcProcess('native')
    expect(rtc.pid).toBeUndefined()
    rtc.create()
    expect(rtc.pid).toBeGreaterThan(0)
    const pid = rtc.pid!
    await rtc.close()
    expect(isRunning(pid)).toBe(false)
    expect(rtc.create().connectionState).toBe('closed')
  })

  it('that is killed closes its connections with the reason, and is started again', async () => {
    const [a, b] = [rtcProcess('native'), rtcProcess('native')]
    const one = a.create()
    const lost: string[] = []
    a.onevent = ({ reason }) => void lost.push(reason)
    const [channel] = await connectPair(one, b.create())
    let isChannelClosed = false
    channel!.onclose = () => {
      isChannelClosed = true
    }
    process.kill(a.pid!, 'SIGKILL')
    await until(() => one.connectionState === 'closed')
    expect(one.closeReason).toContain('SIGKILL')
    expect(isChannelClosed).toBe(true)
    expect(lost).toHaveLength(1)
    expect(a.create().connectionState).toBe('closed') // not at once
    await until(() => a.create().connectionState === 'new', 5000)
    await connectPair(a.create(), b.create())
  }, 30_000)

  it('that hangs is killed, and told to be gone', async () => {
    const rtc = new RtcProcess({ backends: ['native'], settings: {}, hangMs: 1500 })
    atEnd.push(() => rtc.close())
    const connection = rtc.create()
    await until(() => rtc.backend === 'native')
    const pid = rtc.pid!
    process.kill(pid, 'SIGSTOP')
    await until(() => connection.connectionState === 'closed', 8000)
    expect(connection.closeReason).toContain('does not answer')
    await until(() => !isRunning(pid), 15_000)
  }, 20_000)

  it('ends when no connection is left for a while, without a word, and starts again when one is wanted', async () => {
    const rtc = new RtcProcess({ backends: ['native'], settings: {}, idleMs: 500 })
    atEnd.push(() => rtc.close())
    const lost: string[] = []
    rtc.onevent = ({ reason }) => void lost.push(reason)
    const connection = rtc.create()
    await until(() => rtc.backend === 'native')
    const pid = rtc.pid!
    await new Promise((resolve) => setTimeout(resolve, 1200))
    expect(rtc.pid).toBe(pid)
    connection.close()
    await until(() => rtc.pid === undefined, 5000)
    await until(() => !isRunning(pid), 15_000)
    expect(lost).toEqual([])
    expect(rtc.create().connectionState).toBe('new')
    expect(rtc.pid).not.toBe(pid)
  }, 20_000)

  it('that finds no implementation says so', async () => {
    const rtc = new RtcProcess({ backends: ['missing' as WebRtcBackend], settings: {} })
    atEnd.push(() => rtc.close())
    const connection = rtc.create()
    await until(() => connection.connectionState === 'closed')
    expect(connection.closeReason).toContain('missing is no WebRTC')
  })

  it('ends with the process that started it, even one that is killed', async () => {
    const script = `
      import { RtcProcess } from ${JSON.stringify(new URL('../../../runtimes/node/rtc/rtc-process.ts', import.meta.url).href)}
      const rtc = new RtcProcess({ backends: ['native'], settings: { bindAddress: '127.0.0.1' } })
      rtc.create().createDataChannel('pilot', ${JSON.stringify(CHANNEL)})
      console.log(rtc.pid)
      setInterval(() => {}, 1000)`
    const parent = spawn(process.execPath, ['--input-type=module', '-e', script], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    const [line] = (await once(parent.stdout, 'data')) as [Buffer]
    const pid = Number(line.toString())
    await new Promise((resolve) => setTimeout(resolve, 300))
    expect(isRunning(pid)).toBe(true)
    parent.kill('SIGKILL')
    await until(() => !isRunning(pid), 15_000)
  })

  it('keeps nobody alive', async () => {
    const script = `
      import { RtcProcess } from ${JSON.stringify(new URL('../../../runtimes/node/rtc/rtc-process.ts', import.meta.url).href)}
      const rtc = new RtcProcess({ backends: ['native'], settings: { bindAddress: '127.0.0.1' } })
      rtc.create().createDataChannel('pilot', ${JSON.stringify(CHANNEL)})`
    const parent = spawn(process.execPath, ['--input-type=module', '-e', script], {
      stdio: 'inherit',
    })
    const [code] = (await once(parent, 'exit')) as [number]
    expect(code).toBe(0)
  })
})

describe('the pipe to it', () => {
  async function pair(): Promise<[Socket, Socket]> {
    const server = createServer().listen(0, '127.0.0.1')
    await once(server, 'listening')
    const ours = connect((server.address() as { port: number }).port, '127.0.0.1')
    const [theirs] = (await once(server, 'connection')) as [Socket]
    server.close()
    atEnd.push(async () => {
      ours.destroy()
      theirs.destroy()
    })
    return [ours, theirs]
  }

  it('carries text and frames in order, however they are cut', async () => {
    const [ours, theirs] = await pair()
    const lane = new PipeLane<HostMessage, ClientMessage>(theirs)
    const got: ClientMessage[] = []
    lane.onmessage = (message) => void got.push(message)
    const sender = new PipeLane<ClientMessage, HostMessage>({
      // One byte at a time.
      on: () => {},
      cork: () => {},
      uncork: () => {},
      write: (bytes: Uint8Array) => {
        for (const byte of bytes) ours.write(Uint8Array.of(byte))
      },
    } as never)
    sender.post({ kind: 'create', connection: 1, settings: undefined })
    sender.post({ kind: 'frames', connection: 0xffff_fffe, packed: Uint8Array.of(1, 2, 3) })
    sender.post({ kind: 'close', connection: 1 })
    await until(() => got.length === 3)
    expect(got[0]).toEqual({ kind: 'create', connection: 1 })
    expect(got[1]).toMatchObject({ kind: 'frames', connection: 0xffff_fffe })
    expect([...(got[1] as { packed: Uint8Array }).packed]).toEqual([1, 2, 3])
    expect(got[2]).toEqual({ kind: 'close', connection: 1 })
  })

  it.each([
    ['a length above the limit', [0x7f, 0, 0, 0, 0]],
    ['no length', [0, 0, 0, 0]],
    ['an unknown kind', [0, 0, 0, 2, 9, 9]],
    ['text that is no JSON', [0, 0, 0, 2, 0, 0x7b]],
    ['frames of nobody', [0, 0, 0, 2, 1, 0]],
  ])('is destroyed by %s', async (_what, bytes) => {
    const [ours, theirs] = await pair()
    new PipeLane<HostMessage, ClientMessage>(theirs)
    ours.on('error', () => {})
    ours.write(Uint8Array.from(bytes))
    await once(theirs, 'close')
  })
})

it('STUN is asked of the beacon, unless that is on this machine', () => {
  expect(stunOf({ address: '192.0.2.1', port: 9001 })).toEqual([{ urls: 'stun:192.0.2.1:9001' }])
  expect(stunOf({ address: '2001:db8::1', port: 1 })).toEqual([{ urls: 'stun:[2001:db8::1]:1' }])
  expect(stunOf({ address: '127.0.0.1', port: 9001 })).toEqual([])
  expect(stunOf(undefined)).toEqual([])
})

it('werift is spared names that browsers hide behind', async () => {
  const connection = (await loadBackend('werift'))({ bindAddress: '127.0.0.1' })
  const hidden = 'candidate:1 1 udp 2113937151 0a1b.local 50000 typ host'
  // Without a description any other candidate would be kept for later or refused; this one is let go.
  await connection.addIceCandidate({ candidate: hidden, sdpMid: '0' })
  await connection.close()
})
