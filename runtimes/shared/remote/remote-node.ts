/**
 * A node that lives elsewhere (another thread, another tab), with the API of one that lives here. Getters read
 * what the host told last: everything an awaited call changed, and at most a quarter of a second old where
 * somebody keeps looking. It outlives its host when another takes over (`attach` again): listeners and
 * subscriptions move, streams and calls under way end with `ERR_ENGINE_LOST`.
 */
import { PilotError, UsageError } from '../../../core/errors.ts'
import type { Address, SocketAddress } from '../../../core/wire/address.ts'
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
} from '../api.ts'
import { Listener } from '../listener.ts'
import { type Deferred, defer, settle } from '../wait.ts'
import type { Lane } from './lane.ts'
import { applyUpdate, isCompleteState, type NodeState, type StateUpdate } from './node-state.ts'
import { RemoteDatagrams } from './remote-datagrams.ts'
import { unpackError, unpackPilotError } from './remote-error.ts'
import {
  isStreamHead,
  parseToUser,
  REMOTE_VERSION,
  type RemoteMethod,
  type StreamHead,
  type ToHost,
  type ToUser,
} from './remote-message.ts'
import { RemoteStream } from './remote-stream.ts'
import { type RemoteCalls, RemoteRegistry, RemoteTrust } from './remote-trust.ts'

/** How long the host may take to answer the first word, and a call waits for the next host. */
const ATTACH_TIMEOUT_MS = 10_000
const CLOSE_TIMEOUT_MS = 2000
/** Beyond what the host takes to drain, until it is given up. */
const CLOSE_GRACE_MS = 3000
const WATCH_MS = 1000
/** Calls that wait for the next host; more are refused. */
const WAITING_MAX = 1024

export interface RemoteNodeOptions {
  /** True: another host will take over when this one goes, and calls wait for it. Default false. */
  readonly isResumable?: boolean
}

interface Bound {
  readonly listener: Listener
  /** Names it to the present host. */
  id: number
}

export class RemoteNode implements PilotNode {
  readonly trust: RemoteTrust
  readonly registry: RemoteRegistry
  /** Messages of the host that were none, or about nothing known. */
  malformed = 0
  readonly #options: RemoteNodeOptions
  #lane: Lane | undefined
  #state: NodeState | undefined
  #infoAt = 0
  #watchedAt = Number.NEGATIVE_INFINITY
  #nextId = 1
  readonly #calls = new Map<number, Deferred<unknown>>()
  /** By their id where the node lives. */
  readonly #streams = new Map<number, RemoteStream>()
  /** Ids of streams begin above those of earlier hosts. */
  #idBase = 0
  #lastId = 0
  readonly #listeners = new Map<number, Bound>()
  readonly #subscribers = new Set<(event: NodeEvent) => void>()
  readonly #datagrams = new RemoteDatagrams((message, transfer) => this.#post(message, transfer))
  #attaching: Deferred<void> | undefined
  #ready: PromiseWithResolvers<void> = Promise.withResolvers<void>()
  /** Why nothing works any more. */
  #failure: PilotError | undefined
  #waiting = 0
  readonly #over: PromiseWithResolvers<void> = Promise.withResolvers<void>()

  constructor(options: RemoteNodeOptions = {}) {
    this.#options = options
    const calls: RemoteCalls = {
      call: (method, args, callOptions) => this.#call(method, args, callOptions),
      state: () => this.#known,
    }
    this.trust = new RemoteTrust(calls)
    this.registry = new RemoteRegistry(calls)
    this.#ready.promise.catch(() => {})
  }

  /** @throws {PilotError} `ERR_ENGINE_LOST` when nobody answers, or what the host refuses with; `ERR_ABORTED`. */
  static async connect(lane: Lane, options: CallOptions = {}): Promise<RemoteNode> {
    const node = new RemoteNode()
    await node.attach(lane, options)
    return node
  }

