/** The relay as a datagram socket, in virtual time on a WebSocket that does what the test says (spec/09). */
import { beforeEach, describe, expect, it } from 'vitest'
import {
  compatChallenge,
  decodeCompatMessage,
  encodeBeaconMessage,
  encodePunchFrame,
  Identity,
  toHex,
  utf8,
} from '../../../core/index.ts'
import { nodeCrypto } from '../../../runtimes/node/crypto.ts'
import { RELAY_ENDPOINT, RelaySocket } from '../../../runtimes/shared/relay-socket.ts'
import { rendezvousUrls, type WebSocketLike } from '../../../runtimes/shared/web-socket.ts'

const NONCE = 'ab'.repeat(32)
const CHALLENGE = `{"type":"auth_challenge","nonce":"${NONCE}","ts":1748000000}`
const OK = '{"type":"auth_ok"}'
const NODE_ID = 0xfffffffe

class FakeClock {
  #now = 1000
  #timers: { at: number; tick: () => void }[] = []
  now = (): number => this.#now
  schedule = (at: number, tick: () => void): (() => void) => {
    if (!Number.isFinite(at)) throw new Error(`a timer at ${at}`)
    const timer = { at, tick }
    this.#timers.push(timer)
    return () => {
      this.#timers = this.#timers.filter((one) => one !== timer)
    }
  }
  get timers(): number {
    return this.#timers.length
  }
  advance(ms: number): void {
    const end = this.#now + ms
    for (;;) {
      const next = this.#timers.sort((a, b) => a.at - b.at)[0]
      if (next === undefined || next.at > end) break
      this.#timers.shift()
      this.#now = Math.max(this.#now, next.at)
      next.tick()
    }
    this.#now = end
  }
}

class FakeWebSocket implements WebSocketLike {
  binaryType = 'blob'
  bufferedAmount = 0
  onopen: WebSocketLike['onopen'] = null
  onmessage: WebSocketLike['onmessage'] = null
  onclose: WebSocketLike['onclose'] = null
  onerror: WebSocketLike['onerror'] = null
  readonly sent: (string | Uint8Array)[] = []
  isClosed = false
  readonly url: string
  readonly protocol: string
  readonly openedAt: number
  constructor(url: string, protocol: string, openedAt: number) {
    this.url = url
    this.protocol = protocol
    this.openedAt = openedAt
  }
  send(data: string | Uint8Array): void {
    this.sent.push(data)
  }
  close(): void {
    this.isClosed = true
  }
  text(data: string): void {
    this.onmessage?.({ data })
  }
  binary(data: Uint8Array): void {
    this.onmessage?.({ data: data.slice().buffer })
  }
  end(code: number, reason = ''): void {
    this.onclose?.({ code, reason })
  }
  authenticate(): void {
    this.text(CHALLENGE)
    this.text(OK)
  }
}

let clock: FakeClock
let sockets: FakeWebSocket[]
let events: string[]
let received: string[]
let relay: RelaySocket
const identity = Identity.fromSeed(nodeCrypto, nodeCrypto.sha256(utf8('relay')))

const current = (): FakeWebSocket => sockets.at(-1)!

beforeEach(() => {
  clock = new FakeClock()
  sockets = []
  events = []
  received = []
  relay = new RelaySocket({
    url: 'wss://example.org/v1/compat',
    identity,
    clock,
    random: () => 0,
    openWebSocket: (url, protocol) => {
      const socket = new FakeWebSocket(url, protocol, clock.now())
      sockets.push(socket)
      return socket
    },
  })
  relay.onevent = (event) =>
    events.push('reason' in event ? `${event.type}: ${event.reason}` : event.type)
  relay.ondatagram = (datagram, from) => received.push(`${from.address} ${toHex(datagram)}`)
})

