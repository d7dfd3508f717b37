/**
 * One connection to the registry as a byte stream (spec/04 §2): framing, answers in request order,
 * reconnects with backoff, one repetition of what a lost connection left unanswered. Who asks what is
 * the node's business.
 */
import { PilotError, WireError } from '../errors.ts'
import type { Instant } from '../machine.ts'
import {
  encodeRegistryFrame,
  RegistryFrameDecoder,
  type RegistryMessage,
} from '../wire/registry-message.ts'

const REQUEST_TIMEOUT_MS = 10_000
const CONNECT_TIMEOUT_MS = 5000
const BACKOFF_MS = [0, 250, 500, 1000, 2000, 4000, 8000, 10_000] as const
const REQUESTS_MAX = 1024
/** Requests sent and not answered; the rest waits here, so that a slow registry is not flooded. */
const PIPELINE_MAX = 32

export type RegistryClientEvent =
  | { readonly type: 'connect' }
  | { readonly type: 'disconnect' }
  | { readonly type: 'send'; readonly bytes: Uint8Array }
  | { readonly type: 'connected' }
  | { readonly type: 'lost'; readonly reason: string }
  | { readonly type: 'reply'; readonly id: number; readonly reply: RegistryMessage }
  /** `ERR_REGISTRY` when it refused, `ERR_REGISTRY_UNAVAILABLE` when it could not be asked. */
  | { readonly type: 'failed'; readonly id: number; readonly error: PilotError }

interface Request {
  readonly id: number
  readonly bytes: Uint8Array
  readonly deadline: Instant
  /** Sent on a connection that was lost: it is repeated once. */
  repeats: number
}

type State =
  | { readonly name: 'idle'; readonly connectAt: Instant }
  | { readonly name: 'connecting'; readonly deadline: Instant }
  | { readonly name: 'open' }
  | { readonly name: 'closed' }

export class RegistryClient {
  #state: State
  #decoder = new RegistryFrameDecoder()
  #nextId = 1
  #waiting: Request[] = []
  #sent: Request[] = []
  #failures = 0
  #lastError = 'not connected yet'
  #events: RegistryClientEvent[] = []

  constructor(now: Instant) {
    this.#state = { name: 'idle', connectAt: now }
  }

  get isConnected(): boolean {
    return this.#state.name === 'open'
  }

  /** Why there is no connection, for people; `undefined` while there is one or none was tried. */
  get problem(): string | undefined {
    return this.#state.name === 'open' || this.#failures === 0 ? undefined : this.#lastError
  }

