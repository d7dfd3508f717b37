/** The public node: promises, streams and events over a node machine and its driver. */
import {
  type Address,
  type Endpoint,
  formatAddress,
  formatEndpoint,
  NetworkError,
  NodeMachine,
  type NodeMachineEvent,
  type NodeMachineOptions,
  type Peer,
  PilotError,
  parseAddress,
  type RegistryMessage,
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
  RegistryApi,
  RegistryReply,
  TrustApi,
} from './api.ts'
import type { Clock } from './clock.ts'
import { Driver } from './driver.ts'
import { Listener } from './listener.ts'
import { isMadePath, PathSocket } from './path-socket.ts'
import { RtcPaths } from './rtc/rtc-paths.ts'
import { StreamConnection, streamError } from './stream-connection.ts'
import type { DatagramSocket, RegistryConnector, SocketEvent } from './transport.ts'
import { type Deferred, defer } from './wait.ts'

const DIAL_TIMEOUT_MS = 25_000
const PING_TIMEOUT_MS = 10_000
const CLOSE_TIMEOUT_MS = 2000
const REGISTRATION_TIMEOUT_MS = 10_000

export interface PilotNodeOptions {
  readonly machine: Omit<NodeMachineOptions, 'now'>
  readonly socket: DatagramSocket
  readonly registry: RegistryConnector
  readonly clock: Clock
  /** Writes `trust.json`; what the node reports as done waits for it. */
  readonly saveTrust?: (text: string) => Promise<void>
  /** Makes WebRTC connections, where the runtime can: relayed peers then get direct paths too. */
  readonly createPeerConnection?: () => RTCPeerConnection
  /** Default 10 000: how long `start` waits for the registry. */
  readonly registrationTimeoutMs?: number
}