describe('authentication', () => {
  it('waits for the node id, then signs the challenge and is open with auth_ok', () => {
    clock.advance(60_000)
    expect(sockets).toEqual([])
    relay.identify(NODE_ID)
    expect(current()).toMatchObject({
      url: 'wss://example.org/v1/compat',
      protocol: 'pilot.v1',
      binaryType: 'arraybuffer',
    })
    current().text(CHALLENGE)
    const reply = decodeCompatMessage(current().sent[0] as string)
    if (reply.type !== 'auth_reply') throw new Error(reply.type)
    const signed = utf8(compatChallenge(NODE_ID, NONCE, 1748000000))
    expect(reply.nodeId).toBe(NODE_ID)
    expect(nodeCrypto.ed25519Verify(identity.publicKey, signed, reply.signature)).toBe(true)
    expect(relay.isConnected).toBe(false)
    current().text(OK)
    expect(relay.isConnected).toBe(true)
    expect(events).toEqual(['relay-connected'])
  })

  it('signs the older form when the challenge has no time', () => {
    relay.identify(7)
    current().text(`{"type":"auth_challenge","nonce":"${NONCE}"}`)
    const reply = decodeCompatMessage(current().sent[0] as string)
    if (reply.type !== 'auth_reply') throw new Error(reply.type)
    const signed = utf8(compatChallenge(7, NONCE, undefined))
    expect(nodeCrypto.ed25519Verify(identity.publicKey, signed, reply.signature)).toBe(true)
  })

  it.each([
    ['auth_ok without a challenge', [OK], 'auth_ok out of turn'],
    ['a second challenge', [CHALLENGE, CHALLENGE], 'auth_challenge out of turn'],
    ['what is no message', ['hello'], 'no answer of a relay: not JSON'],
    [
      'a nonce that could make the text mean something else',
      [CHALLENGE.replace(NONCE, `${NONCE.slice(1)}:`)],
      'no answer of a relay: a challenge has a nonce of 64 hex digits',
    ],
  ])('gives up on %s', (_what, texts, reason) => {
    relay.identify(7)
    for (const text of texts) current().text(text)
    expect(current().isClosed).toBe(true)
    expect(events).toEqual([`relay-lost: ${reason}`])
  })

  it('gives up after 20 s and tries again', () => {
    relay.identify(7)
    clock.advance(19_999)
    expect(current().isClosed).toBe(false)
    clock.advance(1)
    expect(current().isClosed).toBe(true)
    expect(events).toEqual(['relay-lost: not authenticated within 20 s'])
    clock.advance(250)
    expect(sockets).toHaveLength(2)
  })
})

describe('datagrams', () => {
  const open = (): FakeWebSocket => {
    relay.identify(7)
    current().authenticate()
    current().sent.length = 0
    return current()
  }
  const frame = Uint8Array.of(5, 1, 2, 3)

  it('queues nothing before it is open', () => {
    relay.send(frame, RELAY_ENDPOINT)
    relay.identify(7)
    relay.send(frame, RELAY_ENDPOINT)
    current().authenticate()
    expect(current().sent).toHaveLength(1) // the reply
    expect(relay.drops['relay-down']).toBe(2)
  })

  it('go out as they are, and come in from the relay in memory of their own', () => {
    const socket = open()
    relay.send(frame, { ...RELAY_ENDPOINT })
    expect(socket.sent).toEqual([frame])
    const bytes = Uint8Array.of(6, 0, 0, 0, 9, 0x50)
    socket.binary(bytes)
    bytes.fill(0)
    socket.onmessage?.({ data: Uint8Array.of(6, 0, 0, 0, 8) }) // as `ws` may hand it out
    socket.text('reserved')
    expect(received).toEqual(['relay 060000000950', 'relay 0600000008'])
  })

  it('are dropped and counted where they cannot go', () => {
    const socket = open()
    relay.send(frame, { address: '192.0.2.1', port: 4000 })
    relay.send(new Uint8Array(65_537), RELAY_ENDPOINT)
    socket.bufferedAmount = 4 * 1024 * 1024 - 3
    relay.send(frame, RELAY_ENDPOINT)
    socket.send = () => {
      throw new Error('closing')
    }
    socket.bufferedAmount = 0
    relay.send(frame, RELAY_ENDPOINT)
    expect(socket.sent).toEqual([])
    expect(relay.drops).toMatchObject({
      'relay-direct': 1,
      'relay-oversize': 1,
      'relay-queue': 1,
      'relay-down': 1,
    })
    socket.onmessage?.({ data: { size: 3 } }) // a Blob, where `binaryType` is not obeyed
    expect(relay.drops['relay-malformed']).toBe(1)
  })
})

