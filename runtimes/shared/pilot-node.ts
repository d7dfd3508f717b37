/** The public node: promises, streams and events over a node machine and its driver. */
import {
  type Address,
  formatAddress,
  NetworkError,
  NodeMachine,
  type NodeMachineEvent,
  type NodeMachineOptions,
  PilotError,
  type SocketAddress,
  type Stream,
  UsageError,
} from '../../core/index.ts'
import type {
  CallOptions,
  ConnectionInfo,
  DialOptions,
  DialTarget,
  NodeEvent,
  NodeInfo,
  PeerInfo,
  PilotConnection,
  PilotDatagram,
  PilotListener,
  PilotNode,
  RegistryReply,
} from './api.ts'
import type { Clock } from './clock.ts'
import { Driver } from './driver.ts'
import { Listener } from './listener.ts'
import { connectionInfos, nodeInfo, peerInfos } from './node-view.ts'
import { PathSocket } from './path-socket.ts'
import { DirectPaths } from './paths/direct-paths.ts'
import type { PathDoor } from './paths/path-context.ts'
import { RegistryCalls } from './registry-calls.ts'
import type { MakePeerConnection } from './rtc/peer-connection.ts'
import { signed } from './signed.ts'
import { StreamConnection, streamError } from './stream-connection.ts'
import type { DatagramSocket, NodePart, RegistryConnector, SocketEvent } from './transport.ts'
import { TrustCalls } from './trust-calls.ts'
import { type Deferred, defer, settle } from './wait.ts'
import { type OpenWebSocket, openWebSocket } from './web-socket.ts'

const DIAL_TIMEOUT_MS = 25_000
const DIAL_DATA_BYTES_MAX = 65_536
const PING_TIMEOUT_MS = 10_000
const CLOSE_TIMEOUT_MS = 2000
const PROFILE_TIMEOUT_MS = 2000
const REGISTRATION_TIMEOUT_MS = 10_000

export interface PilotNodeOptions {
  readonly machine: Omit<NodeMachineOptions, 'now'>
  readonly socket: DatagramSocket
  readonly registry: RegistryConnector
  readonly clock: Clock
  /** Writes `trust.json`; what the node reports as done waits for it. */
  readonly saveTrust?: (text: string) => Promise<void>
  /** Makes WebRTC connections, where the runtime can: relayed peers then get direct paths too. */
  readonly createPeerConnection?: MakePeerConnection
  /** Dials WebSockets that trusted peers listen on. Default: the global `WebSocket` where there is WebRTC too. */
  readonly openWebSocket?: OpenWebSocket
  /** Takes WebSockets of trusted peers. */
  readonly door?: PathDoor
  /** What else runs for this node and ends with it. */
  readonly parts?: readonly NodePart[]
  /** Default 10 000: how long `start` waits for the registry. */
  readonly registrationTimeoutMs?: number
}

export class SharedPilotNode implements PilotNode {
  readonly trust: TrustCalls
  readonly registry: RegistryCalls
  readonly #options: PilotNodeOptions
  readonly #machine: NodeMachine
  readonly #driver: Driver
  readonly #socket: PathSocket
  readonly #clock: Clock
  readonly #startedAt: number
  readonly #connections = new Map<Stream, StreamConnection>()
  readonly #dials = new Map<Stream, Deferred<PilotConnection>>()
  readonly #listeners = new Map<number, Listener>()
  readonly #pings = new Map<number, Deferred<number>>()
  readonly #subscribers = new Set<(event: NodeEvent) => void>()
  readonly #datagramSubscribers = new Set<(datagram: PilotDatagram) => void>()
  #directPaths: DirectPaths | undefined
  #registered: Deferred<void> | undefined
  /** Settles when the registry knows the node's hostname and visibility, so that others can find it. */
  readonly #announced: Deferred<void> = defer<void>()
  /** Settles when datagrams can flow, for sockets that have a connection behind them. */
  #connected: Deferred<void> | undefined
  #relayReason = 'no answer'
  /** `undefined` before the first word of the socket. */
  #isConnected: boolean | undefined
  #isClosed = false
  readonly #over: Deferred<void> = defer<void>()

