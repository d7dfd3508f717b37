/**
 * The top machine: one identity, its registration, its peers and ports. It wires the parts, passes what one
 * of them queued to the next, and is what a runtime drives. The parts: frames in (`frame-receiver`), packets
 * in (`packet-receiver`), datagrams out (`frame-writer`), who is where (`peer-finder`), who may
 * (`admission`), what is due (`scheduler`).
 */
import { equals, toBase64, viewOf } from '../bytes.ts'
import { DATAGRAM_PAYLOAD_MAX, PORT, SEGMENT_BYTES } from '../constants.ts'
import { NetworkError, PilotError, UsageError } from '../errors.ts'
import type { Endpoint, Instant } from '../machine.ts'
import { PortTable } from '../port/port-table.ts'
import { BeaconClient, type BeaconStatus } from '../rendezvous/beacon-client.ts'
import type { Registration } from '../rendezvous/registration.ts'
import type { RegistryRequest, RegistryRequests } from '../rendezvous/registry-requests.ts'
import { Connection } from '../stream/connection.ts'
import { parseRotations, provesRotation } from '../trust/key-rotations.ts'
import { TrustManager } from '../trust/trust-manager.ts'
import type { Address, SocketAddress } from '../wire/address.ts'
import { decodeBeaconMessage } from '../wire/beacon-message.ts'
import { PROTOCOL } from '../wire/packet.ts'
import type { RegistryMessage } from '../wire/registry-message.ts'
import { Admission } from './admission.ts'
import { NodeContext } from './context.ts'
import type { NodeMachineEvent } from './events.ts'
import { FrameReceiver, type SealedAttempts } from './frame-receiver.ts'
import { FrameWriter, type Transmit } from './frame-writer.ts'
import type { NodeMachineOptions } from './options.ts'
import { PacketReceiver } from './packet-receiver.ts'
import { PathKeeper } from './path-keeper.ts'
import { PEER_IDLE_MS, type Peer } from './peer.ts'
import { PeerFinder } from './peer-finder.ts'
import { PeerTable } from './peer-table.ts'
import { Prober } from './prober.ts'
import { Registrar } from './registrar.ts'
import { type Answer, RegistryDesk } from './registry-desk.ts'
import { Scheduler } from './scheduler.ts'
import { Stream, streamKey } from './stream.ts'
import { StreamTable } from './stream-table.ts'
import { TrustCourier } from './trust-courier.ts'
import { TrustExchange } from './trust-exchange.ts'

/** What a SYN may carry: every path takes it. */
const EARLY_DATA_BYTES = SEGMENT_BYTES

/** One identity as a machine: its registration, its peers, and what goes to and from them. A runtime drives it. */
export class NodeMachine {
  /** Paths that a runtime makes for single peers, and outlets that are full. */
  readonly paths: PathKeeper
  readonly #context: NodeContext
  readonly #desk: RegistryDesk
  readonly #registrar: Registrar
  readonly #registration: Registration
  readonly #beacon: BeaconClient | undefined
  readonly #ports: PortTable
  readonly #scheduler: Scheduler
  readonly #trust = new TrustExchange()
  readonly #courier: TrustCourier
  readonly #peers: PeerTable
  readonly #streams: StreamTable
  readonly #prober: Prober
  readonly #finder: PeerFinder
  readonly #packets: PacketReceiver
  readonly #frames: FrameReceiver
  #writer: FrameWriter
  bytesSent = 0
  bytesReceived = 0
  datagramsSent = 0
  datagramsReceived = 0

