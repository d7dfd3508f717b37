/** One user of a node at its host: the calls, listeners and streams that go when the user goes. */
import { PilotError } from '../../../core/index.ts'
import type { NodeEvent, PilotConnection, PilotDatagram, PilotListener, PilotNode } from '../api.ts'
import { methodOf } from './host-calls.ts'
import { HostStream } from './host-stream.ts'
import type { Lane } from './lane.ts'
import { ALL_PARTS, type StatePart, type StateUpdate, takeState } from './node-state.ts'
import { packError } from './remote-error.ts'
import {
  DATAGRAM_BYTES_MAX,
  DATAGRAMS_MAX,
  parseToHost,
  REMOTE_VERSION,
  type ToHost,
  type ToUser,
} from './remote-message.ts'

/** Calls under way, and ports, of one user; more are refused with `ERR_LIMIT`. */
const CALLS_MAX = 1024
const LISTENERS_MAX = 256
/** State is pushed so often while somebody looks, and so long after the last look. */
const PUSH_MS = 250
const WATCH_MS = 5000
/** With more peers than that they are not sent along with every event. */
const PEERS_WITH_EVENT_MAX = 100
const DRAIN_POLL_MS = 20

export interface HostUserOptions {
  readonly node: PilotNode
  readonly lane: Lane
  /** Why it is not served; said in answer to its first word. */
  readonly refusal?: PilotError
  /** Bound by all users, for everybody's `ports`. */
  readonly ports: Map<number, HostUser>
  /** The user asks to close; what that means is the host's decision. */
  readonly onclosecall: (user: HostUser, timeoutMs: number | undefined) => Promise<void>
  /** Something that others see too was changed by this one. */
  readonly onchange: (by: HostUser, parts: readonly StatePart[]) => void
  readonly ongone: (user: HostUser) => void
}

export class HostUser {
  /** Messages that were none, and datagrams that the node or the user could not take. */
  readonly drops: { malformed: number; datagrams: number } = { malformed: 0, datagrams: 0 }
  readonly #options: HostUserOptions
  readonly #calls = new Map<number, AbortController>()
  readonly #listeners = new Map<number, PilotListener>()
  readonly #streams = new Map<number, HostStream>()
  #unsubscribe: (() => void) | undefined
  /** Datagrams that the user has not confirmed. */
  #pending = 0
  #pendingBytes = 0
  #isGreeted = false
  #isGone = false
  #watchedAt = 0
  #timer: ReturnType<typeof setTimeout> | undefined

  constructor(options: HostUserOptions) {
    this.#options = options
    options.lane.onmessage = (message) => this.#receive(message)
    options.lane.onclose = () => this.release()
  }

  /** It has said hello and can be told things. */
  get isServed(): boolean {
    return this.#isGreeted && !this.#isGone
  }

  get streams(): number {
    return this.#streams.size
  }

  handleEvent(event: NodeEvent): void {
    if (!this.isServed) return
    const { node } = this.#options
    const parts: StatePart[] = ['info']
    if (event.type.startsWith('trust-')) parts.push('trust')
    if (event.type.startsWith('regist') || event.type === 'hostname-refused')
      parts.push('self', 'registry')
    const isFew = node.info().peers <= PEERS_WITH_EVENT_MAX
    if (event.type.startsWith('pe') || event.type === 'path-changed')
      if (isFew) parts.push('peers')
      else this.#pushSoon()
    this.#post({ type: 'event', event, state: this.#take(parts) })
  }

  handleChange(parts: readonly StatePart[]): void {
    if (this.isServed) this.#post({ type: 'state', state: this.#take(parts) })
  }