describe('reconnecting', () => {
  it('waits 250 ms, doubles to 30 s, and says why once', () => {
    relay.identify(7)
    const waits: number[] = []
    for (let i = 0; i < 9; i++) {
      const lostAt = clock.now()
      current().onerror?.({ message: 'nothing listens there' })
      current().end(1006)
      const count = sockets.length
      while (sockets.length === count) clock.advance(10)
      waits.push(current().openedAt - lostAt)
    }
    expect(waits).toEqual([250, 500, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000])
    expect(events).toEqual(['relay-lost: nothing listens there'])
  })

  it('begins anew with 250 ms after a connection that lasted, not after one that did not', () => {
    relay.identify(7)
    const waitAfter = (aliveMs: number): number => {
      current().authenticate()
      clock.advance(aliveMs)
      const lostAt = clock.now()
      const count = sockets.length
      current().end(1006)
      while (sockets.length === count) clock.advance(10)
      return current().openedAt - lostAt
    }
    expect([100, 100, 100, 10_000, 100].map(waitAfter)).toEqual([250, 500, 1000, 250, 500])
  })

  it('adds jitter of up to a half', () => {
    relay = new RelaySocket({
      url: 'ws://h',
      identity,
      clock,
      random: () => 0.999,
      openWebSocket: (url, protocol) => {
        sockets.push(new FakeWebSocket(url, protocol, clock.now()))
        return current()
      },
    })
    relay.identify(7)
    current().end(1006)
    clock.advance(374)
    expect(sockets).toHaveLength(1)
    clock.advance(1)
    expect(sockets).toHaveLength(2)
  })

  it('asks no sooner than 30 s after it was refused, unless it has registered anew', () => {
    relay.identify(7)
    current().end(1008, 'auth failed')
    clock.advance(29_999)
    expect(sockets).toHaveLength(1)
    clock.advance(1)
    expect(sockets).toHaveLength(2)
    current().end(1008, 'auth failed')
    relay.identify(7)
    expect(sockets).toHaveLength(3)
    relay.identify(7) // while that is under way
    expect(sockets).toHaveLength(3)
  })

  it('comes back under a new id', () => {
    relay.identify(7)
    current().authenticate()
    const old = current()
    relay.identify(8)
    expect(old.isClosed).toBe(true)
    current().text(CHALLENGE)
    expect(decodeCompatMessage(current().sent[0] as string)).toMatchObject({ nodeId: 8 })
    old.onmessage?.({ data: 'x' })
    expect(sockets).toHaveLength(2)
  })

  it('does not fight who replaced it, until it is told to', () => {
    relay.identify(7)
    current().authenticate()
    current().end(1000, 'replaced')
    relay.identify(7)
    clock.advance(3_600_000)
    expect(sockets).toHaveLength(1)
    expect(clock.timers).toBe(0)
    expect(events).toEqual(['relay-connected', 'relay-replaced'])
    relay.reconnect()
    current().authenticate()
    expect(relay.isConnected).toBe(true)
  })

  it('comes back from a normal close that is no replacement', () => {
    relay.identify(7)
    current().authenticate()
    current().end(1001, 'going away')
    clock.advance(250)
    expect(sockets).toHaveLength(2)
    expect(events).toEqual(['relay-connected', 'relay-lost: going away'])
  })

  it('outlives a constructor that throws', () => {
    let throws = true
    relay = new RelaySocket({
      url: 'ws://h',
      identity,
      clock,
      random: () => 0,
      openWebSocket: (url, protocol) => {
        if (throws) throw new Error('not allowed here')
        sockets.push(new FakeWebSocket(url, protocol, clock.now()))
        return current()
      },
    })
    relay.identify(7)
    throws = false
    clock.advance(250)
    expect(sockets).toHaveLength(1)
  })
})