export class SharedPilotNode implements PilotNode {
  readonly trust: TrustApi
  readonly registry: RegistryApi
  readonly #options: PilotNodeOptions
  readonly #machine: NodeMachine
  readonly #driver: Driver
  readonly #socket: PathSocket
  readonly #clock: Clock
  readonly #startedAt: number
  readonly #connections = new Map<Stream, StreamConnection>()
  readonly #dials = new Map<Stream, Deferred<PilotConnection>>()
  readonly #listeners = new Map<number, Listener>()
  readonly #requests = new Map<number, Deferred<RegistryReply>>()
  readonly #pings = new Map<number, Deferred<number>>()
  readonly #trustRequests = new Map<number, Deferred<'sent' | 'relayed' | 'already_trusted'>>()
  readonly #subscribers = new Set<(event: NodeEvent) => void>()
  readonly #datagramSubscribers = new Set<(datagram: PilotDatagram) => void>()
  #rtcPaths: RtcPaths | undefined
  #registered: Deferred<void> | undefined
  /** Settles when datagrams can flow, for sockets that have a connection behind them. */
  #connected: Deferred<void> | undefined
  #relayReason = 'no answer'
  /** `undefined` before the first word of the socket. */
  #isConnected: boolean | undefined
  #lastRefusal: string | undefined
  #saving: Promise<void> = Promise.resolve()
  #saveError: unknown
  #isRegistryReachable = false
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
    this.trust = this.#createTrustApi()
    this.registry = this.#createRegistryApi()
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
      onTimeout: () => node.#registrationError(),
    })
    node.#driver.drain()
    try {
      await node.#registered.promise
      if (options.socket.identify !== undefined) await node.#connect(timeoutMs, signal)
    } catch (error) {
      node.#driver.stop()
      await node.#socket.close()
      throw error
    }
    node.#startRtcPaths()
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
  /** The machine, for tests that count what it holds. */
  get machine(): NodeMachine {
    return this.#machine
  }

  async dial(target: DialTarget, options: DialOptions = {}): Promise<PilotConnection> {
    this.#requireOpen()
    const started = this.#clock.now()
    const { address, port } = await this.#resolveTarget(target, options)
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

  async resolve(target: string, options: CallOptions = {}): Promise<Address> {
    if (target.includes(':')) return parseAddress(target)
    if (/^\d+$/.test(target) && Number(target) <= 0xffffffff)
      return { network: 0, node: Number(target) }
    let reply: RegistryReply
    try {
      reply = await this.#request({ type: 'resolve_hostname', hostname: target }, options)
    } catch (error) {
      if (error instanceof PilotError && error.code === 'ERR_REGISTRY')
        throw new NetworkError(
          'ERR_HOSTNAME_NOT_FOUND',
          `hostname ${JSON.stringify(target)} not found`,
          {
            cause: error,
          },
        )
      throw error
    }
    if (typeof reply.address !== 'string')
      throw new NetworkError('ERR_REGISTRY', 'the registry answered without an address')
    return parseAddress(reply.address)
  }

  async setHostname(hostname: string): Promise<RegistryReply> {
    const reply = await this.#request(this.#machine.requests.setHostname(hostname))
    this.#machine.setProfile({ hostname })
    return reply
  }

  async setVisibility(isPublic: boolean): Promise<RegistryReply> {
    const reply = await this.#request(this.#machine.requests.setVisibility(isPublic))
    this.#machine.setProfile({ isPublic })
    return reply
  }

  setTags(tags: readonly string[]): Promise<RegistryReply> {
    return this.#request(this.#machine.requests.setTags(tags))
  }

  setTaskExec(enabled: boolean): Promise<RegistryReply> {
    return this.#request(this.#machine.requests.setTaskExec(enabled))
  }

  async deregister(): Promise<RegistryReply> {
    const reply = await this.#request(this.#machine.requests.deregister())
    this.#machine.stopRegistration()
    return reply
  }

  info(): NodeInfo {
    const machine = this.#machine
    const peers = [...machine.peers.values()]
    return {
      uptimeMs: this.#clock.now() - this.#startedAt,
      endpoint: formatEndpoint(machine.endpoint),
      encrypt: this.#options.machine.encrypt !== false,
      connections: machine.liveStreams,
      ports: machine.ports.size,
      peers: peers.length,
      encryptedPeers: peers.filter((peer) => peer.tunnel.isKeyed).length,
      authenticatedPeers: peers.filter((peer) => peer.tunnel.isKeyed).length,
      relayPeers: peers.filter((peer) => peer.paths.kind === 'relay').length,
      bytesSent: machine.bytesSent,
      bytesReceived: machine.bytesReceived,
      packetsSent: machine.datagramsSent,
      packetsReceived: machine.datagramsReceived,
      drops: { ...machine.drops, ...occurred(this.#options.socket.drops) },
    }
  }

  connections(): readonly ConnectionInfo[] {
    const all: ConnectionInfo[] = []
    for (const peer of this.#machine.peers.values())
      for (const { connection } of peer.streams.values())
        all.push({
          id: connection.id,
          localPort: connection.local.port,
          remoteAddress: connection.remote.address,
          remotePort: connection.remote.port,
          state: connection.state,
          ...connection.info(),
          ...connection.stats,
        })
    return all.sort((a, b) => a.id - b.id)
  }

  peers(): readonly PeerInfo[] {
    return [...this.#machine.peers.values()]
      .map((peer) => ({
        nodeId: peer.id,
        endpoint: endpointText(peer.paths.endpoint),
        encrypted: peer.tunnel.isKeyed,
        authenticated: peer.tunnel.isKeyed,
        path: peer.paths.kind,
        transport: transportOf(peer),
        directReason: this.#rtcPaths?.state(peer.id)?.reason ?? '',
        rttMs: peer.rttMs,
      }))
      .sort((a, b) => a.nodeId - b.nodeId)
  }

  /** The machine slept, or its network changed: every path is proven, and the registry asked, again at once. */
  handleNetworkChange(): void {
    if (this.#isClosed) return
    this.#machine.handleNetworkChange(this.#clock.now())
    this.#driver.schedule()
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
  }: {
    readonly timeoutMs?: number
  } = {}): Promise<void> {
    if (this.#isClosed) return
    this.#isClosed = true
    const deadline = this.#clock.now() + timeoutMs
    this.#rtcPaths?.close()
    for (const listener of [...this.#listeners.values()]) listener.close()
    this.#machine.close(this.#clock.now())
    this.#driver.schedule()
    await this.#drained(deadline)
    if (this.#machine.isRegistered && this.#machine.isRegistryConnected) {
      const left = Math.max(100, deadline - this.#clock.now())
      await this.#request(this.#machine.requests.deregister(), {}, left).catch(() => {})
    }
    this.#machine.closeRegistry()
    this.#driver.drain()
    this.#driver.stop()
    const closed = new PilotError('ERR_NODE_CLOSED', 'the node is closed')
    for (const table of [this.#dials, this.#requests, this.#pings, this.#trustRequests])
      for (const deferred of table.values()) deferred.reject(closed)
    await this.#saving
    await this.#socket.close()
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
      case 'registry-reply':
        this.#isRegistryReachable = true
        settle(this.#requests, event.id)?.resolve(event.reply)
        break
      case 'registry-failed':
        this.#isRegistryReachable = event.error.code === 'ERR_REGISTRY'
        settle(this.#requests, event.id)?.reject(event.error)
        break
      case 'pong':
        settle(this.#pings, event.id)?.resolve(event.rttMs)
        break
      case 'ping-failed':
        settle(this.#pings, event.id)?.reject(event.error)
        break
      case 'trust-changed':
        this.#saveTrust()
        break
      case 'trust-outcome': {
        const waiting = settle(this.#trustRequests, event.id)
        if (event.outcome instanceof PilotError) waiting?.reject(event.outcome)
        else waiting?.resolve(event.outcome)
        break
      }
      case 'registered':
        this.#isRegistryReachable = true
        this.#options.socket.identify?.(this.#machine.nodeId)
        this.#registered?.resolve()
        this.#emit(event)
        break
      case 'registration-refused':
        this.#lastRefusal = event.reason
        break
      case 'registry-lost':
        this.#isRegistryReachable = false
        this.#emit(event)
        break
      case 'registry-connect':
      case 'registry-send':
      case 'registry-disconnect':
        break // the driver's
      default:
        this.#emit(event)
    }
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

  #saveTrust(): void {
    const { saveTrust, machine } = this.#options
    if (saveTrust === undefined) return
    // One after the other; each writes what is true then.
    this.#saving = this.#saving.then(async () => {
      try {
        await saveTrust(machine.trustStore.format())
        this.#saveError = undefined
      } catch (error) {
        this.#saveError = error
      }
    })
  }

  async #saved(): Promise<void> {
    this.#driver.drain()
    await this.#saving
    if (this.#saveError !== undefined) throw this.#saveError
  }

  #startRtcPaths(): void {
    const { createPeerConnection, machine } = this.#options
    if (createPeerConnection === undefined) return
    this.#rtcPaths = new RtcPaths({
      node: this,
      machine: this.#machine,
      socket: this.#socket,
      crypto: machine.crypto,
      identity: machine.identity,
      now: () => this.#clock.now(),
      schedule: () => this.#driver.schedule(),
      createConnection: createPeerConnection,
    })
  }

  // Parts of the API

  #createTrustApi(): TrustApi {
    const machine = this.#machine
    const now = (): number => this.#clock.now()
    return {
      request: async (nodeId, justification = '') => {
        this.#requireOpen()
        const id = machine.requestTrust(nodeId, justification, now())
        const deferred = defer<'sent' | 'relayed' | 'already_trusted'>()
        this.#trustRequests.set(id, deferred)
        await this.#saved()
        return deferred.promise
      },
      approve: (nodeId) => {
        machine.approveTrust(nodeId, now())
        return this.#saved()
      },
      reject: (nodeId, reason = '') => {
        machine.rejectTrust(nodeId, reason, now())
        return this.#saved()
      },
      revoke: (nodeId) => {
        machine.revokeTrust(nodeId, now())
        return this.#saved()
      },
      pending: () => machine.trust.store.pending(),
      trusted: () => machine.trust.store.trusted(),
      isTrusted: (nodeId) => machine.trust.isTrusted(nodeId),
      wait: (nodeId, timeoutMs) => this.#waitForTrust(nodeId, timeoutMs),
    }
  }

  async #waitForTrust(nodeId: number, timeoutMs: number): Promise<boolean> {
    if (this.#machine.trust.isTrusted(nodeId)) return true
    const deferred = defer<boolean>({ timeoutMs })
    const stop = this.on((event) => {
      if (event.type === 'trust-established' && event.nodeId === nodeId) deferred.resolve(true)
    })
    try {
      return await deferred.promise
    } catch {
      return false
    } finally {
      stop()
    }
  }

  #createRegistryApi(): RegistryApi {
    const isReachable = (): boolean =>
      this.#isRegistryReachable && this.#machine.isRegistryConnected
    return {
      endpoint: this.#options.registry.endpoint,
      get isReachable() {
        return isReachable()
      },
      request: (message, options) => this.#request(message, options),
      resolveHostname: (hostname) => this.#request({ type: 'resolve_hostname', hostname }),
      lookup: (nodeId) => this.#request({ type: 'lookup', node_id: nodeId }),
    }
  }

  #request(
    message: RegistryMessage,
    { signal }: CallOptions = {},
    timeoutMs?: number,
  ): Promise<RegistryReply> {
    const id = this.#machine.request(message, this.#clock.now())
    const deferred = defer<RegistryReply>({
      signal,
      timeoutMs,
      onCancel: () => this.#requests.delete(id),
    })
    this.#requests.set(id, deferred)
    this.#driver.schedule()
    return deferred.promise
  }

  async #resolveTarget(target: DialTarget, options: CallOptions): Promise<SocketAddress> {
    if (typeof target !== 'string') return target
    const colon = target.lastIndexOf(':')
    const port = Number(target.slice(colon + 1))
    if (colon < 1 || !/^\d+$/.test(target.slice(colon + 1)) || port > 0xffff)
      throw new UsageError(
        'ERR_INVALID_ARGUMENT',
        `expected host:port, got ${JSON.stringify(target)}`,
      )
    return { address: await this.resolve(target.slice(0, colon), options), port }
  }

  async #drained(deadline: number): Promise<void> {
    while (this.#machine.liveStreams > 0 && this.#clock.now() < deadline)
      await new Promise<void>((resolve) => this.#clock.schedule(this.#clock.now() + 10, resolve))
  }

  #registrationError(): PilotError {
    const { endpoint } = this.#options.registry
    if (this.#lastRefusal === undefined)
      return new NetworkError('ERR_REGISTRY_UNAVAILABLE', `no registry answers at ${endpoint}`)
    const code = this.#machine.isRegistryConnected ? 'ERR_REGISTRY' : 'ERR_REGISTRY_UNAVAILABLE'
    return new NetworkError(code, `registration at ${endpoint} failed: ${this.#lastRefusal}`)
  }

  #requireOpen(): void {
    if (this.#isClosed) throw new PilotError('ERR_NODE_CLOSED', 'the node is closed')
  }
}

function settle<T>(table: Map<number, Deferred<T>>, id: number): Deferred<T> | undefined {
  const deferred = table.get(id)
  table.delete(id)
  return deferred
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

function endpointText(endpoint: Endpoint | undefined): string {
  return endpoint === undefined || isMadePath(endpoint) ? '' : formatEndpoint(endpoint)
}

function transportOf({ paths }: Peer): PeerInfo['transport'] {
  if (paths.kind !== 'direct' || paths.endpoint === undefined) return paths.kind as 'relay' | 'none'
  return isMadePath(paths.endpoint) ? 'webrtc' : 'udp'
}

/** Only what happened at all, as the machine counts. */
function occurred(drops: Readonly<Record<string, number>> = {}): Record<string, number> {
  return Object.fromEntries(Object.entries(drops).filter(([, count]) => count > 0))
}