  private constructor(options: PilotNodeOptions) {
    this.#options = options
    this.#clock = options.clock
    this.#startedAt = options.clock.now()
    this.#socket = new PathSocket(options.socket)
    this.#machine = new NodeMachine({ ...options.machine, now: this.#startedAt })
    this.#driver = new Driver({
      machine: this.#machine,
      socket: this.#socket,
      registry: options.registry,
      clock: options.clock,
      isEdge: options.machine.crypto.isEdge === true,
      onevent: (event) => this.#handleEvent(event),
      onstream: (stream) => this.#handleStream(stream),
    })
    options.socket.onevent = (event) => this.#handleSocketEvent(event)
    for (const part of options.parts ?? []) part.onevent = (event) => this.#emit(event)
    const machine = this.#machine
    const { clock } = options
    this.trust = new TrustCalls({
      machine,
      clock,
      save: options.saveTrust,
      drain: () => this.#driver.drain(),
      requireOpen: () => this.#requireOpen(),
      decided: (nodeId, decision, reason) => {
        if (options.machine.details === true)
          this.#emit({ type: 'trust-decided', nodeId, decision, reason })
      },
    })
    this.registry = new RegistryCalls({
      machine,
      clock,
      endpoint: options.registry.endpoint,
      schedule: () => this.#driver.schedule(),
    })
  }

  /**
   * Runs a node and waits until it is registered, and connected where the socket has a connection behind it.
   *
   * @throws {PilotError} `ERR_REGISTRY_UNAVAILABLE`, `ERR_REGISTRY`, `ERR_RELAY_UNAVAILABLE`, `ERR_ABORTED`; the
   * socket is closed then.
   */
  static async start(
    options: PilotNodeOptions,
    { signal }: CallOptions = {},
  ): Promise<SharedPilotNode> {
    const node = new SharedPilotNode(options)
    const timeoutMs = options.registrationTimeoutMs ?? REGISTRATION_TIMEOUT_MS
    node.#registered = defer<void>({
      signal,
      timeoutMs,
      onTimeout: () => node.registry.registrationError(),
    })
    node.#driver.drain()
    try {
      await node.#registered.promise
      await node.#profileKnown()
      if (options.socket.identify !== undefined) await node.#connect(timeoutMs, signal)
    } catch (error) {
      node.#driver.stop()
      await Promise.all([node.#socket.close(), ...node.#closeParts()])
      throw error
    }
    node.#startDirectPaths()
    return node
  }

  /** Settles when `close` has done its work. */
  get closed(): Promise<void> {
    return this.#over.promise
  }
  get nodeId(): number {
    return this.#machine.nodeId
  }
  get address(): Address {
    return this.#machine.address
  }
  get publicKey(): Uint8Array {
    return this.#options.machine.identity.publicKey
  }
  get hostname(): string {
    return this.#machine.hostname
  }
  get isPublic(): boolean {
    return this.#machine.isPublic
  }
  /** It is reached through the relay alone: there is no UDP, or it is not used. */
  get isRelayOnly(): boolean {
    return this.#options.machine.relayOnly === true
  }
  /** Where trusted peers may open WebSockets to this node; none unless it listens. */
  get webSocketUrls(): readonly string[] {
    return this.#options.door?.urls ?? []
  }
  /** The machine, for tests that count what it holds. */
  get machine(): NodeMachine {
    return this.#machine
  }

  async dial(target: DialTarget, options: DialOptions = {}): Promise<PilotConnection> {
    this.#requireOpen()
    const { data } = options
    if (data !== undefined && data.length > DIAL_DATA_BYTES_MAX)
      throw new UsageError(
        'ERR_INVALID_ARGUMENT',
        `a dial takes at most ${DIAL_DATA_BYTES_MAX} bytes along, got ${data.length}`,
      )
    const started = this.#clock.now()
    const { address, port } = await this.registry.resolveTarget(target, options)
    const budget = (options.timeoutMs ?? DIAL_TIMEOUT_MS) - (this.#clock.now() - started)
    const stream = this.#machine.dial(address, port, this.#clock.now())
    const cancel = (): void => {
      this.#dials.delete(stream)
      this.#machine.resetStream(stream, this.#clock.now())
      this.#driver.schedule()
    }
    const deferred = defer<PilotConnection>({
      signal: options.signal,
      timeoutMs: Math.max(0, budget),
      onTimeout: () => dialTimeout(address, port),
      onCancel: cancel,
    })
    this.#dials.set(stream, deferred)
    if (data !== undefined) this.#machine.write(stream, data, this.#clock.now())
    this.#driver.schedule()
    return deferred.promise
  }

  listen(port: number): PilotListener {
    this.#requireOpen()
    this.#machine.listen(port)
    const listener = new Listener(port, () => {
      this.#machine.unlisten(port)
      this.#listeners.delete(port)
    })
    this.#listeners.set(port, listener)
    return listener
  }

  sendDatagram(to: SocketAddress, data: Uint8Array): void {
    this.#requireOpen()
    this.#machine.sendDatagram(to, data, this.#clock.now())
    this.#driver.schedule()
  }

  onDatagram(listener: (datagram: PilotDatagram) => void): () => void {
    this.#datagramSubscribers.add(listener)
    return () => this.#datagramSubscribers.delete(listener)
  }

  async ping(target: string | Address, options: DialOptions = {}): Promise<number> {
    this.#requireOpen()
    const address = typeof target === 'string' ? await this.resolve(target, options) : target
    const id = this.#machine.ping(address.node, this.#clock.now())
    const timeoutMs = options.timeoutMs ?? PING_TIMEOUT_MS
    const deferred = defer<number>({
      signal: options.signal,
      timeoutMs,
      onTimeout: () => new NetworkError('ERR_TIMEOUT', `no answer to ping within ${timeoutMs} ms`),
      onCancel: () => this.#pings.delete(id),
    })
    this.#pings.set(id, deferred)
    this.#driver.schedule()
    return deferred.promise
  }

  resolve(target: string, options?: CallOptions): Promise<Address> {
    return this.registry.resolve(target, options)
  }

  async setHostname(hostname: string): Promise<RegistryReply> {
    const reply = await this.registry.ask(this.#machine.requests.setHostname(hostname))
    this.#machine.setProfile({ hostname })
    return reply
  }

  async setVisibility(isPublic: boolean): Promise<RegistryReply> {
    const reply = await this.registry.ask(this.#machine.requests.setVisibility(isPublic))
    this.#machine.setProfile({ isPublic })
    return reply
  }

  setTags(tags: readonly string[]): Promise<RegistryReply> {
    return this.registry.ask(this.#machine.requests.setTags(tags))
  }

  setTaskExec(enabled: boolean): Promise<RegistryReply> {
    return this.registry.ask(this.#machine.requests.setTaskExec(enabled))
  }

  async deregister(): Promise<RegistryReply> {
    const reply = await this.registry.ask(this.#machine.requests.deregister())
    this.#machine.stopRegistration()
    return reply
  }

  info(): NodeInfo {
    return nodeInfo({
      machine: this.#machine,
      uptimeMs: this.#clock.now() - this.#startedAt,
      encrypt: this.#options.machine.encrypt !== false,
      socketDrops: this.#socket.drops,
    })
  }

  connections(): readonly ConnectionInfo[] {
    return connectionInfos(this.#machine)
  }

  peers(): readonly PeerInfo[] {
    return peerInfos(this.#machine, (peerId) => this.#directPaths?.reason(peerId) ?? '')
  }

  /** The machine slept, or its network changed: every path is proven, and the registry asked, again at once. */
  handleNetworkChange(): void {
    if (this.#isClosed) return
    this.#machine.handleNetworkChange(this.#clock.now())
    this.#directPaths?.retrySoon()
    this.#driver.schedule()
  }

  /**
   * Looks for a direct path to a peer at once, instead of when it is next due.
   *
   * @throws {PilotError} `ERR_REGISTRY` when the registry does not say where it is, and those of `dial`.
   */
  async seekDirect(nodeId: number): Promise<void> {
    this.#requireOpen()
    this.#machine.seekDirect(nodeId, this.#clock.now())
    this.#driver.schedule()
    await this.registry.ask(this.#machine.requests.resolve(nodeId))
  }

  /** Ed25519 with this node's key. */
  sign(message: Uint8Array): Promise<Uint8Array> {
    return signed(this.#options.machine.identity, message)
  }

  closeConnection(id: number): boolean {
    const stream = this.#machine.findStream(id)
    if (stream === undefined) return false
    this.#machine.closeStream(stream, this.#clock.now())
    this.#driver.schedule()
    return true
  }

  on(listener: (event: NodeEvent) => void): () => void {
    this.#subscribers.add(listener)
    return () => this.#subscribers.delete(listener)
  }

  async close({
    timeoutMs = CLOSE_TIMEOUT_MS,
    staysRegistered = false,
  }: {
    readonly timeoutMs?: number
    /** Somebody else goes on with this identity: the registry is told nothing. */
    readonly staysRegistered?: boolean
  } = {}): Promise<void> {
    if (this.#isClosed) return
    this.#isClosed = true
    const deadline = this.#clock.now() + timeoutMs
    this.#directPaths?.close()
    for (const listener of [...this.#listeners.values()]) listener.close()
    this.#machine.close(this.#clock.now())
    this.#driver.schedule()
    await this.#drained(deadline)
    if (!staysRegistered && this.#machine.isRegistered && this.#machine.isRegistryConnected) {
      const left = Math.max(100, deadline - this.#clock.now())
      await this.registry.ask(this.#machine.requests.deregister(), {}, left).catch(() => {})
    }
    this.#machine.closeRegistry()
    this.#driver.drain()
    this.#driver.stop()
    const closed = new PilotError('ERR_NODE_CLOSED', 'the node is closed')
    for (const table of [this.#dials, this.#pings])
      for (const deferred of table.values()) deferred.reject(closed)
    this.registry.close(closed)
    await this.trust.close(closed)
    await Promise.all([this.#socket.close(), ...this.#closeParts()])
    this.#over.resolve()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  // Events of the machine

  #handleStream(stream: Stream): void {
    const { news } = stream
    const dial = this.#dials.get(stream)
    if (dial !== undefined && (news.isConnected || news.isClosed)) {
      this.#dials.delete(stream)
      if (news.isConnected && stream.connection.failure === undefined) {
        news.isConnected = false
        dial.resolve(this.#adopt(stream))
      } else dial.reject(dialError(stream))
    }
    this.#connections.get(stream)?.handleNews()
    if (news.isClosed) this.#connections.delete(stream)
  }

  #adopt(stream: Stream): StreamConnection {
    const connection = new StreamConnection(
      { machine: this.#machine, clock: this.#clock, schedule: () => this.#driver.schedule() },
      stream,
    )
    this.#connections.set(stream, connection)
    return connection
  }

  #handleEvent(event: NodeMachineEvent): void {
    this.registry.handleEvent(event)
    this.trust.handleEvent(event)
    switch (event.type) {
      case 'incoming': {
        const listener = this.#listeners.get(event.stream.connection.local.port)
        const connection = this.#adopt(event.stream)
        if (listener === undefined) connection.reset()
        else listener.offer(connection)
        break
      }
      case 'datagram':
        for (const subscriber of this.#datagramSubscribers) subscriber(event)
        break
      case 'pong':
        settle(this.#pings, event.id)?.resolve(event.rttMs)
        break
      case 'ping-failed':
        settle(this.#pings, event.id)?.reject(event.error)
        break
      case 'registered':
        this.#options.socket.identify?.(this.#machine.nodeId)
        this.#registered?.resolve()
        this.#emit(event)
        break
      case 'announced':
        this.#announced.resolve()
        break
      case 'registry-reply':
      case 'registry-failed':
      case 'registration-refused':
      case 'trust-changed':
      case 'trust-outcome':
        break // told to the one who asked
      case 'sign':
        void this.#sign(event.id, event.message)
        break
      case 'registry-connect':
      case 'registry-send':
      case 'registry-disconnect':
        break // the driver's
      default:
        this.#emit(event)
    }
  }

  async #sign(id: number, message: Uint8Array): Promise<void> {
    const signature = await signed(this.#options.machine.identity, message).catch(() => undefined)
    this.#machine.handleSignature(id, signature, this.#clock.now())
    this.#driver.schedule()
  }

  #handleSocketEvent(event: SocketEvent): void {
    if (this.#isClosed) return
    if (event.type === 'relay-connected') {
      if (this.#isConnected === false) this.#machine.handleNetworkChange(this.#clock.now())
      this.#connected?.resolve()
      this.#driver.schedule()
    } else if (event.type === 'relay-lost') this.#relayReason = event.reason
    this.#isConnected = event.type === 'relay-connected'
    this.#emit(event)
  }

  /** A registry that is slow to answer this does not keep the node from starting. */
  #profileKnown(): Promise<void> {
    const { promise } = this.#announced
    const late = new Promise<void>((resolve) => {
      const cancel = this.#clock.schedule(this.#clock.now() + PROFILE_TIMEOUT_MS, resolve)
      void promise.then(cancel)
    })
    return Promise.race([promise, late])
  }

  async #connect(timeoutMs: number, signal: AbortSignal | undefined): Promise<void> {
    if (this.#isConnected === true) return
    const onTimeout = (): NetworkError =>
      new NetworkError(
        'ERR_RELAY_UNAVAILABLE',
        `the relay did not take this node within ${timeoutMs} ms: ${this.#relayReason}`,
      )
    this.#connected = defer<void>({ signal, timeoutMs, onTimeout })
    await this.#connected.promise
  }

  #emit(event: NodeEvent): void {
    for (const subscriber of [...this.#subscribers]) subscriber(event)
  }

  #startDirectPaths(): void {
    const { createPeerConnection, door, machine } = this.#options
    // Not `typeof`: merely looking at it makes Node load it, and HTTP with it.
    const canDial = createPeerConnection !== undefined && 'WebSocket' in globalThis
    const dialer = this.#options.openWebSocket ?? (canDial ? openWebSocket : undefined)
    if (createPeerConnection === undefined && door === undefined && dialer === undefined) return
    this.#directPaths = new DirectPaths({
      node: this,
      machine: this.#machine,
      socket: this.#socket,
      crypto: machine.crypto,
      identity: machine.identity,
      now: () => this.#clock.now(),
      unixNow: machine.unixNow,
      isRelayOnly: machine.relayOnly === true,
      schedule: () => this.#driver.schedule(),
      createConnection: createPeerConnection,
      openWebSocket: dialer,
      door,
    })
  }

  #closeParts(): Promise<void>[] {
    return (this.#options.parts ?? []).map((part) => part.close())
  }

  async #drained(deadline: number): Promise<void> {
    while (this.#machine.liveStreams > 0 && this.#clock.now() < deadline)
      await new Promise<void>((resolve) => this.#clock.schedule(this.#clock.now() + 10, resolve))
  }

  #requireOpen(): void {
    if (this.#isClosed) throw new PilotError('ERR_NODE_CLOSED', 'the node is closed')
  }
}

function dialError(stream: Stream): PilotError {
  const { failure, remote } = stream.connection
  if (stream.error === undefined && failure === 'timeout')
    return dialTimeout(remote.address, remote.port)
  return (
    streamError(stream) ?? new NetworkError('ERR_CONNECTION_CLOSED', 'the connection was closed')
  )
}

function dialTimeout(address: Address, port: number): PilotError {
  return new NetworkError(
    'ERR_DIAL_TIMEOUT',
    `no answer from ${formatAddress(address)} port ${port} in time`,
  )
}
