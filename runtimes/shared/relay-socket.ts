/**
 * The beacon's relay over one WebSocket as a datagram socket (spec/09), for runtimes and networks without
 * UDP. It authenticates with the node's identity, comes back when it is lost, and keeps nothing that it
 * cannot send at once.
 */
import {
  BEACON_TYPE,
  COMPAT_ALIVE,
  COMPAT_CLOSE,
  COMPAT_MESSAGE_MAX,
  COMPAT_PROTOCOL,
  type CompatMessage,
  compatChallenge,
  decodeCompatMessage,
  type Endpoint,
  encodeBeaconMessage,
  encodeCompatMessage,
  encodePunchFrame,
  type Instant,
  type Signer,
  sameEndpoint,
  toBase64,
  utf8,
  WireError,
} from '../../core/index.ts'
import type { Clock } from './clock.ts'
import { SendGauge } from './send-gauge.ts'
import type { DatagramSocket, SocketEvent } from './transport.ts'
import {
  bytesOf,
  errorText,
  type OpenWebSocket,
  openWebSocket,
  type WebSocketLike,
} from './web-socket.ts'

/** From the name of the host to `auth_ok` (spec/09). */
const DIAL_MS = 20_000
const BACKOFF_MIN_MS = 250
const BACKOFF_MAX_MS = 30_000
/** Who was refused asks no sooner again, unless it has registered anew. */
const REFUSED_MS = 30_000
/** A connection that lived so long makes up for all failures before it. */
const STABLE_MS = 10_000
/** Silence after which the relay is asked for a sign of life, and how long it may take (spec/09). */
const KEEPALIVE_MS = 30_000
const KEEPALIVE_ANSWER_MS = 10_000
/** How long it may take when somebody waits. */
const HURRY_MS = 1000
/** Unanswered questions after which a relay that never answered one is taken to answer none. */
const ECHO_MISSES_MAX = 3
/** Enough to keep the relay busy; more waits where it can still take a direct path. */
const WAITING_BYTES = { highBytes: 1 << 20, lowBytes: 512 << 10 } as const
/** Bytes that wait in the runtime; the newest datagram is dropped. */
const BUFFERED_MAX: number = 4 * 1024 * 1024
const CLOSE_MS = 500

/** Where a node that has nothing but this socket finds its beacon: `beacon` of the node machine. */
export const RELAY_ENDPOINT: Endpoint = { address: 'relay', port: 1 }

export interface RelaySocketOptions {
  /** Of the relay door, see `rendezvousUrls`. */
  readonly url: string
  readonly identity: Signer
  readonly clock: Clock
  /** Default: the global `WebSocket`. */
  readonly openWebSocket?: OpenWebSocket
  /** 0..1, for jitter. Default `Math.random`. */
  readonly random?: () => number
}

type State =
  /** No node id yet. */
  | { readonly name: 'idle' }
  | { readonly name: 'waiting' }
  | { readonly name: 'dialing'; readonly socket: WebSocketLike; hasReplied: boolean }
  | {
      readonly name: 'open'
      readonly socket: WebSocketLike
      readonly since: Instant
      /** It answers `COMPAT_ALIVE`. */
      readonly answersAlive: boolean
    }
  | { readonly name: 'replaced' }
  | { readonly name: 'closed' }

