/** Nodes in memory that implement `PilotNode`: what the socket server and the services are tested on. */
import { PilotError } from '../../../core/errors.ts'
import type { Address, SocketAddress } from '../../../core/wire/address.ts'
import type {
  ConnectionInfo,
  DialTarget,
  PilotConnection,
  PilotDatagram,
  PilotListener,
  PilotNode,
} from '../../../runtimes/shared/api.ts'

const BUFFER_BYTES = 256 * 1024

export class FakeConnection implements PilotConnection {
  state = 'ESTABLISHED'
  onreadable: (() => void) | undefined
  onwritable: (() => void) | undefined
  onclose: ((error: PilotError | undefined) => void) | undefined
  peer!: FakeConnection
  readonly closed: Promise<void>
  #settle!: { resolve: () => void; reject: (error: PilotError) => void }
  #input: Uint8Array[] = []
  #inputBytes = 0
  #inputEnd = false
  #sentFin = false
  #starved = false
  isGone = false

  readonly id: number
  readonly local: SocketAddress
  readonly remote: SocketAddress

  constructor(id: number, local: SocketAddress, remote: SocketAddress) {
    this.id = id
    this.local = local
    this.remote = remote
    this.closed = new Promise((resolve, reject) => {
      this.#settle = { resolve, reject }
    })
    this.closed.catch(() => {})
  }

  get readable(): ReadableStream<Uint8Array> {
    throw new Error('the raw path is used')
  }
  get writable(): WritableStream<Uint8Array> {
    throw new Error('the raw path is used')
  }
  get ended(): boolean {
    return this.#inputEnd && this.#input.length === 0
  }
  get inputBytes(): number {
    return this.#inputBytes
  }

  read(): Uint8Array | undefined {
    const chunk = this.#input.shift()
    if (chunk !== undefined) {
      this.#inputBytes -= chunk.length
      const { peer } = this
      if (peer.#starved) {
        peer.#starved = false
        queueMicrotask(() => peer.onwritable?.())
      }
    }
    this.#settleIfOver()
    return chunk
  }

  write(data: Uint8Array): number {
    if (this.#sentFin || this.isGone)
      throw new PilotError('ERR_CONNECTION_CLOSED', 'connection closed')
    const take = Math.min(data.length, BUFFER_BYTES - this.peer.#inputBytes)
    if (take > 0) this.peer.#receive(data.slice(0, take))
    if (take < data.length) this.#starved = true
    return take
  }

  close(): void {
    if (this.#sentFin || this.isGone) return
    this.#sentFin = true
    this.peer.#receiveEnd()
    this.#settleIfOver()
  }

  reset(): void {
    this.#lose(new PilotError('ERR_CONNECTION_RESET', 'reset'))
    this.peer.#lose(new PilotError('ERR_CONNECTION_RESET', 'reset by peer'))
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.close()
  }

  #receive(data: Uint8Array): void {
    this.#input.push(data)
    this.#inputBytes += data.length
    queueMicrotask(() => this.onreadable?.())
  }

  #receiveEnd(): void {
    this.#inputEnd = true
    queueMicrotask(() => this.onreadable?.())
    this.#settleIfOver()
  }

  #settleIfOver(): void {
    if (!this.ended || !this.#sentFin || this.isGone) return
    this.isGone = true
    this.state = 'CLOSED'
    queueMicrotask(() => this.onclose?.(undefined))
    this.#settle.resolve()
  }

  #lose(error: PilotError): void {
    if (this.isGone) return
    this.isGone = true
    this.state = 'CLOSED'
    this.#inputEnd = true
    queueMicrotask(() => this.onclose?.(error))
    this.#settle.reject(error)
  }
}

class FakeListener implements PilotListener {
  onconnection: ((connection: PilotConnection) => void) | undefined
  readonly port: number
  readonly #release: () => void
  constructor(port: number, release: () => void) {
    this.port = port
    this.#release = release
  }
  close(): void {
    this.#release()
  }
  [Symbol.asyncIterator](): AsyncIterator<PilotConnection> {
    throw new Error('the raw path is used')
  }
  async [Symbol.asyncDispose](): Promise<void> {
    this.close()
  }
}

/** Nodes that reach each other by node id. */
export class FakeNetwork {
  readonly nodes = new Map<number, FakeNode>()
  add(nodeId: number, hostname = ''): FakeNode {
    const node = new FakeNode(this, nodeId, hostname)
    this.nodes.set(nodeId, node)
    return node
  }
}