  constructor(options: NodeMachineOptions) {
    const { crypto, now, beacon, relayOnly = false } = options
    const random = viewOf(crypto.random(8))
    const fraction = (at: number): number => random.getUint32(at) / 0x1_0000_0000
    const context = new NodeContext(options)
    this.#context = context
    this.#desk = new RegistryDesk(context)
    this.#beacon = beacon && new BeaconClient({ beacon, relayOnly, jitter: fraction(4), now })
    this.#registrar = new Registrar({
      context,
      beacon: this.#beacon,
      desk: this.#desk,
      trust: this.#trust,
    })
    this.#registration = this.#registrar.registration
    this.#ports = new PortTable(fraction(0))
    this.#ports.listen(PORT.trust)
    this.#scheduler = new Scheduler(context, this.#ports)
    this.#peers = new PeerTable(context, this.#scheduler, this.#trust)
    this.#streams = new StreamTable(context, this.#ports, this.#peers, this.#scheduler)
    this.#prober = new Prober(context, this.#scheduler)
    this.#writer = new FrameWriter(0, beacon)
    const parts = {
      context,
      beacon: this.#beacon,
      admission: new Admission(context, this.#trust, () => this.isPublic),
      desk: this.#desk,
      peers: this.#peers,
      ports: this.#ports,
      prober: this.#prober,
      registration: this.#registration,
      scheduler: this.#scheduler,
      streams: this.#streams,
      trust: this.#trust,
    }
    this.paths = new PathKeeper(parts)
    this.#finder = new PeerFinder(parts)
    this.#packets = new PacketReceiver(parts)
    this.#frames = new FrameReceiver({ ...parts, packets: this.#packets })
    this.#courier = new TrustCourier({ ...parts, dial: (...to) => this.dial(...to) })
  }

  // What there is to know

  /** 0 until registered. */
  get nodeId(): number {
    return this.#context.nodeId
  }
  get address(): Address {
    return this.#context.address
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
    return this.#desk.client.isConnected
  }
  /** Why the registry cannot be asked, for people; `undefined` when nothing is known to be wrong. */
  get registryProblem(): string | undefined {
    return this.#desk.client.problem
  }
  get requests(): RegistryRequests {
    return this.#context.requests
  }
  /** @throws {PilotError} `ERR_REGISTRY_UNAVAILABLE` before the first registration. */
  get trust(): TrustManager {
    return this.#trust.manager
  }
  get peers(): ReadonlyMap<number, Peer> {
    return this.#peers.all
  }
  get ports(): PortTable {
    return this.#ports
  }
  /** Counted drops by reason. */
  get drops(): Readonly<Record<string, number>> {
    return this.#context.drops
  }
  /** Streams that are not in TIME_WAIT. */
  get liveStreams(): number {
    return this.#streams.live
  }
  /** Timers held for streams and peers, for leak checks. */
  get heldTimers(): number {
    return this.#scheduler.timers
  }
  /** Our socket as others see it, as far as known. */
  get endpoint(): Endpoint {
    const { fixedEndpoint, localEndpoint } = this.#context.options
    return fixedEndpoint ?? this.#beacon?.observed ?? localEndpoint
  }

  /** `undefined` where there is no beacon to ask. */
  get beaconStatus(): BeaconStatus | undefined {
    return this.#beacon?.status
  }

  findStream(id: number): Stream | undefined {
    return this.#streams.find(id)
  }

  // Input

  /** The bytes may be kept and read until the node is done with them: the caller does not reuse them. */
  handleDatagram(datagram: Uint8Array, from: Endpoint, now: Instant): void {
    this.bytesReceived += datagram.length
    this.datagramsReceived++
    if (datagram.length > 0 && datagram[0]! < 0x10) this.#handleBeacon(datagram, from, now)
    else if (this.#context.options.relayOnly === true && this.#beacon?.isBeacon(from) === true)
      this.#context.drop('not-relayed')
    else this.#frames.handle(datagram, from, undefined, now)
    this.#settle(now)
  }

  /**
   * Where the AEAD answers later: what is to be tried on this datagram before it is handled. The driver puts
   * the first plaintext it gets ready (`EdgeAead.putReady`) and then calls `handleDatagram`.
   */
  openAttempts(datagram: Uint8Array): SealedAttempts | undefined {
    if (datagram.length === 0 || datagram[0]! >= 0x10) return this.#frames.openAttempts(datagram)
    try {
      const message = decodeBeaconMessage(datagram)
      return message.type === 'relay-deliver' ? this.#frames.openAttempts(message.frame) : undefined
    } catch {
      return undefined // counted when it is handled
    }
  }

  handleRegistryConnected(now: Instant): void {
    this.#desk.client.handleConnected()
    this.#registration.handleReconnected(now)
    // It may have been restarted, and the beacon with it, which then knows us no more.
    if (this.isRegistered) this.#beacon?.refresh(now)
    this.#settle(now)
  }

  handleRegistryData(bytes: Uint8Array, now: Instant): void {
    this.#desk.client.handleData(bytes, now)
    this.#settle(now)
  }

  handleRegistryDisconnected(reason: string, now: Instant): void {
    this.#desk.client.handleDisconnected(reason, now)
    this.#settle(now)
  }

  handleTimeout(now: Instant): void {
    this.#desk.client.handleTimeout(now)
    this.#registration.handleTimeout(now)
    this.#beacon?.handleTimeout(now)
    this.#trust.handleTimeout(now)
    for (
      let due = this.#scheduler.popDue(now);
      due !== undefined;
      due = this.#scheduler.popDue(now)
    )
      if (due.kind === 'stream') {
        due.connection.handleTimeout(now)
        if (due.connection.isStuck) this.paths.suspect(due.peer, now)
        this.#scheduler.touchStream(due)
      } else this.#handlePeerTimeout(due, now)
    this.#settle(now)
  }

  /** The signature that a `sign` event asked for; `undefined` when the key cannot be used. */
  handleSignature(id: number, signature: Uint8Array | undefined, now: Instant): void {
    this.#context.handleSignature(id, signature)
    for (const peer of this.#peers.all.values()) this.#scheduler.queuePeer(peer)
    this.#settle(now)
  }

  /** The machine slept, or the network changed: everything is asked and proven again at once. */
  handleNetworkChange(now: Instant): void {
    this.#beacon?.refresh(now)
    this.#desk.client.reconnect(now)
    this.paths.doubtAll(now)
  }

  /**
   * Looks for a direct path to a node at once: asks where it is, has it punch, probes what is known, and offers it keys
   * where there is no tunnel. A path that works is left alone.
   *
   * @throws {UsageError} `ERR_DIAL_SELF`; {@link NetworkError} `ERR_REGISTRY_UNAVAILABLE`.
   */
  seekDirect(nodeId: number, now: Instant): void {
    this.#requireOther(nodeId, 'a direct path')
    const peer = this.#peers.require(nodeId, now)
    if (peer.paths.isProven && peer.tunnel.isKeyed) return
    this.#finder.seek(peer, now)
    peer.paths.handleSent(now)
    peer.paths.doubt(now)
    this.#prober.probePath(peer, peer.paths.endpoint ?? 'relay', now)
    this.#scheduler.touchPeer(peer, now)
    this.#settle(now)
  }

  // Output

  /** Earliest moment at which `handleTimeout` has something to do. */
  pollTimeout(): Instant | undefined {
    let at = this.#scheduler.earliest
    const others = [this.#desk.client, this.#registration, this.#beacon, this.#trust]
    for (const other of others) {
      const due = other?.pollTimeout()
      if (due !== undefined && (at === undefined || due < at)) at = due
    }
    return at
  }

  pollEvent(): NodeMachineEvent | undefined {
    const event = this.#context.events.shift()
    if (event?.type === 'datagram') this.#packets.handleDatagramTaken()
    return event
  }

  /** The next stream with news for the application. Take them by reading and clearing `stream.news`. */
  pollStream(): Stream | undefined {
    return this.#scheduler.pollStream()
  }

  /**
   * Builds the next datagram in `buffer`, which has at least `TRANSMIT_BUFFER_BYTES` bytes. What is returned
   * is only valid until the next call; the bytes are the caller's.
   */
  pollTransmit(buffer: Uint8Array, now: Instant): Transmit | undefined {
    const transmit = this.#pollRaw(buffer) ?? this.#pollPeers(buffer, now)
    if (transmit !== undefined) {
      this.bytesSent += transmit.end - transmit.start
      this.datagramsSent++
    }
    return transmit
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
    this.#requireOther(address.node, 'dial')
    if (!this.#streams.hasRoom) throw new UsageError('ERR_LIMIT', 'too many connections are open')
    const peer = this.#peers.require(address.node, now)
    const free = this.#ports.allocate((port_) => !peer.streams.has(streamKey(port_, port)))
    if (free === undefined)
      throw new UsageError('ERR_LIMIT', 'no ephemeral port is free toward this peer')
    const local = { address: { network: address.network, node: this.nodeId }, port: free }
    const options = this.#streams.connectionOptions(peer, local, { address, port }, now)
    const earlyDataMax = peer.isModern ? EARLY_DATA_BYTES : 0
    const connection = Connection.dial({ ...options, earlyDataMax })
    const stream = new Stream(connection, peer, owner, false)
    this.#finder.reach(peer, now)
    this.#finder.watch(peer, now)
    this.#scheduler.addStream(stream)
    this.#scheduler.touchPeer(peer, now)
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
    this.#scheduler.touchStream(stream)
    return taken
  }

  read(stream: Stream, now: Instant): Uint8Array | undefined {
    const data = stream.connection.read(now)
    if (data !== undefined) this.#scheduler.touchStream(stream)
    return data
  }

  closeStream(stream: Stream, now: Instant): void {
    stream.connection.close(now)
    this.#scheduler.touchStream(stream)
  }

  resetStream(stream: Stream, now: Instant): void {
    stream.connection.reset(now)
    this.#scheduler.touchStream(stream)
  }

  /** Takes no more inbound streams and asks every open one to drain and close. */
  close(now: Instant): void {
    this.#context.isClosing = true
    for (const stream of [...this.#streams.all()]) this.closeStream(stream, now)
  }

  // Datagrams and pings

  /** @throws {UsageError} `ERR_INVALID_ARGUMENT` for empty or oversize data, `ERR_LIMIT` when too many wait. */
  sendDatagram(to: SocketAddress, data: Uint8Array, now: Instant): void {
    this.#requireOther(to.address.node, 'a datagram')
    if (data.length < 1 || data.length > DATAGRAM_PAYLOAD_MAX)
      throw new UsageError(
        'ERR_INVALID_ARGUMENT',
        `a datagram has 1 to ${DATAGRAM_PAYLOAD_MAX} bytes, got ${data.length}`,
      )
    const peer = this.#peers.require(to.address.node, now)
    this.#finder.reach(peer, now)
    const packet = this.#context.encode({
      protocol: PROTOCOL.datagram,
      // Whoever is spoken to in a network hears from there (spec/07 §11).
      sourceNetwork: to.address.network,
      sourcePort: this.#ports.allocate(() => true) ?? 0,
      destination: to.address,
      destinationPort: to.port,
      payload: data,
    })
    if (!peer.push({ packet }))
      throw new UsageError('ERR_LIMIT', `too many datagrams wait for node ${peer.id}`)
    this.#scheduler.touchPeer(peer, now)
    this.#settle(now)
  }

  /** Sends a ping through the tunnel; the answer comes as `pong` with the id returned. */
  ping(nodeId: number, now: Instant): number {
    this.#requireOther(nodeId, 'ping')
    const peer = this.#peers.require(nodeId, now)
    this.#finder.reach(peer, now)
    const id = this.#prober.ping(peer, now)
    this.#scheduler.touchPeer(peer, now)
    this.#settle(now)
    return id
  }

  // Registry

  /** Any request; the outcome comes as `registry-reply` or `registry-failed` with the id returned. */
  request(request: RegistryRequest, now: Instant): number {
    const id = this.#desk.ask({ kind: 'user' }, request, now)
    this.#settle(now)
    return id
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
    this.#desk.client.close()
    this.#settle(0)
  }

  // Trust

  /** The outcome comes as `trust-outcome` with the id returned. @throws {UsageError} `ERR_INVALID_ARGUMENT`. */
  requestTrust(peerId: number, justification: string, now: Instant): number {
    this.#requireOther(peerId, 'trust')
    const id = this.#trust.request(peerId, justification, this.#unixNow)
    this.#settle(now)
    return id
  }

  /** @throws {SecurityError} `ERR_NOT_PENDING`. */
  approveTrust(peerId: number, now: Instant): void {
    this.trust.approve(peerId, this.#unixNow)
    this.#settle(now)
  }

  /** @throws {SecurityError} `ERR_NOT_PENDING`. */
  rejectTrust(peerId: number, reason: string, now: Instant): void {
    this.trust.reject(peerId, reason, this.#unixNow)
    this.#settle(now)
  }

  /** @throws {SecurityError} `ERR_NOT_TRUSTED`. */
  revokeTrust(peerId: number, now: Instant): void {
    this.trust.revoke(peerId, this.#unixNow)
    this.#settle(now)
  }

  // Inside

  #pollRaw(buffer: Uint8Array): Transmit | undefined {
    const { raw } = this.#context
    for (let next = raw.shift(); next !== undefined; next = raw.shift()) {
      const { nodeId, via, datagram } = next
      const transmit =
        nodeId === 0 && via !== 'relay'
          ? this.#writer.writeRaw(via, datagram, buffer)
          : this.#writer.writeFrameVia(nodeId, via, datagram, buffer)
      if (transmit !== undefined) return transmit
    }
    return undefined
  }

  #pollPeers(buffer: Uint8Array, now: Instant): Transmit | undefined {
    for (
      let peer = this.#scheduler.readyPeer;
      peer !== undefined;
      peer = this.#scheduler.readyPeer
    ) {
      const transmit = this.#writer.write(peer, buffer, now, this.#streamPolled)
      if (transmit === undefined) {
        this.#scheduler.retire()
        continue
      }
      if (!this.#writer.hasCopy) this.#scheduler.rotate()
      return transmit
    }
    return undefined
  }

  readonly #streamPolled = (stream: Stream): void => this.#scheduler.touchStream(stream)

  /** The beacon is known by its address alone: its word makes us send a few bytes, no more. */
  #handleBeacon(datagram: Uint8Array, from: Endpoint, now: Instant): void {
    if (this.#beacon?.isBeacon(from) !== true) return this.#context.drop('beacon-stranger')
    try {
      const message = decodeBeaconMessage(datagram)
      if (message.type !== 'relay-deliver') return this.#beacon.handleMessage(message, now)
      const { frame, senderId, destinationId } = message
      const isOurs = destinationId === undefined || destinationId === this.nodeId
      if (!isOurs || (frame.length > 0 && frame[0]! < 0x10))
        return this.#context.drop('relay-mismatch')
      this.#frames.handle(frame, 'relay', senderId, now)
    } catch (error) {
      if (!(error instanceof PilotError)) throw error
      this.#context.drop('malformed')
    }
  }

  #handlePeerTimeout(peer: Peer, now: Instant): void {
    peer.tunnel.handleTimeout(now)
    this.paths.handleTimeout(peer, now)
    this.#finder.handleTimeout(peer, now)
    const isIdle = now - Math.max(peer.heardAt, peer.lastUseAt) > PEER_IDLE_MS
    if (isIdle && peer.streams.size === 0) this.#peers.remove(peer, now)
    else this.#scheduler.touchPeer(peer, now)
  }

  /** Passes on what the parts queued, until none has anything left. */
  #settle(now: Instant): void {
    for (;;) {
      const answer = this.#desk.poll()
      if (typeof answer === 'object') this.#handleAnswer(answer, now)
      const registered = this.#registrar.poll(now)
      if (typeof registered === 'object') this.#adopt(registered.nodeId, registered.address, now)
      const didBeacon = this.#settleBeacon(now)
      const didTrust = this.#courier.poll(now)
      if (answer === false && registered === false && !didBeacon && !didTrust) return
    }
  }

  #handleAnswer({ inquirer, outcome }: Answer, now: Instant): void {
    const { reply, error } = outcome
    switch (inquirer.kind) {
      case 'registration':
        return this.#registrar.handleAnswer(inquirer.request, outcome, now)
      case 'resolve':
        if (error === undefined) this.#finder.handleResolved(inquirer.peerId, reply, now)
        else this.#finder.handleUnresolved(inquirer.peerId, error, now)
        return
      case 'lookup':
        return this.#handleLookupAnswer(inquirer.peerId, reply, now)
      case 'trust':
        return this.#trust.handleRegistryOutcome(inquirer.token, error)
    }
  }

  #handleLookupAnswer(peerId: number, reply: RegistryMessage | undefined, now: Instant): void {
    const key = reply && this.#finder.handleLookedUp(peerId, reply, now)
    if (key === undefined) {
      this.#finder.handleLookupFailed(peerId, now)
      return this.#frames.handleLookupFailed(peerId)
    }
    if (this.#trust.isReady) this.trust.setPeerKey(peerId, toBase64(key))
    this.#followRotation(peerId, key, reply)
    this.#frames.handleLookedUp(peerId, key, now)
  }

  /** A pinned key gives way to one that it has signed; to nothing else that a registry says. */
  #followRotation(peerId: number, key: Uint8Array, reply: RegistryMessage | undefined): void {
    const pinned = this.#peers.pinnedKey(peerId)
    if (pinned === undefined || equals(pinned, key)) return
    const { ed25519Verify } = this.#context.options.crypto
    const rotations = parseRotations(reply?.rotations)
    if (!provesRotation(ed25519Verify, peerId, pinned, key, rotations)) return
    this.trust.replacePeerKey(peerId, toBase64(key))
    const peer = this.#peers.get(peerId)
    if (peer !== undefined) peer.identityKey = key
    this.#context.emit({ type: 'peer-key-rotated', nodeId: peerId })
  }

  /** The registry's word on who we are. */
  #adopt(nodeId: number, address: Address, now: Instant): void {
    const context = this.#context
    if (nodeId !== context.nodeId) {
      // Keys are announced under the id: with another one every tunnel starts anew.
      this.#peers.removeAll(now)
      context.adopt(nodeId)
      const { crypto, identity, trustStore: store, autoApprove = false, beacon } = context.options
      this.#writer = new FrameWriter(nodeId, beacon, (peer) => this.#scheduler.isPaused(peer))
      this.#trust.start(new TrustManager({ crypto, identity, nodeId, store, autoApprove }))
    }
    context.address = address
    this.#beacon?.setNodeId(nodeId, now)
    for (const { nodeId: peerId } of this.trust.store.trusted())
      this.#desk.ask({ kind: 'quiet' }, context.requests.reportTrust(peerId), now)
    context.emit({ type: 'registered', address })
  }

  #settleBeacon(now: Instant): boolean {
    const event = this.#beacon?.pollEvent()
    if (event === undefined) return false
    if (event.type === 'transmit') this.#context.sendRaw(event.to, event.datagram)
    else if (event.type === 'status')
      this.#context.emit({ type: 'beacon-status', status: event.status })
    else if (this.#context.options.fixedEndpoint === undefined)
      this.#registration.handleObserved(event.endpoint, now)
    return true
  }

  get #unixNow(): number {
    return this.#context.options.unixNow()
  }

  /** @throws {PilotError} `ERR_REGISTRY_UNAVAILABLE` without an id of our own, `ERR_DIAL_SELF`. */
  #requireOther(nodeId: number, what: string): void {
    if (this.nodeId === 0)
      throw new NetworkError('ERR_REGISTRY_UNAVAILABLE', 'this node is not registered yet')
    if (nodeId === this.nodeId) throw new UsageError('ERR_DIAL_SELF', `${what} to self`)
  }
}
