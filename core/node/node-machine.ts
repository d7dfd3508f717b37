/**
 * The top machine: one identity, its registration, its peers and ports. It routes datagrams to tunnels,
 * packets to connections, registry answers to whoever asked, and hands out what all of them want to send.
 */
import { equals, fromBase64, toBase64, viewOf } from '../bytes.ts'
import { PORT } from '../constants.ts'
import { NetworkError, PilotError, UsageError } from '../errors.ts'
import { type Endpoint, type Instant, sameEndpoint } from '../machine.ts'
import { type ArrivalPath, PathSelector } from '../nat/path-selector.ts'
import { PortTable } from '../port/port-table.ts'
import { KeyedTokenBuckets, TokenBucket } from '../rate-limit.ts'
import { BeaconClient } from '../rendezvous/beacon-client.ts'
import { Registration, type RegistrationRequest } from '../rendezvous/registration.ts'
import { RegistryClient } from '../rendezvous/registry-client.ts'
import { RegistryRequests } from '../rendezvous/registry-requests.ts'
import { Connection } from '../stream/connection.ts'
import { TimerHeap } from '../timer-heap.ts'
import { TrustManager } from '../trust/trust-manager.ts'
import { LocalKeys } from '../tunnel/local-keys.ts'
import { Tunnel } from '../tunnel/tunnel.ts'
import type { Address, SocketAddress } from '../wire/address.ts'
import { decodeBeaconMessage, ipBytes } from '../wire/beacon-message.ts'
import {
  classifyFrame,
  decodeKeyExchangeFrame,
  KEY_EXCHANGE_BYTES,
  type KeyExchangeFrame,
  keyExchangeSigningBytes,
  PLAIN_HEADER_BYTES,
  SEALED_HEADER_BYTES,
  SEALED_OVERHEAD_BYTES,
} from '../wire/frame.ts'
import { encodePacket, FLAG, PacketReader, PROTOCOL } from '../wire/packet.ts'
import type { RegistryMessage } from '../wire/registry-message.ts'
import { FrameWriter, type Transmit } from './frame-writer.ts'
import type { NodeMachineOptions } from './options.ts'
import { Peer } from './peer.ts'
import { Stream, streamKey } from './stream.ts'
import { TrustExchange, type TrustOutcome } from './trust-exchange.ts'

const PEERS_MAX = 4096
const PEER_IDLE_MS = 600_000
const DATAGRAMS_MAX = 1024
const RAW_MAX = 256
const HELD_KEY_EXCHANGES_MAX = 256
/** Registry answers about a peer are believed for so long; failures are not repeated sooner than this. */
const RESOLVE_TTL_MS = 60_000
const INQUIRY_RETRY_MS = 2000
/** Pushes for a dial without an answer: key exchange, resolve, punch again. */
const NUDGE_MS = 1000
const ROTATE_AFTER_NUDGES = 3
/** A peer we dialed may answer for so long although it is not trusted (spec/07 §0.1, H2). */
const DIALED_GRACE_MS = 120_000
const SYN_PER_PEER = 10
const SYN_PER_TRUSTED_PEER = 2000
const KEY_EXCHANGES_PER_SOURCE = 5
const RECOVERIES_PER_SECOND = 20
const LOOKUPS_PER_SECOND = 20
const RESETS_PER_SECOND = 50
const PONGS_PER_PEER = 1000
const PROBE_BYTES = 16

export type NodeMachineEvent =
  | { readonly type: 'registry-connect' }
  | { readonly type: 'registry-disconnect' }
  | { readonly type: 'registry-send'; readonly bytes: Uint8Array }
  | { readonly type: 'registry-reply'; readonly id: number; readonly reply: RegistryMessage }
  | { readonly type: 'registry-failed'; readonly id: number; readonly error: PilotError }
  | { readonly type: 'registry-lost'; readonly reason: string }
  | { readonly type: 'registered'; readonly address: Address }
  | { readonly type: 'registration-refused'; readonly reason: string }
  | { readonly type: 'hostname-refused'; readonly hostname: string; readonly reason: string }
  /** An inbound stream of a port listened on, established. */
  | { readonly type: 'incoming'; readonly stream: Stream }
  | {
      readonly type: 'datagram'
      readonly source: SocketAddress
      readonly destinationPort: number
      readonly data: Uint8Array
    }
  | { readonly type: 'pong'; readonly id: number; readonly rttMs: number }
  | { readonly type: 'ping-failed'; readonly id: number; readonly error: PilotError }
  | { readonly type: 'trust-changed' }
  | { readonly type: 'trust-outcome'; readonly id: number; readonly outcome: TrustOutcome }
  | { readonly type: 'trust-request'; readonly nodeId: number; readonly justification: string }
  | { readonly type: 'trust-established'; readonly nodeId: number; readonly mutual: boolean }
  | { readonly type: 'trust-rejected'; readonly nodeId: number; readonly reason: string }
  | { readonly type: 'trust-revoked'; readonly nodeId: number }
  | { readonly type: 'peer-keyed'; readonly nodeId: number }
  | { readonly type: 'peer-key-mismatch'; readonly nodeId: number }
  | {
      readonly type: 'path-changed'
      readonly nodeId: number
      readonly path: 'direct' | 'relay' | 'none'
    }

/** Who waits for a registry answer. */
type Inquirer =
  | { readonly kind: 'user' }
  | { readonly kind: 'registration'; readonly request: RegistrationRequest }
  | { readonly kind: 'resolve'; readonly peerId: number }
  | { readonly kind: 'lookup'; readonly peerId: number }
  | { readonly kind: 'trust'; readonly token: number }
  | { readonly kind: 'quiet' }

interface HeldKeyExchange {
  readonly frame: Uint8Array
  readonly via: ArrivalPath
}