export class FakeNode implements PilotNode {
  readonly nodeId: number
  readonly address: Address
  readonly publicKey = new Uint8Array(32).fill(7)
  hostname: string
  isPublic = false
  /** Milliseconds a dial takes, by destination port. */
  readonly dialDelays = new Map<number, number>()
  readonly connectionsById = new Map<number, FakeConnection>()
  readonly listeners = new Map<number, FakeListener>()
  readonly trusted = new Map<number, { approvedAt: number }>()
  readonly pendingRequests = new Map<number, string>()
  readonly outgoingRequests = new Set<number>()
  beacon: ReturnType<PilotNode['info']>['beacon'] = 'none'
  abortedDials = 0
  /** Of every stream and datagram from here. */
  ephemeralPort = 49152
  readonly #network: FakeNetwork
  readonly #datagramListeners = new Set<(datagram: PilotDatagram) => void>()
  #nextId = 1

  constructor(network: FakeNetwork, nodeId: number, hostname: string) {
    this.#network = network
    this.nodeId = nodeId
    this.hostname = hostname
    this.address = { network: 0, node: nodeId }
  }

  async dial(target: DialTarget, options?: { signal?: AbortSignal }): Promise<PilotConnection> {
    if (typeof target === 'string') throw new PilotError('ERR_INVALID_ARGUMENT', 'fake')
    const delay = this.dialDelays.get(target.port) ?? 0
    if (delay > 0)
      await new Promise<void>((resolve, reject) => {
        const timer = setTimeout(resolve, delay)
        options?.signal?.addEventListener('abort', () => {
          this.abortedDials++
          clearTimeout(timer)
          reject(new PilotError('ERR_ABORTED', 'aborted'))
        })
      })
    const { node } = target.address
    if (node === this.nodeId) throw new PilotError('ERR_DIAL_SELF', 'self')
    const peer = this.#network.nodes.get(node)
    if (peer === undefined) throw new PilotError('ERR_PEER_UNRESOLVED', 'request failed')
    const listener = peer.listeners.get(target.port)
    if (listener?.onconnection === undefined)
      throw new PilotError('ERR_CONNECTION_REFUSED', 'refused')
    const local = { address: this.address, port: this.ephemeralPort }
    const here = new FakeConnection(this.#nextId++, local, target)
    const there = new FakeConnection(peer.#nextId++, target, local)
    here.peer = there
    there.peer = here
    this.connectionsById.set(here.id, here)
    peer.connectionsById.set(there.id, there)
    listener.onconnection(there)
    return here
  }

  listen(port: number): PilotListener {
    if (this.listeners.has(port)) throw new PilotError('ERR_PORT_IN_USE', `port ${port}`)
    const listener = new FakeListener(port, () => {
      if (this.listeners.get(port) === listener) this.listeners.delete(port)
    })
    this.listeners.set(port, listener)
    return listener
  }

  sendDatagram(to: SocketAddress, data: Uint8Array): void {
    if (data.length === 0) throw new PilotError('ERR_INVALID_ARGUMENT', 'empty')
    this.#network.nodes.get(to.address.node)?.deliver({
      source: { address: this.address, port: this.ephemeralPort },
      destinationPort: to.port,
      data,
    })
  }
  deliver(datagram: PilotDatagram): void {
    for (const listener of this.#datagramListeners) listener(datagram)
  }
  onDatagram(listener: (datagram: PilotDatagram) => void): () => void {
    this.#datagramListeners.add(listener)
    return () => this.#datagramListeners.delete(listener)
  }
  async ping(): Promise<number> {
    return 1
  }

  readonly trust: PilotNode['trust'] = {
    request: async (nodeId) => {
      if (this.trusted.has(nodeId)) return 'already_trusted'
      if (!this.#network.nodes.has(nodeId)) throw new PilotError('ERR_REGISTRY', 'request failed')
      return 'sent'
    },
    approve: async (nodeId) => {
      if (!this.pendingRequests.delete(nodeId))
        throw new PilotError('ERR_NOT_PENDING', `node ${nodeId} is not pending`)
      this.trusted.set(nodeId, { approvedAt: 1 })
    },
    reject: async (nodeId) => {
      this.pendingRequests.delete(nodeId)
    },
    revoke: async (nodeId) => {
      if (!this.trusted.delete(nodeId)) throw new PilotError('ERR_NOT_TRUSTED', 'not trusted')
    },
    pending: () =>
      [...this.pendingRequests].map(([nodeId, justification]) => ({
        nodeId,
        publicKey: '',
        justification,
        receivedAt: 1,
      })),
    trusted: () =>
      [...this.trusted].map(([nodeId, { approvedAt }]) => ({
        nodeId,
        publicKey: '',
        approvedAt,
        mutual: true,
        network: 0,
      })),
    outgoing: () => [...this.outgoingRequests].map((nodeId) => ({ nodeId, sentAt: 1 })),
    isTrusted: (nodeId) => this.trusted.has(nodeId),
    wait: async (nodeId) => this.trusted.has(nodeId),
  }

  readonly registry: PilotNode['registry'] = {
    endpoint: '127.0.0.1:1',
    isReachable: true,
    request: async (message) => {
      throw new PilotError('ERR_REGISTRY', `request failed: ${String(message.type)}`)
    },
    requestSigned: async (message) => {
      throw new PilotError('ERR_REGISTRY', `request failed: ${String(message.type)}`)
    },
    resolveHostname: async (hostname) => {
      for (const node of this.#network.nodes.values())
        if (node.hostname === hostname)
          return {
            type: 'resolve_hostname_ok',
            node_id: node.nodeId,
            address: `0:0000.0000.000${node.nodeId}`,
            public: node.isPublic,
            hostname,
          }
      throw new PilotError('ERR_REGISTRY', 'request failed')
    },
    lookup: async (nodeId) => ({ type: 'lookup_ok', node_id: nodeId }),
  }

  async resolve(): Promise<Address> {
    return this.address
  }
  async setHostname(hostname: string): Promise<Record<string, unknown>> {
    const isTaken = [...this.#network.nodes.values()].some(
      (node) => node !== this && hostname !== '' && node.hostname === hostname,
    )
    if (!/^[a-z-]*$/.test(hostname) || isTaken || hostname === 'localhost')
      throw new PilotError('ERR_REGISTRY', 'request failed')
    this.hostname = hostname
    return { type: 'set_hostname_ok', node_id: this.nodeId, hostname }
  }
  async setVisibility(isPublic: boolean): Promise<Record<string, unknown>> {
    this.isPublic = isPublic
    return {
      type: 'set_visibility_ok',
      node_id: this.nodeId,
      visibility: isPublic ? 'public' : 'private',
    }
  }
  async setTags(tags: readonly string[]): Promise<Record<string, unknown>> {
    if (tags.some((tag) => !/^[a-z]+$/.test(tag)))
      throw new PilotError('ERR_REGISTRY', 'request failed')
    return { type: 'set_tags_ok', node_id: this.nodeId, tags: tags.length === 0 ? null : tags }
  }
  async setTaskExec(enabled: boolean): Promise<Record<string, unknown>> {
    return { type: 'set_task_exec_ok', node_id: this.nodeId, task_exec: enabled }
  }
  async deregister(): Promise<Record<string, unknown>> {
    return { type: 'deregister_ok' }
  }

  info(): ReturnType<PilotNode['info']> {
    return {
      uptimeMs: 61_500,
      endpoint: '127.0.0.1:4000',
      encrypt: true,
      connections: this.connectionsById.size,
      ports: this.listeners.size,
      peers: 0,
      encryptedPeers: 0,
      authenticatedPeers: 0,
      relayPeers: 0,
      bytesSent: 1,
      bytesReceived: 2,
      packetsSent: 3,
      packetsReceived: 4,
      beacon: this.beacon,
      drops: {},
    }
  }
  fakeConnections = 0
  connections(): readonly ConnectionInfo[] {
    return Array.from({ length: this.fakeConnections }, (_, id) => ({
      id,
      localPort: 1,
      remoteAddress: this.address,
      remotePort: 2,
      state: 'ESTABLISHED',
      cwnd: 40960,
      ssthresh: 4,
      inFlight: 0,
      srttMs: 1.4,
      rttvarMs: 0,
      unackedSegments: 0,
      outOfOrderSegments: 0,
      peerWindowBytes: 1,
      windowBytes: 1,
      inRecovery: false,
      bytesSent: 0,
      bytesReceived: 0,
      segmentsSent: 0,
      segmentsReceived: 0,
      retransmits: 0,
      fastRetransmits: 0,
      sacksReceived: 0,
      sacksSent: 0,
      duplicateAcks: 0,
    }))
  }
  fakePeers: ReturnType<PilotNode['peers']> = []
  peers(): ReturnType<PilotNode['peers']> {
    return this.fakePeers
  }
  closeConnection(id: number): boolean {
    const connection = this.connectionsById.get(id)
    connection?.close()
    return connection !== undefined
  }
  on(): () => void {
    return () => {}
  }
  async close(): Promise<void> {}
  async [Symbol.asyncDispose](): Promise<void> {}
}