describe('keepalive', () => {
  const ECHO = encodeBeaconMessage({
    type: 'relay',
    senderId: 7,
    destinationId: 7,
    frame: encodePunchFrame(),
  })
  const ECHOED = encodeBeaconMessage({
    type: 'relay-deliver',
    senderId: 7,
    frame: encodePunchFrame(),
  })
  const open = (): FakeWebSocket => {
    current().authenticate()
    current().sent.length = 0
    return current()
  }

  it('asks after 30 s of silence, and reconnects when nothing comes within 10 s', () => {
    relay.identify(7)
    const socket = open()
    clock.advance(29_999)
    expect(socket.sent).toEqual([])
    clock.advance(1)
    expect(socket.sent).toEqual([ECHO])
    clock.advance(9_999)
    expect(socket.isClosed).toBe(false)
    clock.advance(1)
    expect(socket.isClosed).toBe(true)
    expect(events.at(-1)).toBe('relay-lost: no sign of life within 10 s')
  })

  it('takes the echo, or anything else, for life, and keeps the echo to itself', () => {
    relay.identify(7)
    const socket = open()
    clock.advance(30_000)
    socket.binary(ECHOED)
    clock.advance(30_000)
    expect(socket.sent).toEqual([ECHO, ECHO])
    socket.binary(Uint8Array.of(6, 0, 0, 0, 9))
    clock.advance(20_000)
    expect(socket.isClosed).toBe(false)
    expect(received).toEqual(['relay 0600000009'])
  })

  it('asks by a text where the relay said that it answers that, and goes on asking whatever comes of it', () => {
    relay.identify(7)
    for (let i = 0; i < 5; i++) {
      current().text(CHALLENGE)
      current().text('{"type":"auth_ok","alive":true}')
      const socket = current()
      socket.sent.length = 0
      clock.advance(30_000)
      expect(socket.sent).toEqual(['{"type":"alive"}'])
      socket.text('{"type":"alive"}')
      clock.advance(30_000)
      expect(socket.sent).toHaveLength(2)
      clock.advance(10_000)
      expect(socket.isClosed).toBe(true)
      clock.advance(60_000)
    }
    expect(received).toEqual([])
  })

  it('asks nothing while frames come', () => {
    relay.identify(7)
    const socket = open()
    for (let i = 0; i < 20; i++) {
      clock.advance(25_000)
      socket.binary(Uint8Array.of(6, 0, 0, 0, 9))
    }
    expect(socket.sent).toEqual([])
  })

  it('believes after three connections that a relay echoes nothing, unless it ever did', () => {
    relay.identify(7)
    for (let i = 0; i < 3; i++) {
      open()
      clock.advance(42_000)
    }
    const socket = open()
    clock.advance(3_600_000)
    expect(socket).toMatchObject({ isClosed: false, sent: [] })
    expect(sockets).toHaveLength(4)
  })

  it('asks at once when somebody waits, and reconnects when nothing comes within a second', () => {
    relay.identify(7)
    const socket = open()
    clock.advance(5000)
    relay.hurry()
    expect(socket.sent).toEqual([ECHO])
    clock.advance(500)
    socket.binary(ECHOED)
    clock.advance(20_000)
    expect(socket.isClosed).toBe(false)
    relay.hurry()
    clock.advance(1000)
    expect(socket.isClosed).toBe(true)
    expect(events.at(-1)).toBe('relay-lost: no sign of life within 1 s')
    relay.hurry() // waits to try again
    expect(sockets).toHaveLength(2)
  })

  it('goes on asking a relay that once did', () => {
    relay.identify(7)
    open()
    clock.advance(30_000)
    current().binary(ECHOED)
    for (let i = 0; i < 6; i++) {
      clock.advance(60_000)
      open()
    }
    expect(sockets.length).toBeGreaterThan(6)
  })
})

describe('close', () => {
  it('ends whatever is under way and leaves no timer', async () => {
    relay.identify(7)
    current().authenticate()
    const closed = relay.close()
    expect(current().isClosed).toBe(true)
    current().end(1000)
    await closed
    expect(clock.timers).toBe(0)
    relay.identify(8)
    relay.reconnect()
    relay.send(Uint8Array.of(5), RELAY_ENDPOINT)
    expect(sockets).toHaveLength(1)
    expect(events).toEqual(['relay-connected'])
    await relay.close()
  })

  it('does not wait longer than half a second, nor for a connection that waits', async () => {
    relay.identify(7)
    current().authenticate()
    const closed = relay.close()
    clock.advance(500)
    await closed
    relay = new RelaySocket({ url: 'ws://h', identity, clock })
    await relay.close()
    expect(clock.timers).toBe(0)
  })
})

describe('the URL of a rendezvous', () => {
  it.each([
    ['wss://h', 'wss://h'],
    ['https://h/', 'wss://h'],
    ['ws://127.0.0.1:8080/v1', 'ws://127.0.0.1:8080'],
    ['http://[::1]:8080/v1/compat/', 'ws://[::1]:8080'],
    ['wss://h/pilot/v1/compat', 'wss://h/pilot'],
  ])('%s', (text, base) => {
    expect(rendezvousUrls(text)).toEqual({
      relay: `${base}/v1/compat`,
      registry: `${base}/v1/registry`,
    })
  })

  it.each(['', 'h:1', 'ftp://h', 'wss://u:p@h', 'wss://h?x', 'wss://h#x'])('not %j', (text) => {
    expect(() => rendezvousUrls(text)).toThrow(
      expect.objectContaining({ code: 'ERR_INVALID_ARGUMENT' }),
    )
  })
})