  /** Uses the node of this lane from now on. @throws {PilotError} as `connect`. */
  async attach(lane: Lane, { signal }: CallOptions = {}): Promise<void> {
    this.detach(new PilotError('ERR_ENGINE_LOST', 'another engine took over'))
    if (this.#failure !== undefined) throw this.#failure
    this.#lane = lane
    lane.onmessage = (message) => {
      if (this.#lane === lane) this.#receive(message)
    }
    lane.onclose = (reason) => {
      if (this.#lane === lane) this.detach(new PilotError('ERR_ENGINE_LOST', reason))
    }
    const attaching = defer<void>({
      signal,
      timeoutMs: ATTACH_TIMEOUT_MS,
      onTimeout: () =>
        new PilotError(
          'ERR_ENGINE_LOST',
          `no answer of the node's host within ${ATTACH_TIMEOUT_MS} ms`,
        ),
    })
    this.#attaching = attaching
    this.#post({ type: 'hello', version: REMOTE_VERSION })
    try {
      await attaching.promise
    } catch (error) {
      if (this.#attaching === attaching) this.#attaching = undefined
      if (this.#lane === lane) this.detach(unpackPilotError(error))
      throw error
    }
  }

  /** The host is gone: what was under way ends with `reason`. */
  detach(reason: PilotError): void {
    const lane = this.#lane
    if (lane === undefined) return
    this.#lane = undefined
    lane.close()
    if (this.#attaching === undefined) {
      this.#ready = Promise.withResolvers<void>()
      this.#ready.promise.catch(() => {})
    }
    this.#attaching?.reject(reason)
    this.#attaching = undefined
    if (this.#options.isResumable !== true && this.#state !== undefined) this.#end(reason)
    for (const call of this.#calls.values()) call.reject(reason)
    this.#calls.clear()
    for (const stream of [...this.#streams.values()]) stream.lose(reason)
    this.#streams.clear()
  }

  get isAttached(): boolean {
    return this.#lane !== undefined && this.#attaching === undefined
  }
  /** Settles when this node was closed, or is gone for good. */
  get closed(): Promise<void> {
    return this.#over.promise
  }
  get nodeId(): number {
    return this.#known.self.nodeId
  }
  get address(): Address {
    return this.#known.self.address
  }
  get publicKey(): Uint8Array {
    return this.#known.self.publicKey
  }
  get hostname(): string {
    return this.#known.self.hostname
  }
  get isPublic(): boolean {
    return this.#known.self.isPublic
  }

  async dial(target: DialTarget, options: DialOptions = {}): Promise<PilotConnection> {
    const { timeoutMs, data } = options
    const head = await this.#call<unknown>('dial', [plain(target), timeoutMs, data], options)
    const stream = isStreamHead(head) ? this.#streams.get(head.id) : undefined
    if (stream === undefined)
      throw new PilotError('ERR_ENGINE_LOST', 'the connection was lost with its engine')
    return stream
  }

  listen(port: number): PilotListener {
    this.#requireOpen()
    if (!Number.isInteger(port) || port < 1 || port > 0xffff)
      throw new UsageError('ERR_INVALID_ARGUMENT', `a port to listen on is 1 to 65535, got ${port}`)
    if (this.#listeners.has(port) || this.#known.ports.includes(port))
      throw new UsageError('ERR_PORT_IN_USE', `port ${port} already bound`)
    const listener: Listener = new Listener(port, () => {
      const bound = this.#listeners.get(port)
      if (bound?.listener !== listener) return
      this.#listeners.delete(port)
      this.#post({ type: 'unlisten', id: bound.id })
    })
    const bound = { listener, id: this.#nextId++ }
    this.#listeners.set(port, bound)
    if (this.isAttached) this.#post({ type: 'listen', id: bound.id, port })
    return listener
  }

  sendDatagram(to: SocketAddress, data: Uint8Array): void {
    this.#requireOpen()
    this.#datagrams.check(to, data, this.nodeId)
    if (!this.isAttached)
      throw new PilotError('ERR_ENGINE_LOST', 'no engine runs this node at the moment')
    this.#datagrams.send(to, data)
  }

  onDatagram(listener: (datagram: PilotDatagram) => void): () => void {
    return this.#datagrams.subscribe(listener)
  }

  ping(target: string | Address, options: DialOptions = {}): Promise<number> {
    const host = typeof target === 'string' ? target : plainAddress(target)
    return this.#call('ping', [host, options.timeoutMs], options)
  }

  resolve(target: string, options?: CallOptions): Promise<Address> {
    return this.registry.resolve(target, options)
  }

  setHostname(hostname: string): Promise<RegistryReply> {
    return this.#call('setHostname', [hostname])
  }
  setVisibility(isPublic: boolean): Promise<RegistryReply> {
    return this.#call('setVisibility', [isPublic])
  }
  setTags(tags: readonly string[]): Promise<RegistryReply> {
    return this.#call('setTags', [[...tags]])
  }
  setTaskExec(enabled: boolean): Promise<RegistryReply> {
    return this.#call('setTaskExec', [enabled])
  }
  deregister(): Promise<RegistryReply> {
    return this.#call('deregister', [])
  }

  info(): NodeInfo {
    this.#watch()
    const { info } = this.#known
    return { ...info, uptimeMs: info.uptimeMs + performance.now() - this.#infoAt }
  }

  connections(): readonly ConnectionInfo[] {
    this.#watch()
    return this.#known.connections.map((one) => ({ ...one, id: one.id + this.#idBase }))
  }

  peers(): readonly PeerInfo[] {
    this.#watch()
    return this.#known.peers
  }

  closeConnection(id: number): boolean {
    const there = id - this.#idBase
    const isKnown = this.#known.connections.some((one) => one.id === there)
    if (!isKnown && !this.#streams.has(there)) return false
    this.#post({ type: 'close-connection', id: there })
    return true
  }

  on(listener: (event: NodeEvent) => void): () => void {
    this.#subscribers.add(listener)
    return () => this.#subscribers.delete(listener)
  }

  /** Tells this node's subscribers something its host does not know. */
  emit(event: NodeEvent): void {
    for (const subscriber of [...this.#subscribers]) subscriber(event)
  }

  /** What this user holds is drained and let go of; whether the node ends with it is the host's decision. */
  async close({
    timeoutMs = CLOSE_TIMEOUT_MS,
  }: {
    readonly timeoutMs?: number
  } = {}): Promise<void> {
    if (this.#failure !== undefined) return
    const closed = new PilotError('ERR_NODE_CLOSED', 'the node is closed')
    const id = this.#nextId++
    const draining = defer<unknown>({ timeoutMs: timeoutMs + CLOSE_GRACE_MS })
    if (this.isAttached) {
      for (const { listener } of [...this.#listeners.values()]) listener.close()
      this.#calls.set(id, draining)
      this.#post({ type: 'call', id, method: 'close', args: [timeoutMs] })
      this.#failure = closed
      await draining.promise.catch(() => {}) // it went first, or never answered
    }
    this.#end(closed)
    this.#post({ type: 'bye' })
    this.detach(closed)
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  get #known(): NodeState {
    if (this.#state === undefined)
      throw new PilotError('ERR_ENGINE_LOST', 'no engine has run this node yet')
    return this.#state
  }

  async #call<T>(
    method: RemoteMethod,
    args: readonly unknown[],
    { signal }: CallOptions = {},
  ): Promise<T> {
    this.#requireOpen()
    if (!this.isAttached) await this.#nextHost(signal)
    const id = this.#nextId++
    const deferred = defer<unknown>({
      signal,
      onCancel: () => {
        this.#calls.delete(id)
        this.#post({ type: 'cancel', id })
      },
    })
    if (signal?.aborted !== true) {
      this.#calls.set(id, deferred)
      this.#post({ type: 'call', id, method, args })
    }
    return (await deferred.promise) as T
  }

  async #nextHost(signal: AbortSignal | undefined): Promise<void> {
    if (this.#waiting >= WAITING_MAX)
      throw new PilotError('ERR_LIMIT', `more than ${WAITING_MAX} calls wait for an engine`)
    const wait = defer<void>({
      signal,
      timeoutMs: ATTACH_TIMEOUT_MS,
      onTimeout: () =>
        new PilotError('ERR_ENGINE_LOST', `no engine took over within ${ATTACH_TIMEOUT_MS} ms`),
    })
    this.#ready.promise.then(wait.resolve, wait.reject)
    this.#waiting++
    try {
      await wait.promise
    } finally {
      this.#waiting--
    }
  }

  #receive(data: unknown): void {
    const message = parseToUser(data)
    if (message === undefined) {
      this.malformed++
      return
    }
    if ('state' in message && typeof message.state === 'object') this.#update(message.state)
    this.#handle(message)
  }

  #handle(message: ToUser): void {
    switch (message.type) {
      case 'welcome':
        return this.#welcome()
      case 'gone':
        return this.detach(unpackPilotError(message.error))
      case 'result':
        return this.#settle(message.id, message.value)
      case 'failed':
        return settle(this.#calls, message.id)?.reject(unpackError(message.error))
      case 'listen-failed':
        return this.#listenFailed(message.id, unpackPilotError(message.error))
      case 'incoming':
        return this.#incoming(message.listener, message.stream)
      case 'datagram':
        return this.#datagrams.deliver(message)
      case 'taken':
        return this.#datagrams.handleTaken(message.count, message.bytes)
      case 'event':
        return this.emit(message.event)
      case 'state':
        return
      case 'closed': {
        const { stream: id, state, error } = message
        const stream = this.#streams.get(id)
        this.#streams.delete(id)
        return stream?.handleClosed(
          state,
          error === undefined ? undefined : unpackPilotError(error),
        )
      }
      case 'stream-state':
        return this.#streams.get(message.stream)?.handleState(message.state)
      case 'data':
        return this.#streams.get(message.stream)?.handleData(message.data)
      case 'end':
        return this.#streams.get(message.stream)?.handleEnd()
      case 'credit':
        return this.#streams.get(message.stream)?.handleRoom(message.bytes)
      case 'reset':
        this.malformed++ // a host says `closed`
    }
  }

  #update(update: StateUpdate): void {
    if (this.#state !== undefined) this.#state = applyUpdate(this.#state, update)
    else if (isCompleteState(update)) this.#state = update
    if (update.info !== undefined) this.#infoAt = performance.now()
  }

  #welcome(): void {
    const attaching = this.#attaching
    if (attaching === undefined || this.#state === undefined) {
      this.malformed++
      return
    }
    this.#attaching = undefined
    this.#idBase = this.#lastId
    for (const [port, bound] of this.#listeners) {
      bound.id = this.#nextId++
      this.#post({ type: 'listen', id: bound.id, port })
    }
    this.#datagrams.begin()
    attaching.resolve()
    this.#ready.resolve()
  }

  /** A dial's outcome: nobody may wait for it any more. */
  #settle(id: number, value: unknown): void {
    const call = settle(this.#calls, id)
    if (!isStreamHead(value)) return call?.resolve(value)
    if (call === undefined) return this.#post({ type: 'reset', stream: value.id })
    this.#adopt(value)
    call.resolve(value)
  }

  #incoming(listenerId: number, head: StreamHead): void {
    const stream = this.#adopt(head)
    for (const { listener, id } of this.#listeners.values())
      if (id === listenerId) return listener.offer(stream)
    stream.reset() // closed meanwhile
  }

  #adopt(head: StreamHead): RemoteStream {
    const id = head.id + this.#idBase
    this.#lastId = Math.max(this.#lastId, id)
    const stream = new RemoteStream(head, id, this.#lane!)
    this.#streams.set(head.id, stream)
    return stream
  }

  /** Another tab was faster, or the engine uses the port itself. */
  #listenFailed(id: number, error: PilotError): void {
    for (const [port, { listener, id: bound }] of this.#listeners) {
      if (bound !== id) continue
      this.#listeners.delete(port)
      listener.fail(error)
      this.emit({ type: 'listen-failed', port, reason: error.message })
    }
  }

  #watch(): void {
    const now = performance.now()
    if (now - this.#watchedAt < WATCH_MS || !this.isAttached) return
    this.#watchedAt = now
    this.#post({ type: 'watch' })
  }

  /** For good. */
  #end(reason: PilotError): void {
    this.#failure ??= reason
    this.#ready.reject(this.#failure)
    for (const { listener } of [...this.#listeners.values()]) listener.close()
    this.#over.resolve()
  }

  #post(message: ToHost, transfer?: Transferable[]): void {
    try {
      this.#lane?.post(message, transfer)
    } catch (cause) {
      // An argument that no lane can carry, e.g. a function in a registry request.
      if (message.type !== 'call') throw cause
      const error = new UsageError('ERR_INVALID_ARGUMENT', 'an argument is not plain data', {
        cause,
      })
      settle(this.#calls, message.id)?.reject(error)
    }
  }

  #requireOpen(): void {
    if (this.#failure !== undefined) throw this.#failure
  }
}

/** Whatever object the application has: as much of it as is an address. */
function plain(target: DialTarget): DialTarget {
  if (typeof target === 'string') return target
  return { address: plainAddress(target.address), port: target.port }
}

function plainAddress({ network, node }: Address): Address {
  return { network, node }
}