  /** Queues a request; its outcome comes as `reply` or `failed` with the id returned here. */
  request(message: RegistryMessage, now: Instant): number {
    const id = this.#nextId++
    if (this.#state.name === 'closed')
      this.#fail(id, 'ERR_REGISTRY_UNAVAILABLE', 'the registry connection is closed')
    else if (this.#waiting.length + this.#sent.length >= REQUESTS_MAX)
      this.#fail(id, 'ERR_REGISTRY_UNAVAILABLE', `more than ${REQUESTS_MAX} registry requests wait`)
    else {
      const bytes = encodeRegistryFrame(message)
      this.#waiting.push({ id, bytes, deadline: now + REQUEST_TIMEOUT_MS, repeats: 0 })
      this.#flush()
    }
    return id
  }

  handleConnected(): void {
    if (this.#state.name !== 'connecting') return
    this.#state = { name: 'open' }
    this.#failures = 0
    this.#decoder = new RegistryFrameDecoder()
    this.#events.push({ type: 'connected' })
    this.#flush()
  }

  handleData(bytes: Uint8Array, now: Instant): void {
    if (this.#state.name !== 'open') return
    try {
      this.#decoder.push(bytes)
      for (let reply = this.#decoder.next(); reply !== undefined; reply = this.#decoder.next())
        this.#handleReply(reply)
    } catch (error) {
      if (!(error instanceof WireError)) throw error
      this.#events.push({ type: 'disconnect' })
      this.handleDisconnected(`the registry sent no valid answer: ${error.message}`, now)
      return
    }
    this.#flush()
  }

  handleDisconnected(reason: string, now: Instant): void {
    if (this.#state.name === 'closed' || this.#state.name === 'idle') return
    this.#lastError = reason
    if (this.#state.name === 'open') this.#events.push({ type: 'lost', reason })
    const wait = BACKOFF_MS[Math.min(this.#failures, BACKOFF_MS.length - 1)]!
    this.#failures++
    this.#state = { name: 'idle', connectAt: now + wait }
    const repeat: Request[] = []
    for (const request of this.#sent) {
      if (request.repeats++ === 0) repeat.push(request)
      else this.#fail(request.id, 'ERR_REGISTRY_UNAVAILABLE', reason)
    }
    this.#sent = []
    this.#waiting.unshift(...repeat)
  }

  /** Retries without waiting, e.g. after a change of network. */
  reconnect(now: Instant): void {
    if (this.#state.name === 'idle') this.#state = { name: 'idle', connectAt: now }
    this.#failures = 0
  }

  close(): void {
    if (this.#state.name === 'closed') return
    this.#state = { name: 'closed' }
    this.#events.push({ type: 'disconnect' })
    for (const request of [...this.#sent, ...this.#waiting])
      this.#fail(request.id, 'ERR_REGISTRY_UNAVAILABLE', 'the registry connection is closed')
    this.#sent = []
    this.#waiting = []
  }

  handleTimeout(now: Instant): void {
    const state = this.#state
    if (state.name === 'idle' && now >= state.connectAt) {
      this.#state = { name: 'connecting', deadline: now + CONNECT_TIMEOUT_MS }
      this.#events.push({ type: 'connect' })
    } else if (state.name === 'connecting' && now >= state.deadline) {
      this.#events.push({ type: 'disconnect' })
      this.handleDisconnected(`no connection within ${CONNECT_TIMEOUT_MS} ms`, now)
    }
    if (this.#sent[0] !== undefined && now >= this.#sent[0].deadline) {
      // Answers come in order: when one is overdue, those behind it cannot be told apart from it.
      this.#events.push({ type: 'disconnect' })
      this.handleDisconnected(`no answer within ${REQUEST_TIMEOUT_MS} ms`, now)
    }
    const isOverdue = (request: Request): boolean => now >= request.deadline
    if (this.#waiting.some(isOverdue)) {
      for (const request of this.#waiting.filter(isOverdue))
        this.#fail(request.id, 'ERR_REGISTRY_UNAVAILABLE', this.#lastError)
      this.#waiting = this.#waiting.filter((request) => !isOverdue(request))
    }
  }

  pollTimeout(): Instant | undefined {
    const state = this.#state
    let at: Instant | undefined
    if (state.name === 'idle') at = state.connectAt
    else if (state.name === 'connecting') at = state.deadline
    for (const request of [this.#sent[0], this.#waiting[0]])
      if (request !== undefined && (at === undefined || request.deadline < at))
        at = request.deadline
    return at
  }

  pollEvent(): RegistryClientEvent | undefined {
    return this.#events.shift()
  }

  #flush(): void {
    if (this.#state.name !== 'open') return
    while (this.#waiting.length > 0 && this.#sent.length < PIPELINE_MAX) {
      const request = this.#waiting.shift()!
      this.#sent.push(request)
      this.#events.push({ type: 'send', bytes: request.bytes })
    }
  }

  #handleReply(reply: RegistryMessage): void {
    const request = this.#sent.shift()
    if (request === undefined) return // nothing asked for it
    if (typeof reply.error === 'string')
      this.#fail(request.id, 'ERR_REGISTRY', `registry: ${reply.error}`)
    else this.#events.push({ type: 'reply', id: request.id, reply })
  }

  #fail(id: number, code: 'ERR_REGISTRY' | 'ERR_REGISTRY_UNAVAILABLE', message: string): void {
    this.#events.push({ type: 'failed', id, error: new PilotError(code, message) })
  }
}
