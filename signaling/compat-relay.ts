/**
 * WebSockets of nodes that reach the beacon in no other way (spec/09), as a machine: who is behind each,
 * how much each may send, what waits for each. A child of the beacon, which decides where a frame goes.
 */
import { toHex, utf8, viewOf } from '../core/bytes.ts'
import type { CryptoProvider } from '../core/crypto/provider.ts'
import { WireError } from '../core/errors.ts'
import type { Instant } from '../core/machine.ts'
import { TokenBuckets } from '../core/rate-limit.ts'
import {
  COMPAT_CLOSE,
  COMPAT_MESSAGE_MAX,
  type CompatMessage,
  compatChallenge,
  decodeCompatMessage,
  encodeCompatMessage,
} from '../core/rendezvous/compat-message.ts'
import { BEACON_TYPE, RELAY_OVERHEAD_BYTES } from '../core/wire/beacon-message.ts'
import {
  COMPAT_AUTH_MS,
  COMPAT_CHALLENGE_SECONDS,
  COMPAT_IDLE_MS,
  COMPAT_PING_MS,
  COMPAT_SWEEP_MS,
  type CompatLimits,
  DEFAULT_COMPAT_LIMITS,
} from './limits.ts'
import type { RegistryNow } from './registry.ts'
import { rateKey } from './request-fields.ts'

/** RelayDeliver has no destination id (spec/02 §2). */
const DELIVER_SAVES_BYTES = 4

export interface CompatRelayOptions {
  readonly limits?: Partial<CompatLimits>
  readonly random: CryptoProvider['random']
  readonly verify: CryptoProvider['ed25519Verify']
  /** Ed25519 key of a registered node: no other proves who is there. */
  readonly registeredKey: (nodeId: number) => Uint8Array | undefined
  /**
   * False where a runtime can neither send pings nor see those of clients: a silent WebSocket is closed only when its
   * node is not registered any more. Default true.
   */
  readonly pings?: boolean
  /** The runtime answers `COMPAT_ALIVE`; nodes are told. Default false. */
  readonly answersAlive?: boolean
}

/** One WebSocket. Its fields are the relay's. */
export interface CompatConnection {
  readonly source: string
  readonly nonce: string
  /** Unix seconds of the challenge. */
  readonly challengedAt: number
  readonly openedAt: Instant
  state: 'challenged' | 'open' | 'closed'
  /** 0 until authenticated. */
  nodeId: number
  heardAt: Instant
  pingedAt: Instant
  /** Handed out and not yet taken by the network. */
  queuedBytes: number
  frameTokens: number
  byteTokens: number
  tokensAt: Instant
}

/** What must be known of a WebSocket to go on with it elsewhere. */
export type StoredConnection = Pick<
  CompatConnection,
  'source' | 'nonce' | 'challengedAt' | 'openedAt' | 'state' | 'nodeId' | 'heardAt'
>

export type CompatTransmit =
  | { readonly type: 'text'; readonly connection: CompatConnection; readonly text: string }
  /** Tell `handleSent` when the bytes have left. */
  | { readonly type: 'binary'; readonly connection: CompatConnection; readonly bytes: Uint8Array }
  | { readonly type: 'ping'; readonly connection: CompatConnection }
  /** The last of its connection. */
  | {
      readonly type: 'close'
      readonly connection: CompatConnection
      readonly code: number
      readonly reason: string
    }

/** Totals since the start. */
export interface CompatCounters {
  opened: number
  authenticated: number
  authFailures: number
  replaced: number
  timedOut: number
  /** Upgrades refused. */
  readonly refused: { rateLimited: number; full: number }
  /** Dropped messages by reason. */
  readonly drops: {
    oversize: number
    malformed: number
    notAllowed: number
    forgedSender: number
    rateLimited: number
    queueFull: number
    /** Sent by a connection that was replaced or closed, or waited for one. */
    closed: number
  }
}