export class NodeMachine {
  readonly #options: NodeMachineOptions
  readonly #registry: RegistryClient
  readonly #registration: Registration
  readonly #beacon: BeaconClient | undefined
  readonly #ports: PortTable
  readonly #peers = new Map<number, Peer>()
  readonly #readyPeers: Peer[] = []
  readonly #timers = new TimerHeap<Stream | Peer>()
  readonly #reader = new PacketReader()
  readonly #inquirers = new Map<number, Inquirer>()
  readonly #heldKeyExchanges = new Map<number, HeldKeyExchange>()
  readonly #events: NodeMachineEvent[] = []
  readonly #news: Stream[] = []
  readonly #raw: {
    readonly nodeId: number
    readonly via: ArrivalPath
    readonly datagram: Uint8Array
  }[] = []
  readonly #recoveries: TokenBucket
  readonly #lookups: TokenBucket
  readonly #resets: TokenBucket
  readonly #syns: TokenBucket
  readonly #synsPerPeer = new KeyedTokenBuckets<number>(SYN_PER_PEER, SYN_PER_PEER, PEERS_MAX)
  readonly #synsPerTrusted = new KeyedTokenBuckets<number>(
    SYN_PER_TRUSTED_PEER,
    SYN_PER_TRUSTED_PEER,
    PEERS_MAX,
  )
  readonly #keyExchanges = new KeyedTokenBuckets<string>(
    KEY_EXCHANGES_PER_SOURCE,
    2 * KEY_EXCHANGES_PER_SOURCE,
    PEERS_MAX,
  )
  readonly #pongs = new KeyedTokenBuckets<number>(PONGS_PER_PEER, PONGS_PER_PEER, PEERS_MAX)
  readonly #trust: TrustExchange
  #requests: RegistryRequests
  #writer: FrameWriter
  #localKeys: LocalKeys | undefined
  #nodeId = 0
  #address: Address = { network: 0, node: 0 }
  #queuedDatagrams = 0
  #streams = 0
  #nextStreamId = 1
  #nextPingId = 1
  #isClosing = false
  /** Counted drops by reason. */
  readonly drops: Record<string, number> = {}
  bytesSent = 0
  bytesReceived = 0
  datagramsSent = 0
  datagramsReceived = 0

  constructor(options: NodeMachineOptions) {
    const { crypto, identity, now } = options
    this.#options = options
    this.#registry = new RegistryClient(now)
    this.#registration = new Registration({
      keepaliveMs: options.keepaliveMs ?? 30_000,
      hasBeacon: options.beacon !== undefined && options.fixedEndpoint === undefined,
      now,
    })
    this.#registration.hostname = options.hostname ?? ''
    this.#registration.isPublic = options.isPublic ?? false
    const random = viewOf(crypto.random(8))
    this.#ports = new PortTable(random.getUint32(0) / 0x1_0000_0000)
    this.#ports.listen(PORT.trust)
    if (options.beacon !== undefined)
      this.#beacon = new BeaconClient({
        beacon: options.beacon,
        jitter: random.getUint32(4) / 0x1_0000_0000,
        now,
      })
    this.#recoveries = new TokenBucket(RECOVERIES_PER_SECOND, RECOVERIES_PER_SECOND, now)
    this.#lookups = new TokenBucket(LOOKUPS_PER_SECOND, LOOKUPS_PER_SECOND, now)
    this.#resets = new TokenBucket(RESETS_PER_SECOND, RESETS_PER_SECOND, now)
    const syns = options.synRateLimit ?? 100
    this.#syns = new TokenBucket(syns, syns, now)
    this.#requests = new RegistryRequests(identity, 0)
    this.#writer = new FrameWriter(0, options.beacon)
    this.#trust = new TrustExchange()
  }

  // What there is to know

  /** 0 until registered. */
  get nodeId(): number {
    return this.#nodeId
  }
  get address(): Address {
    return this.#address
  }
  get hostname(): string {
    return this.#registration.hostname
  }
  get isPublic(): boolean {
    return this.#registration.isPublic
  }
  get isRegistered(): boolean {
    return this.#registration.isRegistered
  }
  get isRegistryConnected(): boolean {
    return this.#registry.isConnected
  }
  get requests(): RegistryRequests {
    return this.#requests
  }
  /** @throws {NetworkError} `ERR_REGISTRY_UNAVAILABLE` before the first registration. */
  get trust(): TrustManager {
    return this.#trust.manager
  }
  get peers(): ReadonlyMap<number, Peer> {
    return this.#peers
  }
  get ports(): PortTable {
    return this.#ports
  }
  /** Connections that are not in TIME_WAIT. */
  get liveStreams(): number {
    let live = 0
    for (const peer of this.#peers.values())
      for (const stream of peer.streams.values())
        if (stream.connection.state !== 'TIME_WAIT') live++
    return live
  }
  /** Entries held in timers and queues, for leak checks. */
  get heldTimers(): number {
    return this.#timers.size
  }
  /** Our socket as others see it, as far as known. */
  get endpoint(): Endpoint {
    return this.#options.fixedEndpoint ?? this.#beacon?.observed ?? this.#options.localEndpoint
  }

  // Input

  /** The bytes may be kept and read until the node is done with them: the caller does not reuse them. */
  handleDatagram(datagram: Uint8Array, from: Endpoint, now: Instant): void {
    this.bytesReceived += datagram.length
    this.datagramsReceived++
    const kind = classifyFrame(datagram)
    if (kind !== 'beacon') this.#handleFrame(datagram, kind, from, undefined, now)
    else if (this.#beacon?.isBeacon(from) === true) this.#handleBeacon(datagram, this.#beacon, now)
    else this.#drop('beacon-stranger')
  }

  handleRegistryConnected(now: Instant): void {
    this.#registry.handleConnected()
    this.#registration.handleReconnected(now)
    this.#settle(now)
  }

  handleRegistryData(bytes: Uint8Array, now: Instant): void {
    this.#registry.handleData(bytes, now)
    this.#settle(now)
  }

  handleRegistryDisconnected(reason: string, now: Instant): void {
    this.#registry.handleDisconnected(reason, now)
    this.#settle(now)
  }

  handleTimeout(now: Instant): void {
    this.#registry.handleTimeout(now)
    this.#registration.handleTimeout(now)
    this.#beacon?.handleTimeout(now)
    this.#trust.handleTimeout(now)
    for (let due = this.#timers.popDue(now); due !== undefined; due = this.#timers.popDue(now)) {
      if (due.kind === 'stream') {
        due.connection.handleTimeout(now)
        this.#touchStream(due, now)
      } else this.#handlePeerTimeout(due, now)
    }
    this.#settle(now)
  }

  /** The machine slept, or the network changed: everything is asked and proven again at once. */
  handleNetworkChange(now: Instant): void {
    this.#beacon?.refresh(now)
    this.#registry.reconnect(now)
    for (const peer of this.#peers.values()) {
      peer.paths.doubt(now)
      this.#touchPeer(peer, now)
    }
  }

  // Output

  /** Earliest moment at which `handleTimeout` has something to do. */
  pollTimeout(): Instant | undefined {
    let at = this.#timers.earliest()
    const others = [
      this.#registry.pollTimeout(),
      this.#registration.pollTimeout(),
      this.#beacon?.pollTimeout(),
      this.#trust.pollTimeout(),
    ]
    for (const other of others)
      if (other !== undefined && (at === undefined || other < at)) at = other
    return at
  }

  pollEvent(): NodeMachineEvent | undefined {
    const event = this.#events.shift()
    if (event?.type === 'datagram') this.#queuedDatagrams--
    return event
  }

  /** The next stream with news for the application. Take them by reading and clearing `stream.news`. */
  pollStream(): Stream | undefined {
    const stream = this.#news.shift()
    if (stream !== undefined) stream.isNotified = false
    return stream
  }

  /**
   * Builds the next datagram in `buffer`, which has at least `TRANSMIT_BUFFER_BYTES` bytes. What is returned
   * is only valid until the next call; the bytes are the caller's.
   */
  pollTransmit(buffer: Uint8Array, now: Instant): Transmit | undefined {
    const transmit = this.#nextTransmit(buffer, now)
    if (transmit !== undefined) {
      this.bytesSent += transmit.end - transmit.start
      this.datagramsSent++
    }
    return transmit
  }

  #nextTransmit(buffer: Uint8Array, now: Instant): Transmit | undefined {
    const raw = this.#raw.shift()
    if (raw !== undefined) {
      if (raw.nodeId === 0 && raw.via !== 'relay')
        return this.#writer.writeRaw(raw.via, raw.datagram, buffer)
      const transmit = this.#writer.writeFrameVia(raw.nodeId, raw.via, raw.datagram, buffer)
      if (transmit !== undefined) return transmit
    }
    for (;;) {
      const peer = this.#readyPeers[0]
      if (peer === undefined) return undefined
      const transmit = this.#writer.write(peer, buffer, now, this.#streamPolled)
      if (transmit !== undefined) {
        // Taking turns: a peer with a full window does not hold up the others.
        if (this.#readyPeers.length > 1 && !this.#writer.hasCopy) {
          this.#readyPeers.shift()
          this.#readyPeers.push(peer)
        }
        return transmit
      }
      this.#readyPeers.shift()
      peer.isReady = false
      this.#armPeer(peer)
    }
  }

  readonly #streamPolled = (stream: Stream, now: Instant): void => {
    this.#touchStream(stream, now)
  }

  // Streams

  /**
   * Opens a stream. What becomes of it is told by its news.
   *
   * @throws {UsageError} `ERR_DIAL_SELF`, `ERR_LIMIT`; {@link NetworkError} `ERR_REGISTRY_UNAVAILABLE` before
   * the first registration.
   */
  dial(
    address: Address,
    port: number,
    now: Instant,
    owner: Stream['owner'] = 'application',
  ): Stream {
    this.#requireRegistered()
    if (address.node === this.#nodeId) throw new UsageError('ERR_DIAL_SELF', 'dial to self')
    if (this.#streams >= this.#maxConnections * 2)
      throw new UsageError('ERR_LIMIT', `${this.#streams} connections are open`)
    const peer = this.#ensurePeer(address.node, now)
    const localPort = this.#ports.allocate((free) => !peer.streams.has(streamKey(free, port)))
    if (localPort === undefined)
      throw new UsageError('ERR_LIMIT', 'no ephemeral port is free toward this peer')
    const connection = Connection.dial({
      id: this.#nextStreamId++,
      local: { address: { network: address.network, node: this.#nodeId }, port: localPort },
      remote: { address, port },
      isn: this.#randomIsn(),
      now,
      ...(this.#options.tuning === undefined ? {} : { tuning: this.#options.tuning }),
    })
    const stream = new Stream(connection, peer, owner, false)
    this.#addStream(stream)
    peer.dialedAt = now
    this.#reach(peer, now)
    if (peer.nudgeAt === undefined) {
      peer.nudges = 0
      peer.nudgeAt = now + NUDGE_MS
    }
    this.#touchStream(stream, now)
    this.#touchPeer(peer, now)
    this.#settle(now)
    return stream
  }

  /** @throws {UsageError} `ERR_INVALID_ARGUMENT`, `ERR_PORT_IN_USE`. */
  listen(port: number): void {
    this.#ports.listen(port)
  }

  unlisten(port: number): void {
    this.#ports.unlisten(port)
  }

  /** Bytes taken into the send buffer. */
  write(stream: Stream, data: Uint8Array, now: Instant): number {
    const taken = stream.connection.write(data, now)
    this.#touchStream(stream, now)
    return taken
  }

  read(stream: Stream, now: Instant): Uint8Array | undefined {
    const data = stream.connection.read(now)
    if (data !== undefined) this.#touchStream(stream, now)
    return data
  }

  closeStream(stream: Stream, now: Instant): void {
    stream.connection.close(now)
    this.#touchStream(stream, now)
  }

  resetStream(stream: Stream, now: Instant): void {
    stream.connection.reset(now)
    this.#touchStream(stream, now)
  }

  /** Ends a stream that is still dialing, without a word to the peer beyond RST. */
  findStream(id: number): Stream | undefined {
    for (const peer of this.#peers.values())
      for (const stream of peer.streams.values()) if (stream.connection.id === id) return stream
    return undefined
  }

  // Datagrams and pings

  /** @throws {UsageError} `ERR_INVALID_ARGUMENT` for empty or oversize data, `ERR_LIMIT` when too many wait. */
  sendDatagram(to: SocketAddress, data: Uint8Array, now: Instant): void {
    this.#requireRegistered()
    if (data.length < 1 || data.length > DATAGRAM_PAYLOAD_MAX)
      throw new UsageError(
        'ERR_INVALID_ARGUMENT',
        `a datagram has 1 to ${DATAGRAM_PAYLOAD_MAX} bytes, got ${data.length}`,
      )
    if (to.address.node === this.#nodeId)
      throw new UsageError('ERR_DIAL_SELF', 'a datagram to self')
    const peer = this.#ensurePeer(to.address.node, now)
    this.#reach(peer, now)
    const source = this.#ports.allocate(() => true) ?? 0
    const packet = this.#packet(PROTOCOL.datagram, 0, source, to.address, to.port, 0, 0, data)
    peer.dialedAt = now
    if (!peer.push({ packet }))
      throw new UsageError('ERR_LIMIT', `too many datagrams wait for node ${peer.id}`)
    this.#touchPeer(peer, now)
    this.#settle(now)
  }

  /** Sends a ping through the tunnel; the answer comes as `pong` with the id returned. */
  ping(nodeId: number, now: Instant): number {
    this.#requireRegistered()
    if (nodeId === this.#nodeId) throw new UsageError('ERR_DIAL_SELF', 'ping to self')
    const id = this.#nextPingId++
    const peer = this.#ensurePeer(nodeId, now)
    peer.dialedAt = now
    this.#reach(peer, now)
    this.#probe(peer, undefined, id, now)
    this.#touchPeer(peer, now)
    this.#settle(now)
    return id
  }

  // Registry

  /** Any request; the outcome comes as `registry-reply` or `registry-failed` with the id returned. */
  request(message: RegistryMessage, now: Instant): number {
    return this.#ask({ kind: 'user' }, message, now)
  }

  /** What heartbeats and registrations tell from now on. */
  setProfile(profile: { readonly hostname?: string; readonly isPublic?: boolean }): void {
    if (profile.hostname !== undefined) this.#registration.hostname = profile.hostname
    if (profile.isPublic !== undefined) this.#registration.isPublic = profile.isPublic
  }

  /** No heartbeat and no registration any more; existing tunnels live on. */
  stopRegistration(): void {
    this.#registration.stop()
  }

  closeRegistry(): void {
    this.#registry.close()
  }

  // Trust

  /** The outcome comes as `trust-outcome` with the id returned. @throws {UsageError} `ERR_INVALID_ARGUMENT`. */
  requestTrust(peerId: number, justification: string, now: Instant): number {
    this.#requireRegistered()
    if (peerId === this.#nodeId) throw new UsageError('ERR_DIAL_SELF', 'trust with self')
    const id = this.#trust.request(peerId, justification, this.#options.unixNow())
    this.#settle(now)
    return id
  }

  /** @throws {SecurityError} `ERR_NOT_PENDING`. */
  approveTrust(peerId: number, now: Instant): void {
    this.trust.approve(peerId, this.#options.unixNow())
    this.#settle(now)
  }

  /** @throws {SecurityError} `ERR_NOT_PENDING`. */
  rejectTrust(peerId: number, reason: string, now: Instant): void {
    this.trust.reject(peerId, reason, this.#options.unixNow())
    this.#settle(now)
  }

  /** @throws {SecurityError} `ERR_NOT_TRUSTED`. */
  revokeTrust(peerId: number, now: Instant): void {
    this.trust.revoke(peerId, this.#options.unixNow())
    this.#settle(now)
  }

  /** Takes no more inbound streams and asks every open one to drain and close. */
  close(now: Instant): void {
    this.#isClosing = true
    for (const peer of this.#peers.values())
      for (const stream of peer.streams.values()) this.closeStream(stream, now)
  }

  // Frames

  #handleBeacon(datagram: Uint8Array, beacon: BeaconClient, now: Instant): void {
    try {
      const message = decodeBeaconMessage(datagram)
      if (message.type === 'relay-deliver') {
        if (message.destinationId !== undefined && message.destinationId !== this.#nodeId)
          return this.#drop('relay-mismatch')
        const kind = classifyFrame(message.frame)
        return this.#handleFrame(message.frame, kind, 'relay', message.senderId, now)
      }
      beacon.handleMessage(message, now)
    } catch (error) {
      if (!(error instanceof PilotError)) throw error
      this.#drop('malformed')
    }
    this.#settle(now)
  }

  #handleFrame(
    frame: Uint8Array,
    kind: ReturnType<typeof classifyFrame>,
    via: ArrivalPath,
    relaySender: number | undefined,
    now: Instant,
  ): void {
    switch (kind) {
      case 'sealed':
        return this.#handleSealed(frame, via, relaySender, now)
      case 'key-exchange':
        return this.#handleKeyExchange(frame, via, relaySender, now)
      case 'plain':
        return this.#handlePlain(frame, via, relaySender, now)
      case 'punch':
        return // opens the sender's own mapping; it says nothing to us
      default:
        return this.#drop(
          kind === 'anonymous-key-exchange' ? 'unauthenticated-key-exchange' : 'malformed',
        )
    }
  }

  #handleSealed(
    frame: Uint8Array,
    via: ArrivalPath,
    relaySender: number | undefined,
    now: Instant,
  ): void {
    if (frame.length < SEALED_OVERHEAD_BYTES) return this.#drop('malformed')
    const sender = ((frame[4]! << 24) | (frame[5]! << 16) | (frame[6]! << 8) | frame[7]!) >>> 0
    if (!this.#isAcceptableSender(sender, relaySender)) return
    const peer = this.#peers.get(sender)
    if (peer === undefined || !peer.tunnel.isKeyed)
      return this.#handleUnkeyed(sender, peer, via, now)
    const opened = peer.tunnel.open(
      frame.subarray(8, SEALED_HEADER_BYTES),
      frame.subarray(SEALED_HEADER_BYTES),
      now,
    )
    if (opened === 'replayed') return this.#drop('replayed')
    if (opened === 'forged') {
      this.#drop('forged')
      if (this.#recoveries.take(now)) {
        peer.tunnel.handleUndecryptable(now)
        if (peer.tunnel.wantsTransmit) peer.keyExchangeVia = via
        this.#touchPeer(peer, now)
      }
      return
    }
    if (this.#reader.read(opened) !== undefined) return this.#drop('malformed')
    const reader = this.#reader
    if (reader.sourceNode !== sender) {
      // Old versions send empty keepalives from the zero address (spec/01 §7.3).
      const isKeepalive =
        reader.protocol === PROTOCOL.control &&
        reader.payloadLength === 0 &&
        reader.sourceNode === 0
      if (!isKeepalive) return this.#drop('source-mismatch')
    }
    const before = peer.paths.kind
    peer.heardAt = now
    peer.nudges = 0
    peer.paths.handleAuthenticated(via, now)
    if (peer.paths.kind !== before) this.#pathChanged(peer, now)
    this.#handlePacket(peer, now)
    this.#touchPeer(peer, now)
  }

  #handlePlain(
    frame: Uint8Array,
    via: ArrivalPath,
    relaySender: number | undefined,
    now: Instant,
  ): void {
    const isPlainNode = this.#options.encrypt === false
    if (!isPlainNode && (this.#options.plaintextPeers?.size ?? 0) === 0)
      return this.#drop('plaintext')
    if (this.#nodeId === 0) return this.#drop('not-registered')
    if (this.#reader.read(frame.slice(PLAIN_HEADER_BYTES)) !== undefined)
      return this.#drop('malformed')
    const sender = this.#reader.sourceNode
    if (!isPlainNode && this.#options.plaintextPeers?.has(sender) !== true)
      return this.#drop('plaintext')
    if (!this.#isAcceptableSender(sender, relaySender)) return
    const peer = this.#ensurePeer(sender, now)
    peer.heardAt = now
    peer.paths.handleAuthenticated(via, now)
    this.#handlePacket(peer, now)
    this.#touchPeer(peer, now)
    this.#settle(now)
  }

  #isAcceptableSender(sender: number, relaySender: number | undefined): boolean {
    if (sender === this.#nodeId || sender === 0) this.#drop('own-id')
    else if (relaySender !== undefined && relaySender !== sender) this.#drop('relay-mismatch')
    else return true
    return false
  }

  /** A sealed frame without keys for it: the peer restarted us out of its mind, or we it. Ask for keys. */
  #handleUnkeyed(sender: number, peer: Peer | undefined, via: ArrivalPath, now: Instant): void {
    this.#drop('unkeyed')
    if (this.#options.encrypt === false || this.#localKeys === undefined) return
    if (!this.#recoveries.take(now)) return
    if (peer !== undefined) {
      peer.tunnel.handleUndecryptable(now)
      if (peer.tunnel.wantsTransmit) peer.keyExchangeVia = via
      this.#touchPeer(peer, now)
    } else if (this.#keyExchanges.take(`recover ${sender}`, now))
      this.#pushRaw(sender, via, this.#localKeys.request)
  }

  #handleKeyExchange(
    datagram: Uint8Array,
    via: ArrivalPath,
    relaySender: number | undefined,
    now: Instant,
  ): void {
    if (datagram.length < KEY_EXCHANGE_BYTES) return this.#drop('malformed')
    if (this.#options.encrypt === false || this.#localKeys === undefined)
      return this.#drop('not-encrypting')
    const frame = decodeKeyExchangeFrame(datagram)
    if (!this.#isAcceptableSender(frame.sender, relaySender)) return
    const source = via === 'relay' ? `relay ${frame.sender}` : via.address
    if (!this.#keyExchanges.take(source, now)) return this.#drop('key-exchange-rate')
    const peer = this.#peers.get(frame.sender)
    if (peer?.isPlaintext === true) return this.#drop('not-encrypting')
    const isKnown =
      peer?.verifiedKeyExchange !== undefined &&
      equals(peer.verifiedKeyExchange, datagram.subarray(0, KEY_EXCHANGE_BYTES))
    if (!isKnown) {
      const signed = keyExchangeSigningBytes(frame.sender, frame.publicKey)
      if (!this.#options.crypto.ed25519Verify(frame.identityKey, signed, frame.signature))
        return this.#drop('forged-key-exchange')
    }
    const registered = peer?.identityKey ?? this.#pinnedKey(frame.sender)
    if (registered === undefined) return this.#holdKeyExchange(frame, datagram, via, now)
    if (!equals(registered, frame.identityKey)) {
      this.#drop('key-mismatch')
      this.#events.push({ type: 'peer-key-mismatch', nodeId: frame.sender })
      return
    }
    this.#acceptKeyExchange(frame, datagram, via, now)
  }

  /** Signed by the key it carries; whether that is the node's key, the registry must say. */
  #holdKeyExchange(
    frame: KeyExchangeFrame,
    datagram: Uint8Array,
    via: ArrivalPath,
    now: Instant,
  ): void {
    const isHeld = this.#heldKeyExchanges.has(frame.sender)
    if (!isHeld && this.#heldKeyExchanges.size >= HELD_KEY_EXCHANGES_MAX)
      return this.#drop('key-exchange-rate')
    if (!isHeld && !this.#lookups.take(now)) return this.#drop('key-exchange-rate')
    this.#heldKeyExchanges.set(frame.sender, { frame: datagram.slice(), via })
    if (!isHeld)
      this.#ask({ kind: 'lookup', peerId: frame.sender }, this.#requests.lookup(frame.sender), now)
    this.#settle(now)
  }

  #acceptKeyExchange(
    frame: KeyExchangeFrame,
    datagram: Uint8Array,
    via: ArrivalPath,
    now: Instant,
  ): void {
    const peer = this.#ensurePeer(frame.sender, now)
    peer.identityKey ??= frame.identityKey.slice()
    const wasKeyed = peer.tunnel.isKeyed
    const verdict = peer.tunnel.handleKeyExchange(frame, now)
    if (verdict === 'rejected') return this.#drop('low-order-key')
    peer.verifiedKeyExchange = datagram.slice(0, KEY_EXCHANGE_BYTES)
    peer.paths.handleKeyExchange(via, now)
    peer.keyExchangeVia = via
    if (verdict === 'installed') {
      if (!wasKeyed) this.#events.push({ type: 'peer-keyed', nodeId: peer.id })
      // What the peer answers under the new key confirms it; under the old one, that the new is a replay.
      if (peer.tunnel.hasCandidate) {
        this.#probe(peer, via, undefined, now)
        this.#probeOld(peer, now)
      }
      for (const stream of peer.streams.values()) this.#touchStream(stream, now)
    }
    this.#touchPeer(peer, now)
    this.#settle(now)
  }

  // Packets: `this.#reader` holds the authenticated packet of `peer`

  #handlePacket(peer: Peer, now: Instant): void {
    switch (this.#reader.protocol) {
      case PROTOCOL.stream:
        return this.#handleSegment(peer, now)
      case PROTOCOL.datagram:
        return this.#handleDatagramPacket(peer)
      case PROTOCOL.control:
        return this.#handleControl(peer, now)
      default:
        return this.#drop('unknown-protocol')
    }
  }

  #handleSegment(peer: Peer, now: Instant): void {
    const reader = this.#reader
    const flags = reader.flags
    const stream = peer.streams.get(streamKey(reader.destinationPort, reader.sourcePort))
    if (stream !== undefined) {
      const { seq, ack, window, payload } = reader
      stream.connection.handleSegment(flags, seq, ack, window, payload, now)
      this.#touchStream(stream, now)
    } else if ((flags & FLAG.SYN) !== 0 && (flags & FLAG.ACK) === 0) this.#handleSyn(peer, now)
    else if ((flags & FLAG.RST) === 0 && (flags & FLAG.FIN) === 0 && (flags & FLAG.SYN) === 0)
      this.#refuse(peer, now)
  }

  #handleSyn(peer: Peer, now: Instant): void {
    const reader = this.#reader
    const port = reader.destinationPort
    const isTrusted = this.#trust.isTrusted(peer.id)
    if (port !== PORT.trust && !this.#isAdmitted(peer, now)) return this.#drop('untrusted')
    if (!this.#ports.isListening(port)) return this.#refuse(peer, now)
    const isWithinRate = isTrusted
      ? this.#synsPerTrusted.take(peer.id, now)
      : this.#synsPerPeer.take(peer.id, now) && this.#syns.take(now)
    if (!isWithinRate) return this.#drop('syn-rate')
    const perPort = this.#options.maxConnectionsPerPort ?? 1024
    if (
      this.#isClosing ||
      this.#ports.connections(port) >= perPort ||
      this.#streams >= this.#maxConnections * 2 ||
      this.liveStreamsAtLeast(this.#maxConnections)
    )
      return this.#refuse(peer, now)
    const connection = Connection.accept(
      {
        id: this.#nextStreamId++,
        // Answers come from the address the peer used, so that its lookup matches (spec/03 §2.3).
        local: { address: { network: reader.destinationNetwork, node: this.#nodeId }, port },
        remote: {
          address: { network: reader.sourceNetwork, node: peer.id },
          port: reader.sourcePort,
        },
        isn: this.#randomIsn(),
        now,
        ...(this.#options.tuning === undefined ? {} : { tuning: this.#options.tuning }),
      },
      reader.seq,
      reader.window,
    )
    const stream = new Stream(
      connection,
      peer,
      port === PORT.trust ? 'trust-inbound' : 'application',
      true,
    )
    this.#ports.countConnection(port, 1)
    this.#addStream(stream)
    this.#touchStream(stream, now)
  }

  liveStreamsAtLeast(limit: number): boolean {
    // Cheap until it matters: TIME_WAIT streams are only told apart when the total is above the limit.
    return this.#streams >= limit && this.liveStreams >= limit
  }

  /** RST for what nothing is behind; never for an RST, never more than a few. */
  #refuse(peer: Peer, now: Instant): void {
    const reader = this.#reader
    if (!this.#resets.take(now)) return this.#drop('reset-rate')
    const from = { network: reader.sourceNetwork, node: peer.id }
    const { sourcePort, destinationPort, destinationNetwork: network } = reader
    const packet = this.#packet(
      PROTOCOL.stream,
      FLAG.RST,
      destinationPort,
      from,
      sourcePort,
      0,
      0,
      EMPTY,
      network,
    )
    peer.push({ packet })
  }

  #handleDatagramPacket(peer: Peer): void {
    const reader = this.#reader
    if (!this.#isAdmitted(peer, peer.heardAt)) return this.#drop('untrusted')
    if (reader.payloadLength === 0) return this.#drop('malformed')
    if (this.#queuedDatagrams >= DATAGRAMS_MAX) return this.#drop('datagram-queue')
    this.#queuedDatagrams++
    this.#events.push({
      type: 'datagram',
      source: {
        address: { network: reader.sourceNetwork, node: peer.id },
        port: reader.sourcePort,
      },
      destinationPort: reader.destinationPort,
      data: reader.payload,
    })
  }

  #handleControl(peer: Peer, now: Instant): void {
    const reader = this.#reader
    if ((reader.flags & FLAG.ACK) !== 0) {
      if (reader.destinationPort === PORT.control) this.#handlePong(peer, now)
      return
    }
    if (reader.destinationPort !== PORT.ping) return
    if (reader.sourcePort === 0 && reader.payloadLength === 0) return // keepalive
    if (!this.#isAdmitted(peer, now)) return this.#drop('untrusted')
    if (!this.#pongs.take(peer.id, now)) return this.#drop('pong-rate')
    const to = { network: reader.sourceNetwork, node: peer.id }
    const { sourcePort, seq, payload, destinationNetwork } = reader
    peer.push({
      packet: this.#packet(
        PROTOCOL.control,
        FLAG.ACK,
        PORT.ping,
        to,
        sourcePort,
        seq,
        (seq + 1) >>> 0,
        payload,
        destinationNetwork,
      ),
    })
  }

  #handlePong(peer: Peer, now: Instant): void {
    const { seq, payload } = this.#reader
    const probe = peer.getProbe(seq)
    if (probe === undefined || !equals(probe.payload, payload)) return
    peer.takeProbe(seq)
    const rttMs = now - probe.sentAt
    peer.rttMs = rttMs
    if (probe.sentOn !== undefined) {
      const before = peer.paths.kind
      peer.paths.handleProbeAnswer(probe.sentOn, now)
      if (peer.paths.kind !== before) this.#pathChanged(peer, now)
    }
    if (probe.pingId !== undefined) this.#events.push({ type: 'pong', id: probe.pingId, rttMs })
  }

  /** Who may open streams to us, send datagrams and ping (spec/03 §D.6). Default deny. */
  #isAdmitted(peer: Peer, now: Instant): boolean {
    return (
      this.#registration.isPublic ||
      this.#trust.isTrusted(peer.id) ||
      now - peer.dialedAt < DIALED_GRACE_MS
    )
  }

  // Peers

  #ensurePeer(id: number, now: Instant): Peer {
    const known = this.#peers.get(id)
    if (known !== undefined) return known
    if (this.#peers.size >= PEERS_MAX) this.#evictPeer(now)
    const isPlaintext =
      this.#options.encrypt === false || this.#options.plaintextPeers?.has(id) === true
    const { crypto } = this.#options
    const tunnel = new Tunnel({
      crypto,
      nodeId: this.#nodeId,
      peerId: id,
      localKeys: this.#localKeys!,
    })
    const peer = new Peer(
      id,
      tunnel,
      new PathSelector(this.#beacon !== undefined),
      isPlaintext,
      now,
    )
    peer.identityKey = this.#pinnedKey(id)
    this.#peers.set(id, peer)
    return peer
  }

  /** @throws {UsageError} `ERR_LIMIT` when every peer has streams. */
  #evictPeer(now: Instant): void {
    let idlest: Peer | undefined
    for (const peer of this.#peers.values())
      if (peer.streams.size === 0 && (idlest === undefined || peer.heardAt < idlest.heardAt))
        idlest = peer
    if (idlest === undefined)
      throw new UsageError('ERR_LIMIT', `connections to ${PEERS_MAX} peers are open`)
    this.#removePeer(idlest, now)
  }

  #removePeer(peer: Peer, now: Instant): void {
    for (const stream of peer.streams.values()) {
      stream.connection.abort('reset', now)
      this.#touchStream(stream, now)
    }
    this.#timers.delete(peer)
    this.#peers.delete(peer.id)
    const queued = this.#readyPeers.indexOf(peer)
    if (queued >= 0) this.#readyPeers.splice(queued, 1)
  }

  #pinnedKey(id: number): Uint8Array | undefined {
    const key = this.#trust.isReady ? this.#trust.manager.pinnedKey(id) : undefined
    return key === undefined ? undefined : fromBase64(key)
  }

  /** Asks the registry where a peer is, unless that is known well enough. */
  #reach(peer: Peer, now: Instant): void {
    const isFresh = peer.paths.isProven && now - peer.heardAt < RESOLVE_TTL_MS
    if (isFresh) return
    const { name } = peer.resolveInquiry
    const age = name === 'none' ? Number.POSITIVE_INFINITY : now - peer.resolveInquiry.at
    if (name === 'asked' || age < (name === 'failed' ? INQUIRY_RETRY_MS : RESOLVE_TTL_MS)) {
      if (name === 'failed' && !this.#isReachable(peer)) this.#resolve(peer, now)
      return
    }
    this.#resolve(peer, now)
  }

  #resolve(peer: Peer, now: Instant): void {
    if (peer.resolveInquiry.name === 'asked') return
    peer.resolveInquiry = { name: 'asked', at: now }
    peer.paths.handleResolving(now)
    this.#ask({ kind: 'resolve', peerId: peer.id }, this.#requests.resolve(peer.id), now)
    if (
      peer.identityKey === undefined &&
      !peer.isPlaintext &&
      peer.lookupInquiry.name !== 'asked'
    ) {
      peer.lookupInquiry = { name: 'asked', at: now }
      this.#ask({ kind: 'lookup', peerId: peer.id }, this.#requests.lookup(peer.id), now)
    }
    this.#beacon?.requestPunch(peer.id)
  }

  /** There is some way to send to it, whatever the registry says. */
  #isReachable(peer: Peer): boolean {
    if (peer.paths.endpoint !== undefined || peer.paths.kind !== 'none') return true
    return this.#beacon !== undefined && this.#trust.isTrusted(peer.id)
  }

  #handlePeerTimeout(peer: Peer, now: Instant): void {
    const before = peer.paths.kind
    peer.tunnel.handleTimeout(now)
    peer.paths.handleTimeout(now)
    if (peer.paths.kind !== before) this.#pathChanged(peer, now)
    if (peer.nudgeAt !== undefined && now >= peer.nudgeAt) this.#nudge(peer, now)
    const isIdle =
      peer.streams.size === 0 && now - Math.max(peer.heardAt, peer.lastUseAt) > PEER_IDLE_MS
    if (isIdle) this.#removePeer(peer, now)
    else this.#touchPeer(peer, now)
  }

  /** A dial goes unanswered: look for the peer anew, and suspect the keys (spec/01 §7.4, §12 b, d). */
  #nudge(peer: Peer, now: Instant): void {
    peer.nudgeAt = undefined
    const isDialing = [...peer.streams.values()].some(
      (stream) => stream.connection.state === 'SYN_SENT',
    )
    if (!isDialing) return
    peer.nudges++
    peer.nudgeAt = now + NUDGE_MS
    if (now - peer.heardAt < NUDGE_MS) return
    peer.tunnel.requestAgain(now)
    this.#beacon?.requestPunch(peer.id)
    const age =
      peer.resolveInquiry.name === 'none' ? Number.POSITIVE_INFINITY : now - peer.resolveInquiry.at
    if (age > INQUIRY_RETRY_MS) this.#resolve(peer, now)
    const { crypto, identity } = this.#options
    if (peer.nudges % ROTATE_AFTER_NUDGES === 0 && peer.tunnel.isKeyed && !peer.isPlaintext)
      peer.tunnel.rotate(new LocalKeys(crypto, identity, this.#nodeId), now)
  }

  #pathChanged(peer: Peer, now: Instant): void {
    this.#events.push({ type: 'path-changed', nodeId: peer.id, path: peer.paths.kind })
    for (const stream of peer.streams.values()) {
      stream.connection.handlePathChange(now)
      this.#touchStream(stream, now)
    }
  }

  /** A probe on `via`, or a ping of the application on whatever path packets take. */
  #probe(peer: Peer, via: ArrivalPath | undefined, pingId: number | undefined, now: Instant): void {
    const payload = this.#options.crypto.random(PROBE_BYTES)
    const seq = peer.addProbe({ sentOn: via, sentAt: now, payload, pingId })
    const to = { network: 0, node: peer.id }
    const packet = this.#packet(PROTOCOL.control, 0, PORT.control, to, PORT.ping, seq, 0, payload)
    const isQueued = peer.push(via === undefined ? { packet } : { packet, via, isProbe: true })
    if (!isQueued && pingId !== undefined)
      this.#events.push({
        type: 'ping-failed',
        id: pingId,
        error: new UsageError('ERR_LIMIT', `too many packets wait for node ${peer.id}`),
      })
  }

  #probeOld(peer: Peer, now: Instant): void {
    const payload = this.#options.crypto.random(PROBE_BYTES)
    const seq = peer.addProbe({ sentOn: undefined, sentAt: now, payload, pingId: undefined })
    const to = { network: 0, node: peer.id }
    peer.push({
      packet: this.#packet(PROTOCOL.control, 0, PORT.control, to, PORT.ping, seq, 0, payload),
    })
  }

  // Bookkeeping

  #addStream(stream: Stream): void {
    stream.peer.streams.set(stream.key, stream)
    this.#streams++
  }

  /** After anything that may have changed a stream: queue its packets, collect its news, set its timer. */
  #touchStream(stream: Stream, now: Instant): void {
    const { connection, peer, news } = stream
    let hasNews = false
    for (let event = connection.pollEvent(); event !== undefined; event = connection.pollEvent()) {
      hasNews = true
      if (event === 'connected') news.isConnected = true
      else if (event === 'readable') news.isReadable = true
      else if (event === 'writable') news.isWritable = true
      else if (event === 'ended') news.isEnded = true
      else news.isClosed = true
    }
    if (connection.wantsTransmit && !stream.isReady) {
      stream.isReady = true
      peer.ready.push(stream)
    }
    if (peer.ready.length > 0) this.#queuePeer(peer, now)
    if (connection.state === 'CLOSED' && !connection.wantsTransmit) this.#removeStream(stream)
    else this.#timers.set(stream, connection.pollTimeout())
    if (hasNews && !stream.isNotified) {
      stream.isNotified = true
      this.#news.push(stream)
    }
    if (hasNews && stream.owner !== 'application') this.#handleTrustNews(stream, now)
    else if (hasNews && news.isConnected && stream.isInbound) {
      news.isConnected = false
      this.#events.push({ type: 'incoming', stream })
    }
  }

  #removeStream(stream: Stream): void {
    if (stream.peer.streams.get(stream.key) !== stream) return
    stream.peer.streams.delete(stream.key)
    this.#streams--
    this.#timers.delete(stream)
    if (stream.isInbound) this.#ports.countConnection(stream.connection.local.port, -1)
  }

  #touchPeer(peer: Peer, now: Instant): void {
    if (peer.wantsKeys) peer.tunnel.want(now)
    else peer.tunnel.unwant()
    peer.tunnel.handleTimeout(now)
    for (let via = peer.paths.pollProbe(); via !== undefined; via = peer.paths.pollProbe())
      this.#probe(peer, via, undefined, now)
    this.#queuePeer(peer, now)
    this.#armPeer(peer)
  }

  #queuePeer(peer: Peer, _now: Instant): void {
    const hasWork =
      (peer.tunnel.wantsTransmit && !peer.isPlaintext) ||
      (peer.canTransmit && (peer.hasOutbox || peer.ready.length > 0))
    if (!hasWork || peer.isReady) return
    peer.isReady = true
    this.#readyPeers.push(peer)
  }

  #armPeer(peer: Peer): void {
    this.#timers.set(peer, peer.tunnel.pollTimeout())
    this.#timers.set(peer, peer.paths.pollTimeout())
    this.#timers.set(peer, peer.nudgeAt)
    this.#timers.set(peer, peer.lastUseAt + PEER_IDLE_MS + 1)
  }

  /** Passes on what the children queued, until none has anything left. */
  #settle(now: Instant): void {
    for (;;) {
      const progressed =
        this.#settleRegistry(now) ||
        this.#settleRegistration(now) ||
        this.#settleBeacon(now) ||
        this.#settleTrust(now)
      if (!progressed) return
    }
  }

  #settleRegistry(now: Instant): boolean {
    const event = this.#registry.pollEvent()
    if (event === undefined) return false
    switch (event.type) {
      case 'connect':
        this.#events.push({ type: 'registry-connect' })
        break
      case 'disconnect':
        this.#events.push({ type: 'registry-disconnect' })
        break
      case 'send':
        this.#events.push({ type: 'registry-send', bytes: event.bytes })
        break
      case 'lost':
        this.#events.push({ type: 'registry-lost', reason: event.reason })
        break
      case 'connected':
        break
      case 'reply':
        this.#handleReply(event.id, event.reply, now)
        break
      case 'failed':
        this.#handleFailed(event.id, event.error, now)
    }
    return true
  }

  #handleReply(id: number, reply: RegistryMessage, now: Instant): void {
    const inquirer = this.#inquirers.get(id) ?? { kind: 'quiet' }
    this.#inquirers.delete(id)
    switch (inquirer.kind) {
      case 'user':
        this.#events.push({ type: 'registry-reply', id, reply })
        break
      case 'registration':
        this.#registration.handleReply(inquirer.request, reply, now)
        if (inquirer.request === 'poll' && this.#trust.isReady)
          this.#trust.handlePolled(reply, this.#options.unixNow())
        break
      case 'resolve':
        this.#handleResolved(inquirer.peerId, reply, now)
        break
      case 'lookup':
        this.#handleLookedUp(inquirer.peerId, reply, now)
        break
      case 'trust':
        this.#trust.handleRegistryOutcome(inquirer.token, undefined)
    }
  }

  #handleFailed(id: number, error: PilotError, now: Instant): void {
    const inquirer = this.#inquirers.get(id) ?? { kind: 'quiet' }
    this.#inquirers.delete(id)
    switch (inquirer.kind) {
      case 'user':
        this.#events.push({ type: 'registry-failed', id, error })
        break
      case 'registration':
        this.#registration.handleFailure(
          inquirer.request,
          error.message,
          error.code === 'ERR_REGISTRY',
          now,
        )
        if (inquirer.request === 'hostname' && error.code === 'ERR_REGISTRY')
          this.#events.push({
            type: 'hostname-refused',
            hostname: this.hostname,
            reason: error.message,
          })
        break
      case 'resolve':
        this.#handleUnresolved(inquirer.peerId, error, now)
        break
      case 'lookup': {
        this.#heldKeyExchanges.delete(inquirer.peerId)
        const peer = this.#peers.get(inquirer.peerId)
        if (peer !== undefined) peer.lookupInquiry = { name: 'failed', at: now }
        break
      }
      case 'trust':
        this.#trust.handleRegistryOutcome(inquirer.token, error)
    }
  }

  #handleResolved(peerId: number, reply: RegistryMessage, now: Instant): void {
    const peer = this.#peers.get(peerId)
    if (peer === undefined) return
    peer.resolveInquiry = { name: 'answered', at: now }
    const endpoint =
      typeof reply.real_addr === 'string' ? parseEndpoint(reply.real_addr) : undefined
    if (endpoint !== undefined && reply.relay_only !== true)
      peer.paths.handleResolved([endpoint], now)
    else if (!this.#isReachable(peer) && this.#beacon === undefined)
      this.#failDials(
        peer,
        new NetworkError('ERR_PEER_UNRESOLVED', `node ${peerId} has no real address`),
        now,
      )
    this.#touchPeer(peer, now)
  }

  #handleUnresolved(peerId: number, error: PilotError, now: Instant): void {
    const peer = this.#peers.get(peerId)
    if (peer === undefined) return
    peer.resolveInquiry = { name: 'failed', at: now }
    peer.paths.handleResolved([], now)
    if (this.#isReachable(peer)) return this.#touchPeer(peer, now)
    // Port 444 is open to whoever can prove its key, so a trust message may still find its way by relay.
    this.#trust.handleUnresolved(peerId)
    const code = error.code === 'ERR_REGISTRY' ? 'ERR_PEER_UNRESOLVED' : 'ERR_REGISTRY_UNAVAILABLE'
    this.#failDials(
      peer,
      new NetworkError(code, `resolve node ${peerId}: ${error.message}`, { cause: error }),
      now,
    )
  }

  #failDials(peer: Peer, error: PilotError, now: Instant): void {
    const relayed = this.#beacon === undefined ? undefined : 'trust-outbound'
    for (const stream of peer.streams.values())
      if (stream.connection.state === 'SYN_SENT' && stream.owner !== relayed) {
        stream.error = error
        stream.connection.abort('timeout', now)
        this.#touchStream(stream, now)
      }
    for (let queued = peer.shift(); queued !== undefined; queued = peer.shift())
      this.#drop('unresolved')
    for (const [id, probe] of peer.probes)
      if (probe.pingId !== undefined && peer.takeProbe(id) !== undefined)
        this.#events.push({ type: 'ping-failed', id: probe.pingId, error })
    this.#touchPeer(peer, now)
  }

  #handleLookedUp(peerId: number, reply: RegistryMessage, now: Instant): void {
    const held = this.#heldKeyExchanges.get(peerId)
    this.#heldKeyExchanges.delete(peerId)
    const key = typeof reply.public_key === 'string' ? fromBase64(reply.public_key) : undefined
    if (key?.length !== 32) return
    if (this.#trust.isReady) this.trust.setPeerKey(peerId, toBase64(key))
    const peer = this.#peers.get(peerId)
    if (peer !== undefined) {
      peer.lookupInquiry = { name: 'answered', at: now }
      peer.identityKey ??= key
    }
    if (held === undefined) return
    const frame = decodeKeyExchangeFrame(held.frame)
    if (equals(peer?.identityKey ?? key, frame.identityKey))
      this.#acceptKeyExchange(frame, held.frame, held.via, now)
    else {
      this.#drop('key-mismatch')
      this.#events.push({ type: 'peer-key-mismatch', nodeId: peerId })
    }
  }

  #settleRegistration(now: Instant): boolean {
    const event = this.#registration.pollEvent()
    if (event === undefined) return false
    if (event.type === 'registered') this.#handleRegistered(event.nodeId, event.address, now)
    else if (event.type === 'refused')
      this.#events.push({ type: 'registration-refused', reason: event.reason })
    else
      this.#ask(
        { kind: 'registration', request: event.kind },
        this.#registrationMessage(event.kind),
        now,
      )
    return true
  }

  #registrationMessage(kind: RegistrationRequest): RegistryMessage {
    switch (kind) {
      case 'register': {
        const fallback = this.#options.fixedEndpoint ?? this.#options.localEndpoint
        return this.#requests.register(
          this.#registration.listenAddress(fallback),
          this.#options.owner ?? '',
        )
      }
      case 'visibility':
        return this.#requests.setVisibility(true)
      case 'hostname':
        return this.#requests.setHostname(this.#registration.hostname)
      case 'heartbeat':
        return this.#requests.heartbeat()
      case 'poll':
        return this.#requests.pollHandshakes()
    }
  }

  #handleRegistered(nodeId: number, address: Address, now: Instant): void {
    if (nodeId !== this.#nodeId) {
      // Another id than before: keys are bound to the id, so every tunnel starts anew.
      for (const peer of [...this.#peers.values()]) this.#removePeer(peer, now)
      const { crypto, identity, trustStore, autoApprove } = this.#options
      this.#nodeId = nodeId
      this.#requests = new RegistryRequests(identity, nodeId)
      this.#writer = new FrameWriter(nodeId, this.#options.beacon)
      this.#localKeys = new LocalKeys(crypto, identity, nodeId)
      this.#trust.start(
        new TrustManager({
          crypto,
          identity,
          nodeId,
          store: trustStore,
          autoApprove: autoApprove ?? false,
        }),
      )
    }
    this.#address = address
    this.#beacon?.setNodeId(nodeId, now)
    for (const { nodeId: peerId } of this.trust.store.trusted())
      this.#ask({ kind: 'quiet' }, this.#requests.reportTrust(peerId), now)
    this.#events.push({ type: 'registered', address })
  }

  #settleBeacon(now: Instant): boolean {
    const event = this.#beacon?.pollEvent()
    if (event === undefined) return false
    if (event.type === 'transmit') this.#pushRaw(0, event.to, event.datagram)
    else if (this.#options.fixedEndpoint === undefined)
      this.#registration.handleObserved(event.endpoint, now)
    return true
  }

  // Trust

  #settleTrust(now: Instant): boolean {
    if (!this.#trust.isReady) return false
    const event = this.#trust.pollEvent()
    if (event === undefined) return false
    switch (event.type) {
      case 'dial':
        this.#dialTrust(event.peerId, event.token, event.message, now)
        break
      case 'registry':
        this.#ask({ kind: 'trust', token: event.token }, this.#trustMessage(event), now)
        break
      case 'lookup':
        this.#ask(
          { kind: 'lookup', peerId: event.peerId },
          this.#requests.lookup(event.peerId),
          now,
        )
        break
      case 'drop-tunnel': {
        const peer = this.#peers.get(event.peerId)
        if (peer !== undefined) this.#removePeer(peer, now)
        break
      }
      case 'close-stream':
        if (event.isAbort) this.resetStream(event.stream, now)
        else this.closeStream(event.stream, now)
        break
      case 'drop':
        this.#drop(event.reason)
        break
      case 'poll':
        this.#registration.poll(now)
        break
      default:
        this.#events.push(event)
    }
    this.#registration.isEager = this.#trust.manager.store.outgoingCount > 0
    return true
  }

  #trustMessage(event: {
    readonly op: 'report' | 'respond' | 'revoke' | 'request'
    readonly peerId: number
    readonly accept: boolean
    readonly text: string
  }): RegistryMessage {
    switch (event.op) {
      case 'report':
        return this.#requests.reportTrust(event.peerId)
      case 'respond':
        return this.#requests.respondHandshake(event.peerId, event.accept)
      case 'revoke':
        return this.#requests.revokeTrust(event.peerId)
      case 'request':
        return this.#requests.requestHandshake(event.peerId, event.text)
    }
  }

  #dialTrust(peerId: number, token: number, message: Uint8Array, now: Instant): void {
    try {
      const stream = this.dial({ network: 0, node: peerId }, PORT.trust, now, 'trust-outbound')
      this.#trust.handleDialing(token, stream, message, now)
    } catch (error) {
      if (!(error instanceof PilotError)) throw error
      this.#trust.handleUndelivered(token)
    }
  }

  #handleTrustNews(stream: Stream, now: Instant): void {
    const index = this.#news.indexOf(stream)
    if (index >= 0) this.#news.splice(index, 1)
    stream.isNotified = false
    this.#trust.handleNews(stream, now, this.#options.unixNow())
    if (stream.connection.state !== 'CLOSED') {
      if (stream.connection.wantsTransmit && !stream.isReady) {
        stream.isReady = true
        stream.peer.ready.push(stream)
        this.#queuePeer(stream.peer, now)
      }
      this.#timers.set(stream, stream.connection.pollTimeout())
    }
  }

  // Small things

  #ask(inquirer: Inquirer, message: RegistryMessage, now: Instant): number {
    const id = this.#registry.request(message, now)
    this.#inquirers.set(id, inquirer)
    if (inquirer.kind === 'user') this.#settle(now)
    return id
  }

  #packet(
    protocol: number,
    flags: number,
    sourcePort: number,
    destination: Address,
    destinationPort: number,
    seq: number,
    ack: number,
    payload: Uint8Array,
    sourceNetwork = 0,
  ): Uint8Array {
    const source = { network: sourceNetwork, node: this.#nodeId }
    return encodePacket({
      protocol,
      flags,
      source,
      sourcePort,
      destination,
      destinationPort,
      seq,
      ack,
      window: 0,
      payload,
    })
  }

  #pushRaw(nodeId: number, via: ArrivalPath, datagram: Uint8Array): void {
    if (this.#raw.length < RAW_MAX) this.#raw.push({ nodeId, via, datagram })
    else this.#drop('raw-queue')
  }

  get #maxConnections(): number {
    return this.#options.maxConnections ?? 4096
  }

  /** Below 2^31: the reference compares some of these numbers without wrapping (spec/03 §7.8). */
  #randomIsn(): number {
    return viewOf(this.#options.crypto.random(4)).getUint32(0) >>> 2
  }

  #requireRegistered(): void {
    if (this.#nodeId === 0)
      throw new NetworkError('ERR_REGISTRY_UNAVAILABLE', 'this node is not registered yet')
  }

  #drop(reason: string): void {
    this.drops[reason] = (this.drops[reason] ?? 0) + 1
  }
}

/** Largest datagram payload that still passes the relay (spec/01 §8). */
export const DATAGRAM_PAYLOAD_MAX = 65_428
const EMPTY = new Uint8Array(0)

/** `ip:port` or `[ip]:port` with a numeric IP and a port of 1..65535. */
export function parseEndpoint(text: string): Endpoint | undefined {
  const match = /^(?:\[([^\]]+)\]|([^:]+)):(\d{1,5})$/.exec(text)
  if (match === null) return undefined
  const address = match[1] ?? match[2]!
  const port = Number(match[3])
  if (port < 1 || port > 0xffff || ipBytes(address) === undefined) return undefined
  const mapped = /^::ffff:((?:\d{1,3}\.){3}\d{1,3})$/i.exec(address)
  return { address: mapped?.[1] ?? address, port }
}

export { sameEndpoint }
