/**
 * Keeps this node known at the registry (spec/04 §8, §14): register, visibility and hostname, heartbeats,
 * polls for relayed trust messages, registration again when the registry forgot us.
 */
import type { Endpoint, Instant } from '../machine.ts'
import { formatEndpoint, sameEndpoint } from '../machine.ts'
import { type Address, formatAddress, parseAddress } from '../wire/address.ts'
import type { RegistryMessage } from '../wire/registry-message.ts'

/** How long registration waits for the beacon to tell our public endpoint. */
const OBSERVE_MS = 1000
const REGISTER_RETRY_MS = [500, 1000, 2000, 5000, 10_000] as const
/** Polls while a request of ours is out, and otherwise. */
const POLL_EAGER_MS = 2000
const POLL_MS = 10_000
/** Failed heartbeats in a row that make us register again, as the reference does. */
const HEARTBEAT_FAILURES = 3

export type RegistrationRequest = 'register' | 'visibility' | 'hostname' | 'heartbeat' | 'poll'

export type RegistrationEvent =
  | { readonly type: 'request'; readonly kind: RegistrationRequest }
  /** The registry's word on who we are; the first time and after every registration. */
  | { readonly type: 'registered'; readonly nodeId: number; readonly address: Address }
  /** It has heard, and answered, who may see us and what we are called; after every registration. */
  | { readonly type: 'announced' }
  /** The registry refused us, with its words; it is tried again. */
  | { readonly type: 'refused'; readonly reason: string }

export interface RegistrationOptions {
  /** Heartbeat interval; the registry forgets a node after 180 s. */
  readonly keepaliveMs: number
  readonly hasBeacon: boolean
  readonly now: Instant
}

export class Registration {
  readonly #options: RegistrationOptions
  #nodeId = 0
  #isRegistered = false
  #isStopped = false
  #isAsking = false
  #observed: Endpoint | undefined
  #registeredWith: Endpoint | undefined
  #failures = 0
  #heartbeatFailures = 0
  #nextRegisterAt: Instant | undefined
  #nextHeartbeatAt: Instant | undefined
  #nextPollAt: Instant | undefined
  /** Set by the owner: a request of ours waits for its answer at the registry. */
  isEager = false
  hostname = ''
  isPublic = false
  /** What the registry was told since it registered us, and has not answered. */
  readonly #unannounced = new Set<RegistrationRequest>()
  #events: RegistrationEvent[] = []

  constructor(options: RegistrationOptions) {
    this.#options = options
    this.#nextRegisterAt = options.hasBeacon ? options.now + OBSERVE_MS : options.now
  }

  get isRegistered(): boolean {
    return this.#isRegistered
  }