  /** Streams are closed and get so long to drain. */
  async drain(timeoutMs: number): Promise<void> {
    for (const id of [...this.#listeners.keys()]) this.#unlisten(id)
    for (const stream of this.#streams.values()) stream.close()
    const until = performance.now() + timeoutMs
    while (this.#hasUnsent() && performance.now() < until)
      await new Promise((resolve) => setTimeout(resolve, DRAIN_POLL_MS))
  }

  /** Told why, when it is not the user who goes; everything it holds is let go of. */
  release(error?: PilotError): void {
    if (this.#isGone) return
    if (error !== undefined) this.#post({ type: 'gone', error: packError(error) })
    this.#isGone = true
    clearTimeout(this.#timer)
    this.#unsubscribe?.()
    for (const call of this.#calls.values()) call.abort()
    for (const id of [...this.#listeners.keys()]) this.#unlisten(id)
    for (const stream of [...this.#streams.values()]) stream.reset()
    this.#options.lane.close()
    this.#options.ongone(this)
  }

  #receive(data: unknown): void {
    if (this.#isGone) return
    const message = parseToHost(data)
    if (message === undefined || (!this.#isGreeted && message.type !== 'hello'))
      this.drops.malformed++
    else this.#handle(message)
  }

  #handle(message: ToHost): void {
    switch (message.type) {
      case 'hello':
        return this.#greet(message.version)
      case 'call':
        return void this.#call(message.id, message.method, message.args)
      case 'cancel':
        return this.#calls.get(message.id)?.abort()
      case 'listen':
        return this.#listen(message.id, message.port)
      case 'unlisten':
        return this.#unlisten(message.id)
      case 'datagram':
        return this.#sendDatagram(message)
      case 'subscribe':
        return this.#subscribe(message.datagrams)
      case 'taken':
        this.#pending = Math.max(0, this.#pending - message.count)
        this.#pendingBytes = Math.max(0, this.#pendingBytes - message.bytes)
        return
      case 'watch':
        this.#watchedAt = performance.now()
        return this.#pushSoon()
      case 'close-connection':
        this.#options.node.closeConnection(message.id)
        return
      case 'data':
        // More than it has room for: the window is the only limit there is.
        if (this.#streams.get(message.stream)?.write(message.data) === false)
          this.#breach(message.stream)
        return
      case 'credit':
        return this.#streams.get(message.stream)?.addRoom(message.bytes)
      case 'end':
        return this.#streams.get(message.stream)?.close()
      case 'reset':
        return this.#streams.get(message.stream)?.reset()
      case 'bye':
        return this.release()
    }
  }

  #greet(version: number): void {
    if (this.#isGreeted) return
    if (version !== REMOTE_VERSION) {
      const text = `the node is run by another version of pilot-ts (${REMOTE_VERSION}, not ${version}): load this page and its other tabs again`
      return this.release(new PilotError('ERR_ENGINE_VERSION', text))
    }
    const { refusal } = this.#options
    if (refusal !== undefined) return this.release(refusal)
    this.#isGreeted = true
    this.#post({ type: 'welcome', version: REMOTE_VERSION, state: this.#take(ALL_PARTS) })
  }

  async #call(id: number, name: string, args: readonly unknown[]): Promise<void> {
    const { node } = this.#options
    if (this.#calls.has(id)) {
      this.drops.malformed++
      return
    }
    const abort = new AbortController()
    try {
      if (this.#calls.size >= CALLS_MAX)
        throw new PilotError('ERR_LIMIT', `more than ${CALLS_MAX} calls are under way`)
      this.#calls.set(id, abort)
      if (name === 'close') {
        const [timeoutMs] = args
        await this.#options.onclosecall(this, typeof timeoutMs === 'number' ? timeoutMs : undefined)
        return this.#answer({ type: 'result', id, value: undefined, state: {} })
      }
      const method = methodOf(name, args)
      const value = await method.run(node, abort.signal, ...args)
      if (name === 'dial') this.#dialed(id, value as PilotConnection, abort.signal)
      else {
        this.#answer({ type: 'result', id, value, state: this.#take(method.changes) })
        const shared = method.changes.filter((part) => part === 'self' || part === 'trust')
        if (shared.length > 0) this.#options.onchange(this, shared)
      }
    } catch (error) {
      this.#answer({
        type: 'failed',
        id,
        error: packError(error),
        state: this.#take(['trust', 'registry']),
      })
    }
  }

  #dialed(id: number, connection: PilotConnection, signal: AbortSignal): void {
    if (this.#isGone || signal.aborted) return connection.reset()
    const info = this.#options.node.connections().find((one) => one.id === connection.id)
    const state = this.#take(['info', 'peers'])
    this.#adopt(connection, ({ head }) =>
      this.#answer({
        type: 'result',
        id,
        value: head,
        state: info === undefined ? state : { ...state, connection: info },
      }),
    )
  }

  #answer(message: ToUser & { readonly id: number }): void {
    this.#calls.delete(message.id)
    this.#post(message)
  }

  #listen(id: number, port: number): void {
    const { node, ports, onchange } = this.#options
    try {
      if (this.#listeners.has(id) || this.#listeners.size >= LISTENERS_MAX)
        throw new PilotError('ERR_LIMIT', `more than ${LISTENERS_MAX} ports are bound`)
      const listener = node.listen(port)
      this.#listeners.set(id, listener)
      listener.onconnection = (connection) =>
        this.#adopt(connection, ({ head }) =>
          this.#post({ type: 'incoming', listener: id, stream: head }),
        )
    } catch (error) {
      return this.#post({ type: 'listen-failed', id, error: packError(error) })
    }
    ports.set(port, this)
    onchange(this, ['ports'])
  }

  #unlisten(id: number): void {
    const { ports, onchange } = this.#options
    const listener = this.#listeners.get(id)
    if (listener === undefined) return
    this.#listeners.delete(id)
    listener.close()
    ports.delete(listener.port)
    onchange(this, ['ports'])
  }

  /** Tells the user of a stream before anything that comes on it. */
  #adopt(connection: PilotConnection, tell: (stream: HostStream) => void): void {
    if (this.#isGone) return connection.reset()
    const { id } = connection
    const stream = new HostStream(connection, this.#options.lane, () => this.#streams.delete(id))
    this.#streams.set(id, stream)
    tell(stream)
    stream.start()
  }

  #breach(id: number): void {
    this.drops.malformed++
    this.#streams.get(id)?.reset()
  }

  #sendDatagram({ to, data }: ToHost & { readonly type: 'datagram' }): void {
    try {
      this.#options.node.sendDatagram(to, data)
    } catch {
      this.drops.datagrams++ // the user's own checks passed; as a datagram lost on the way
    }
    this.#post({ type: 'taken', count: 1, bytes: data.length })
  }

  #subscribe(datagrams: boolean): void {
    this.#unsubscribe?.()
    this.#unsubscribe = datagrams
      ? this.#options.node.onDatagram((datagram) => this.#deliver(datagram))
      : undefined
  }

  #deliver({ source, destinationPort, data }: PilotDatagram): void {
    if (this.#pending >= DATAGRAMS_MAX || this.#pendingBytes + data.length > DATAGRAM_BYTES_MAX) {
      this.drops.datagrams++
      return
    }
    this.#pending++
    this.#pendingBytes += data.length
    const copy = data.slice() // other users, and the node, have their own
    this.#post({ type: 'datagram', source, destinationPort, data: copy }, [copy.buffer])
  }

  #pushSoon(): void {
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined
      this.#post({ type: 'state', state: this.#take(ALL_PARTS) })
      if (performance.now() - this.#watchedAt < WATCH_MS) this.#pushSoon()
    }, PUSH_MS)
  }

  #hasUnsent(): boolean {
    return this.#streams.size > 0
  }

  #take(parts: readonly StatePart[]): StateUpdate {
    const { node, ports } = this.#options
    const others = [...ports].filter(([, user]) => user !== this).map(([port]) => port)
    return takeState(node, others, parts)
  }

  #post(message: ToUser, transfer?: Transferable[]): void {
    if (!this.#isGone) this.#options.lane.post(message, transfer)
  }
}