export class RelaySocket implements DatagramSocket {
  /** There is none: nothing reaches us but through the relay. */
  readonly localEndpoint: Endpoint = { address: '0.0.0.0', port: 0 }
  ondatagram: ((datagram: Uint8Array, from: Endpoint) => void) | undefined
  onevent: ((event: SocketEvent) => void) | undefined
  onpressure: ((endpoint: Endpoint, isFull: boolean) => void) | undefined
  readonly #gauge = new SendGauge({
    ...WAITING_BYTES,
    buffered: () => (this.#state.name === 'open' ? this.#state.socket.bufferedAmount : 0),
    onchange: (isFull) => this.onpressure?.(RELAY_ENDPOINT, isFull),
  })
  readonly drops: Record<
    'relay-down' | 'relay-queue' | 'relay-oversize' | 'relay-direct' | 'relay-malformed',
    number
  > = {
    'relay-down': 0,
    'relay-queue': 0,
    'relay-oversize': 0,
    'relay-direct': 0,
    'relay-malformed': 0,
  }
  readonly #options: RelaySocketOptions
  readonly #open: OpenWebSocket
  readonly #random: () => number
  #state: State = { name: 'idle' }
  #nodeId = 0
  #failures = 0
  #lastReason: string | undefined
  #cancelTimer: () => void = () => {}
  #heardAt: Instant = 0
  #hasEchoed = false
  #echoMisses = 0

  constructor(options: RelaySocketOptions) {
    this.#options = options
    this.#open = options.openWebSocket ?? openWebSocket
    this.#random = options.random ?? Math.random
  }

  /** Datagrams flow. */
  get isConnected(): boolean {
    return this.#state.name === 'open'
  }

  /** The registry gave us this id, or confirmed it: a refusal before is worth another try. */
  identify(nodeId: number): void {
    const { name } = this.#state
    const isNew = nodeId !== this.#nodeId
    this.#nodeId = nodeId
    if (name === 'closed' || name === 'replaced') return
    if (isNew || name === 'waiting') this.#redial()
  }

  /** Takes the connection back from whoever replaced us, or tries at once instead of waiting. */
  reconnect(): void {
    if (this.#nodeId !== 0 && this.#state.name !== 'closed') this.#redial()
  }

  /** Somebody waits: tries at once instead of later, and asks an open connection for a sign of life now. */
  hurry(): void {
    const state = this.#state
    if (state.name === 'waiting') this.#redial()
    else if (state.name === 'open') this.#ask(state.socket, HURRY_MS)
  }

  send(datagram: Uint8Array, to: Endpoint): boolean {
    const { drops } = this
    const state = this.#state
    if (!sameEndpoint(to, RELAY_ENDPOINT)) drops['relay-direct']++
    else if (state.name !== 'open') drops['relay-down']++
    else if (datagram.length > COMPAT_MESSAGE_MAX) drops['relay-oversize']++
    else if (state.socket.bufferedAmount + datagram.length > BUFFERED_MAX) drops['relay-queue']++
    else {
      this.#transmit(state.socket, datagram)
      this.#gauge.sent(datagram.length)
    }
    return false
  }

  announce(to: Endpoint, bytes: number): void {
    if (sameEndpoint(to, RELAY_ENDPOINT)) this.#gauge.announce(bytes)
  }

  async close(): Promise<void> {
    const state = this.#state
    this.#enter({ name: 'closed' })
    if (state.name !== 'open' && state.name !== 'dialing') return
    const { socket } = state
    await new Promise<void>((resolve) => {
      const cancel = this.#options.clock.schedule(this.#options.clock.now() + CLOSE_MS, resolve)
      socket.onclose = () => {
        cancel()
        resolve()
      }
      socket.onmessage = null
      socket.close(1000)
    })
  }

  #redial(): void {
    const state = this.#state
    if (state.name === 'open' || state.name === 'dialing') abandon(state.socket)
    this.#dial()
  }

  #dial(): void {
    const { url, clock } = this.#options
    let socket: WebSocketLike
    try {
      socket = this.#open(url, COMPAT_PROTOCOL)
    } catch (error) {
      return this.#wait(error instanceof Error ? error.message : String(error), BACKOFF_MIN_MS)
    }
    socket.binaryType = 'arraybuffer'
    this.#enter({ name: 'dialing', socket, hasReplied: false })
    let problem: string | undefined
    socket.onmessage = ({ data }) => this.#handleMessage(socket, data)
    socket.onerror = (event) => {
      problem = errorText(event)
    }
    socket.onclose = ({ code, reason }) => {
      if (this.#isCurrent(socket)) this.#handleClose(code, reason, problem)
    }
    this.#cancelTimer = clock.schedule(clock.now() + DIAL_MS, () =>
      this.#fail(socket, `not authenticated within ${DIAL_MS / 1000} s`),
    )
  }

  #handleMessage(socket: WebSocketLike, data: unknown): void {
    if (!this.#isCurrent(socket)) return
    this.#heardAt = this.#options.clock.now()
    if (typeof data === 'string') {
      if (this.#state.name === 'dialing') this.#handleText(socket, data)
      return // reserved
    }
    const datagram = bytesOf(data)
    if (this.#state.name !== 'open' || datagram === undefined) this.drops['relay-malformed']++
    else if (this.#isEcho(datagram)) this.#hasEchoed = true
    else this.ondatagram?.(datagram, RELAY_ENDPOINT)
  }

  #handleText(socket: WebSocketLike, text: string): void {
    const state = this.#state
    if (state.name !== 'dialing') return
    let message: CompatMessage
    try {
      message = decodeCompatMessage(text)
    } catch (error) {
      if (!(error instanceof WireError)) throw error
      return this.#fail(socket, `no answer of a relay: ${error.message}`)
    }
    if (message.type === 'auth_challenge' && !state.hasReplied) {
      state.hasReplied = true
      this.#reply(socket, message.nonce, message.ts)
    } else if (message.type === 'auth_ok' && state.hasReplied) {
      const answersAlive = message.alive === true
      if (answersAlive) {
        this.#hasEchoed = true // silence is no sign that it never answers
        this.#echoMisses = 0
      }
      this.#enter({ name: 'open', socket, since: this.#heardAt, answersAlive })
      this.#keepAlive(socket)
      this.onevent?.({ type: 'relay-connected' })
    } else this.#fail(socket, `${message.type} out of turn`)
  }

  #reply(socket: WebSocketLike, nonce: string, ts: number | undefined): void {
    const { identity } = this.#options
    const nodeId = this.#nodeId
    const challenge = utf8(compatChallenge(nodeId, nonce, ts))
    const send = (signature: Uint8Array): void => {
      if (!this.#isCurrent(socket)) return
      const publicKey = toBase64(identity.publicKey)
      socket.send(encodeCompatMessage({ type: 'auth_reply', nodeId, publicKey, signature }))
    }
    if (identity.sign !== undefined) return send(identity.sign(challenge))
    identity.signLater(challenge).then(send, (error: unknown) => {
      this.#fail(socket, error instanceof Error ? error.message : String(error))
    })
  }

  #handleClose(code: number, reason: string, problem: string | undefined): void {
    const { replaced, authFailed } = COMPAT_CLOSE
    if (code === replaced.code && reason === replaced.reason) {
      this.#enter({ name: 'replaced' })
      this.onevent?.({ type: 'relay-replaced' })
      return
    }
    const why = reason === '' ? (problem ?? `closed with code ${code}`) : reason
    this.#wait(why, code === authFailed.code ? REFUSED_MS : BACKOFF_MIN_MS)
  }

  /** We give the connection up. */
  #fail(socket: WebSocketLike, reason: string): void {
    if (!this.#isCurrent(socket)) return
    abandon(socket)
    this.#wait(reason, BACKOFF_MIN_MS)
  }

  #wait(reason: string, leastMs: number): void {
    const { clock } = this.#options
    const state = this.#state
    const now = clock.now()
    if (state.name === 'open' && now - state.since >= STABLE_MS) this.#failures = 0
    const backoffMs = Math.min(BACKOFF_MAX_MS, BACKOFF_MIN_MS * 2 ** Math.min(this.#failures, 16))
    this.#failures++
    this.#enter({ name: 'waiting' })
    const waitMs = Math.max(leastMs, backoffMs) * (1 + this.#random() / 2)
    this.#cancelTimer = clock.schedule(now + waitMs, () => this.#dial())
    // Said once, not at every attempt.
    const isNews = state.name === 'open' || reason !== this.#lastReason
    this.#lastReason = reason
    if (isNews) this.onevent?.({ type: 'relay-lost', reason })
  }

  /**
   * A page can send no ping and sees none, so the relay is asked to relay something to ourselves, or by the text that
   * it said it answers (spec/10 §8). What comes back, or anything else, is life.
   */
  #keepAlive(socket: WebSocketLike): void {
    const { clock } = this.#options
    const now = clock.now()
    const dueAt = this.#heardAt + KEEPALIVE_MS
    if (now >= dueAt && this.#echoMisses < ECHO_MISSES_MAX)
      return this.#ask(socket, KEEPALIVE_ANSWER_MS)
    const at = Math.max(dueAt, now + KEEPALIVE_ANSWER_MS)
    this.#cancelTimer = clock.schedule(at, () => this.#keepAlive(socket))
  }

  #ask(socket: WebSocketLike, answerMs: number): void {
    const { clock } = this.#options
    const now = clock.now()
    if (this.#echoMisses >= ECHO_MISSES_MAX) return // it would say nothing
    this.#cancelTimer()
    const nodeId = this.#nodeId
    const state = this.#state
    if (state.name === 'open' && state.answersAlive) this.#transmit(socket, COMPAT_ALIVE)
    else {
      const frame = encodePunchFrame() // means nothing to whoever might get it instead
      this.#transmit(
        socket,
        encodeBeaconMessage({ type: 'relay', senderId: nodeId, destinationId: nodeId, frame }),
      )
    }
    this.#cancelTimer = clock.schedule(now + answerMs, () => {
      if (this.#heardAt >= now) return this.#keepAlive(socket)
      if (!this.#hasEchoed) this.#echoMisses++
      this.#fail(socket, `no sign of life within ${answerMs / 1000} s`)
    })
  }

  #isEcho(datagram: Uint8Array): boolean {
    if (datagram[0] !== BEACON_TYPE.relayDeliver || datagram.length < 5) return false
    const [, a = 0, b = 0, c = 0, d = 0] = datagram
    return ((a << 24) | (b << 16) | (c << 8) | d) >>> 0 === this.#nodeId
  }

  #isCurrent(socket: WebSocketLike): boolean {
    const state = this.#state
    return (state.name === 'dialing' || state.name === 'open') && state.socket === socket
  }

  #transmit(socket: WebSocketLike, data: Uint8Array | string): void {
    try {
      socket.send(data)
    } catch {
      this.drops['relay-down']++ // closing: its event follows
    }
  }

  #enter(state: State): void {
    this.#cancelTimer()
    this.#cancelTimer = () => {}
    this.#state = state
    this.#gauge.reset()
  }
}

/** Whatever it still has to say, nobody listens. */
function abandon(socket: WebSocketLike): void {
  socket.onopen = null
  socket.onmessage = null
  socket.onclose = null
  socket.onerror = () => {} // `ws` throws what nobody handles
  try {
    socket.close()
  } catch {
    // it was never open
  }
}