  /** `listen_addr` to register: the observed endpoint, else `fallback`. */
  listenAddress(fallback: Endpoint): string {
    this.#registeredWith = this.#observed
    return formatEndpoint(this.#observed ?? fallback)
  }

  handleObserved(endpoint: Endpoint, now: Instant): void {
    this.#observed = endpoint
    const isNews = !sameEndpoint(endpoint, this.#registeredWith)
    if (!this.#isStopped && isNews && !this.#isAsking) this.#nextRegisterAt = now
  }

  /** The connection is back after a loss: the registry may have been restarted, so ask at once. */
  handleReconnected(now: Instant): void {
    if (this.#isRegistered) this.#nextHeartbeatAt = now
  }

  /** Tells the registry again what it may have forgotten, and polls soon. */
  poll(now: Instant): void {
    if (this.#isRegistered) this.#nextPollAt = now
  }

  /** No more heartbeats: the user left the registry. */
  stop(): void {
    this.#isStopped = true
    this.#isRegistered = false
    this.#nextRegisterAt = undefined
    this.#nextHeartbeatAt = undefined
    this.#nextPollAt = undefined
  }

  handleReply(kind: RegistrationRequest, reply: RegistryMessage, now: Instant): void {
    if (this.#isStopped) return
    this.#handleAnnounced(kind)
    if (kind === 'register') this.#handleRegistered(reply, now)
    else if (kind === 'heartbeat') {
      this.#heartbeatFailures = 0
      this.#nextPollAt ??= now
    }
  }

  /** `isRefusal`: the registry answered no, as opposed to not at all. */
  handleFailure(kind: RegistrationRequest, reason: string, isRefusal: boolean, now: Instant): void {
    if (this.#isStopped) return
    this.#handleAnnounced(kind)
    if (kind === 'register') {
      this.#isAsking = false
      this.#retryRegister(now)
      this.#events.push({ type: 'refused', reason })
    } else if (kind === 'heartbeat') {
      this.#heartbeatFailures++
      // A refused heartbeat means that it does not know us (any more): no need to wait for three.
      if (isRefusal || this.#heartbeatFailures >= HEARTBEAT_FAILURES) this.#nextRegisterAt = now
      else this.#nextHeartbeatAt = now + this.#options.keepaliveMs / 4
    }
  }

  handleTimeout(now: Instant): void {
    if (this.#nextRegisterAt !== undefined && now >= this.#nextRegisterAt) {
      this.#nextRegisterAt = undefined
      this.#isAsking = true
      this.#events.push({ type: 'request', kind: 'register' })
    }
    if (this.#nextHeartbeatAt !== undefined && now >= this.#nextHeartbeatAt) {
      this.#nextHeartbeatAt = now + this.#options.keepaliveMs
      this.#events.push({ type: 'request', kind: 'heartbeat' })
    }
    if (this.#nextPollAt !== undefined && now >= this.#nextPollAt) {
      this.#nextPollAt = now + (this.isEager ? POLL_EAGER_MS : POLL_MS)
      this.#events.push({ type: 'request', kind: 'poll' })
    }
  }

  pollTimeout(): Instant | undefined {
    let at = this.#nextRegisterAt
    for (const other of [this.#nextHeartbeatAt, this.#nextPollAt])
      if (other !== undefined && (at === undefined || other < at)) at = other
    return at
  }

  pollEvent(): RegistrationEvent | undefined {
    return this.#events.shift()
  }

  #handleRegistered(reply: RegistryMessage, now: Instant): void {
    this.#isAsking = false
    const { node_id: nodeId, address } = reply
    const parsed = typeof address === 'string' ? addressOrUndefined(address) : undefined
    if (typeof nodeId !== 'number' || nodeId !== parsed?.node || nodeId === 0) {
      this.#retryRegister(now)
      this.#events.push({ type: 'refused', reason: 'the registry gave no valid address' })
      return
    }
    this.#failures = 0
    this.#heartbeatFailures = 0
    this.#nodeId = nodeId
    this.#isRegistered = true
    this.#nextHeartbeatAt = now + this.#options.keepaliveMs
    this.#nextPollAt = now
    this.#events.push({ type: 'registered', nodeId: this.#nodeId, address: parsed })
    this.#unannounced.clear()
    if (this.isPublic) this.#announce('visibility')
    if (this.hostname !== '') this.#announce('hostname')
    if (this.#unannounced.size === 0) this.#events.push({ type: 'announced' })
    if (this.#observed !== undefined && !sameEndpoint(this.#observed, this.#registeredWith))
      this.#nextRegisterAt = now
  }

  #announce(kind: 'visibility' | 'hostname'): void {
    this.#unannounced.add(kind)
    this.#events.push({ type: 'request', kind })
  }

  #handleAnnounced(kind: RegistrationRequest): void {
    if (this.#unannounced.delete(kind) && this.#unannounced.size === 0)
      this.#events.push({ type: 'announced' })
  }

  #retryRegister(now: Instant): void {
    const wait = REGISTER_RETRY_MS[Math.min(this.#failures, REGISTER_RETRY_MS.length - 1)]!
    this.#failures++
    this.#nextRegisterAt = now + wait
  }
}

function addressOrUndefined(text: string): Address | undefined {
  try {
    const address = parseAddress(text)
    return formatAddress(address) === text.toUpperCase() ? address : undefined
  } catch {
    return undefined
  }
}