export class CompatRelay {
  readonly counters: CompatCounters = {
    opened: 0,
    authenticated: 0,
    authFailures: 0,
    replaced: 0,
    timedOut: 0,
    refused: { rateLimited: 0, full: 0 },
    drops: {
      oversize: 0,
      malformed: 0,
      notAllowed: 0,
      forgedSender: 0,
      rateLimited: 0,
      queueFull: 0,
      closed: 0,
    },
  }
  readonly #options: CompatRelayOptions
  readonly #limits: CompatLimits
  readonly #upgrades: TokenBuckets<string>
  readonly #connections = new Set<CompatConnection>()
  readonly #perSource = new Map<string, number>()
  readonly #byNode = new Map<number, CompatConnection>()
  #queue: CompatTransmit[] = []
  #queueHead = 0
  #queuedBytes = 0
  #sweepAt: Instant

  constructor(options: CompatRelayOptions, now: Instant) {
    this.#options = options
    this.#limits = { ...DEFAULT_COMPAT_LIMITS, ...options.limits }
    this.#upgrades = new TokenBuckets({
      burst: this.#limits.upgradeBurst,
      perSecond: this.#limits.upgradesPerSecond,
    })
    this.#sweepAt = now + COMPAT_SWEEP_MS
  }

  /** WebSockets, authenticated or not. */
  get connectionCount(): number {
    return this.#connections.size
  }

  get nodeCount(): number {
    return this.#byNode.size
  }

  /** Bytes handed out for all connections and not yet taken by the network. */
  get queuedBytes(): number {
    return this.#queuedBytes
  }

  /** Nodes connected here. */
  ids(): IterableIterator<number> {
    return this.#byNode.keys()
  }

  find(nodeId: number): CompatConnection | undefined {
    return this.#byNode.get(nodeId)
  }

  /** Whether this address may upgrade now; asked once per attempt. */
  admit(source: string, now: Instant): 'admitted' | 'rate-limited' | 'full' {
    if (!this.#upgrades.take(rateKey(source), now)) {
      this.counters.refused.rateLimited++
      return 'rate-limited'
    }
    if (this.#hasRoom(source)) return 'admitted'
    this.counters.refused.full++
    return 'full'
  }

  /** A WebSocket is open; it is challenged. */
  open(source: string, { at, unixSeconds }: RegistryNow): CompatConnection {
    const { framesPerSecond, bytesPerSecond } = this.#limits
    const connection: CompatConnection = {
      source,
      nonce: toHex(this.#options.random(32)),
      challengedAt: unixSeconds,
      openedAt: at,
      state: 'challenged',
      nodeId: 0,
      heardAt: at,
      pingedAt: at,
      queuedBytes: 0,
      frameTokens: framesPerSecond,
      byteTokens: bytesPerSecond,
      tokensAt: at,
    }
    // Between `admit` and now others may have come.
    if (!this.#hasRoom(source)) {
      this.counters.refused.full++
      this.#close(connection, COMPAT_CLOSE.tryLater)
      return connection
    }
    this.counters.opened++
    this.#connections.add(connection)
    this.#perSource.set(source, (this.#perSource.get(source) ?? 0) + 1)
    const { nonce } = connection
    const challenge = encodeCompatMessage({ type: 'auth_challenge', nonce, ts: unixSeconds })
    this.#push({ type: 'text', connection, text: challenge })
    return connection
  }

  /** A WebSocket that another process of ours had got so far with, which is gone. */
  resume(stored: StoredConnection, at: Instant): CompatConnection {
    const { framesPerSecond, bytesPerSecond } = this.#limits
    const connection: CompatConnection = {
      ...stored,
      pingedAt: at,
      queuedBytes: 0,
      frameTokens: framesPerSecond,
      byteTokens: bytesPerSecond,
      tokensAt: at,
    }
    this.#connections.add(connection)
    const { source, state, nodeId } = stored
    this.#perSource.set(source, (this.#perSource.get(source) ?? 0) + 1)
    if (state !== 'open') return connection
    // Of two, the one that replaced the other: its close may not have left.
    const other = this.#byNode.get(nodeId)
    const isOlder = other !== undefined && other.openedAt > connection.openedAt
    if (!isOlder) this.#byNode.set(nodeId, connection)
    if (other !== undefined) this.#close(isOlder ? connection : other, COMPAT_CLOSE.replaced)
    return connection
  }

  /** Authentication; after `auth_ok` text is reserved and ignored. */
  handleText(connection: CompatConnection, text: string, now: RegistryNow): void {
    if (connection.state === 'closed') return
    connection.heardAt = now.at
    if (connection.state === 'open') return
    const nodeId = this.#authenticate(connection, text, now)
    if (nodeId === undefined) {
      this.counters.authFailures++
      return this.#close(connection, COMPAT_CLOSE.authFailed)
    }
    const older = this.#byNode.get(nodeId)
    if (older !== undefined) {
      this.counters.replaced++
      this.#close(older, COMPAT_CLOSE.replaced)
    }
    this.counters.authenticated++
    connection.state = 'open'
    connection.nodeId = nodeId
    this.#byNode.set(nodeId, connection)
    const alive = this.#options.answersAlive === true ? ({ alive: true } as const) : {}
    const reply = encodeCompatMessage({ type: 'auth_ok', ...alive })
    this.#push({ type: 'text', connection, text: reply })
  }

  /**
   * A binary message. True when it is a frame of the node behind this connection, to be relayed; all else is
   * dropped and counted. Discover is legal and means nothing: there is no endpoint to report.
   */
  takeRelay(connection: CompatConnection, message: Uint8Array, now: Instant): boolean {
    const { drops } = this.counters
    if (connection.state !== 'open') {
      if (connection.state === 'closed') drops.closed++
      else {
        this.counters.authFailures++
        this.#close(connection, COMPAT_CLOSE.authFailed)
      }
      return false
    }
    connection.heardAt = now
    if (message.length > COMPAT_MESSAGE_MAX) {
      drops.oversize++
      this.#close(connection, COMPAT_CLOSE.tooLarge)
      return false
    }
    if (message.length === 0) return false
    if (!this.#spend(connection, message.length, now)) {
      drops.rateLimited++
      return false
    }
    const [type] = message
    if (type !== BEACON_TYPE.relay) {
      if (type !== BEACON_TYPE.discover && type !== BEACON_TYPE.discoverEx) drops.notAllowed++
      return false
    }
    if (message.length < RELAY_OVERHEAD_BYTES) {
      drops.malformed++
      return false
    }
    // Deviation: the reference does not check (spec/09).
    if (viewOf(message).getUint32(1) !== connection.nodeId) {
      drops.forgedSender++
      return false
    }
    return true
  }

  /** Sends a Relay message on to the node of this connection, as RelayDeliver. False when its queue is full. */
  deliver(connection: CompatConnection, relay: Uint8Array): boolean {
    const { queueBytesMax, queueBytesSumMax } = this.#limits
    const length = relay.length - DELIVER_SAVES_BYTES
    if (
      connection.queuedBytes + length > queueBytesMax ||
      this.#queuedBytes + length > queueBytesSumMax
    ) {
      this.counters.drops.queueFull++
      return false
    }
    connection.queuedBytes += length
    this.#queuedBytes += length
    // Copied: what came may be a small part of a large buffer, which must not wait with it.
    const bytes = new Uint8Array(length)
    bytes[0] = BEACON_TYPE.relayDeliver
    bytes.set(relay.subarray(1, 5), 1)
    bytes.set(relay.subarray(RELAY_OVERHEAD_BYTES), RELAY_OVERHEAD_BYTES - DELIVER_SAVES_BYTES)
    this.#push({ type: 'binary', connection, bytes })
    return true
  }

  /** Ends a connection for what it sent. */
  refuse(
    connection: CompatConnection,
    why: { readonly code: number; readonly reason: string },
  ): void {
    if (connection.state === 'closed') return
    this.counters.drops.oversize++
    this.#close(connection, why)
  }

  /** A ping or a pong came. */
  handlePong(connection: CompatConnection, now: Instant): void {
    connection.heardAt = now
  }

  /** Bytes of a `binary` transmit left, or are lost. */
  handleSent(connection: CompatConnection, bytes: number): void {
    if (connection.state === 'closed') return // accounted for when it closed
    connection.queuedBytes -= bytes
    this.#queuedBytes -= bytes
  }

  /** The WebSocket is gone, whoever ended it. */
  handleClosed(connection: CompatConnection): void {
    this.#forget(connection)
  }

  handleTimeout(now: Instant): void {
    if (now < this.#sweepAt) return
    this.#sweepAt = now + COMPAT_SWEEP_MS
    this.#upgrades.sweep(now)
    for (const connection of [...this.#connections]) {
      const { state, openedAt, heardAt, pingedAt } = connection
      if (state === 'challenged') {
        if (now - openedAt < COMPAT_AUTH_MS) continue
        this.counters.authFailures++
        this.#close(connection, COMPAT_CLOSE.authFailed)
      } else if (now - heardAt >= COMPAT_IDLE_MS && !this.#mayBeSilent(connection)) {
        this.counters.timedOut++
        this.#close(connection, COMPAT_CLOSE.idle)
      } else if (now - pingedAt >= COMPAT_PING_MS && this.#options.pings !== false) {
        connection.pingedAt = now
        this.#push({ type: 'ping', connection })
      }
    }
  }

  pollTimeout(): Instant {
    return this.#sweepAt
  }

  pollTransmit(): CompatTransmit | undefined {
    for (;;) {
      const transmit = this.#queue[this.#queueHead]
      if (transmit === undefined) {
        this.#queue = []
        this.#queueHead = 0
        return undefined
      }
      this.#queueHead++
      if (transmit.type === 'close' || transmit.connection.state !== 'closed') return transmit
      if (transmit.type === 'binary') this.counters.drops.closed++
    }
  }

  /** The node id that the reply proves, `undefined` when it proves none. */
  #authenticate(
    connection: CompatConnection,
    text: string,
    { at, unixSeconds }: RegistryNow,
  ): number | undefined {
    const { nonce, challengedAt, openedAt } = connection
    // The wall clock too: it goes on while the machine sleeps.
    if (at - openedAt >= COMPAT_AUTH_MS) return undefined
    if (unixSeconds - challengedAt > COMPAT_CHALLENGE_SECONDS) return undefined
    let reply: CompatMessage
    try {
      reply = decodeCompatMessage(text)
    } catch (error) {
      if (!(error instanceof WireError)) throw error
      return undefined
    }
    if (reply.type !== 'auth_reply') return undefined
    const key = this.#options.registeredKey(reply.nodeId)
    if (key === undefined) return undefined
    const signed = utf8(compatChallenge(reply.nodeId, nonce, challengedAt))
    return this.#options.verify(key, signed, reply.signature) ? reply.nodeId : undefined
  }

  #spend(connection: CompatConnection, bytes: number, now: Instant): boolean {
    const { framesPerSecond, bytesPerSecond } = this.#limits
    const seconds = Math.max(0, now - connection.tokensAt) / 1000
    connection.tokensAt = now
    const refilled = (tokens: number, perSecond: number): number =>
      Math.min(perSecond, tokens + seconds * perSecond)
    connection.frameTokens = refilled(connection.frameTokens, framesPerSecond)
    connection.byteTokens = refilled(connection.byteTokens, bytesPerSecond)
    if (connection.frameTokens < 1 || connection.byteTokens < bytes) return false
    connection.frameTokens -= 1
    connection.byteTokens -= bytes
    return true
  }

  #close(
    connection: CompatConnection,
    { code, reason }: { readonly code: number; readonly reason: string },
  ): void {
    this.#forget(connection)
    this.#push({ type: 'close', connection, code, reason })
  }

  #forget(connection: CompatConnection): void {
    connection.state = 'closed'
    if (this.#byNode.get(connection.nodeId) === connection) this.#byNode.delete(connection.nodeId)
    this.#queuedBytes -= connection.queuedBytes
    connection.queuedBytes = 0
    if (!this.#connections.delete(connection)) return
    const left = this.#perSource.get(connection.source)! - 1
    if (left === 0) this.#perSource.delete(connection.source)
    else this.#perSource.set(connection.source, left)
  }

  #mayBeSilent({ nodeId }: CompatConnection): boolean {
    const { pings, registeredKey } = this.#options
    return pings === false && registeredKey(nodeId) !== undefined
  }

  #hasRoom(source: string): boolean {
    const { connectionsMax, connectionsPerSourceMax } = this.#limits
    return (
      this.#connections.size < connectionsMax &&
      (this.#perSource.get(source) ?? 0) < connectionsPerSourceMax
    )
  }

  #push(transmit: CompatTransmit): void {
    this.#queue.push(transmit)
  }
}
