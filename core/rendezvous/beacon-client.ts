/**
 * Our side of the beacon: registration and address discovery, punch requests and commands (spec/02 §2, §7).
 * The beacon is authenticated by nothing but its address, so its word is taken only from there, and only
 * makes us send a few bytes or wrap frames; it never changes who we talk to.
 */
import { type Endpoint, type Instant, sameEndpoint } from '../machine.ts'
import { type BeaconMessage, encodeBeaconMessage } from '../wire/beacon-message.ts'
import { encodePunchFrame } from '../wire/frame.ts'

/** Waits between discovers until the first answer; the last repeats. */
const RETRY_MS = [200, 300, 500, 1000, 2000, 5000] as const
const REFRESH_MS = 25_000
const REFRESH_JITTER_MS = 2000
/** A reply counts only so long after the last discover. */
const REPLY_WINDOW_MS = 5000
/** Discovers in a row without an answer, 4 s of them, after which the beacon counts as silent. */
const SILENT_DISCOVERS = 6
/** Punch commands obeyed per second (spec/02 §7.8). */
const PUNCHES_PER_SECOND = 10
const PUNCH_FRAMES = 3
const OUTBOX_MAX = 256

/** `waiting`: not answered yet, and not given up either. */
export type BeaconStatus = 'waiting' | 'answering' | 'silent'

export type BeaconClientEvent =
  /** The public endpoint of our socket, first or changed. */
  | { readonly type: 'observed'; readonly endpoint: Endpoint }
  /** Fell silent, or answers (again) after it did. */
  | { readonly type: 'status'; readonly status: 'answering' | 'silent' }
  /** A datagram to send. */
  | { readonly type: 'transmit'; readonly to: Endpoint; readonly datagram: Uint8Array }

export interface BeaconClientOptions {
  readonly beacon: Endpoint
  /** Nothing but the relay: no endpoint to ask for, no mapping to open (spec/09). Default false. */
  readonly relayOnly?: boolean
  /** 0..1, from the node's randomness: spreads refreshes. */
  readonly jitter: number
  readonly now: Instant
}

export class BeaconClient {
  readonly beacon: Endpoint
  readonly #refreshMs: number
  readonly #isRelayOnly: boolean
  /** 0 until the registry gave us one: the beacon then only tells our address (spec/02 §2.1). */
  #nodeId = 0
  #observed: Endpoint | undefined
  #status: BeaconStatus = 'waiting'
  #discoverAt: Instant | undefined
  #attempts = 0
  #nextDiscoverAt: Instant
  #punchBudget = PUNCHES_PER_SECOND
  #punchBudgetAt: Instant
  #outbox: BeaconClientEvent[] = []

  constructor({ beacon, relayOnly = false, jitter, now }: BeaconClientOptions) {
    this.beacon = beacon
    this.#isRelayOnly = relayOnly
    this.#refreshMs = REFRESH_MS - jitter * REFRESH_JITTER_MS
    this.#nextDiscoverAt = now
    this.#punchBudgetAt = now
  }

  /** Our socket as the beacon sees it. */
  get observed(): Endpoint | undefined {
    return this.#observed
  }

  /** Whether discovers are answered; `undefined` where none are sent. */
  get status(): BeaconStatus | undefined {
    return this.#isRelayOnly ? undefined : this.#status
  }

  isBeacon(from: Endpoint): boolean {
    return sameEndpoint(from, this.beacon)
  }

  /** From now on discovers register this id. */
  setNodeId(nodeId: number, now: Instant): void {
    this.#nodeId = nodeId
    this.refresh(now)
  }

  /** Discovers at once, e.g. after a change of network. */
  refresh(now: Instant): void {
    this.#attempts = 0
    this.#nextDiscoverAt = now
  }

  requestPunch(targetId: number): void {
    if (this.#nodeId === 0 || this.#isRelayOnly) return
    this.#send({ type: 'punch-request', requesterId: this.#nodeId, targetId })
  }

  /** `message` came from the beacon's endpoint. Relay deliveries are the node's, not handled here. */
  handleMessage(message: BeaconMessage, now: Instant): void {
    if (this.#isRelayOnly) return
    if (message.type === 'discover-reply') this.#handleReply(message.endpoint, now)
    else if (message.type === 'punch-command') this.#handlePunch(message.endpoint, now)
  }

  handleTimeout(now: Instant): void {
    if (this.#isRelayOnly || now < this.#nextDiscoverAt) return
    this.#discoverAt = now
    this.#send({ type: 'discover', nodeId: this.#nodeId })
    this.#nextDiscoverAt = now + RETRY_MS[Math.min(this.#attempts, RETRY_MS.length - 1)]!
    this.#attempts++
    if (this.#attempts === SILENT_DISCOVERS && this.#status !== 'silent') {
      this.#status = 'silent'
      this.#push({ type: 'status', status: 'silent' })
    }
  }

  pollTimeout(): Instant | undefined {
    return this.#isRelayOnly ? undefined : this.#nextDiscoverAt
  }

  pollEvent(): BeaconClientEvent | undefined {
    return this.#outbox.shift()
  }

  #handleReply(endpoint: Endpoint, now: Instant): void {
    if (this.#discoverAt === undefined || now - this.#discoverAt > REPLY_WINDOW_MS) return
    this.#discoverAt = undefined
    if (this.#status === 'silent') this.#push({ type: 'status', status: 'answering' })
    this.#status = 'answering'
    this.#attempts = 0
    this.#nextDiscoverAt = now + this.#refreshMs
    if (endpoint.port === 0 || sameEndpoint(endpoint, this.#observed)) return
    this.#observed = endpoint
    this.#push({ type: 'observed', endpoint })
  }

  #handlePunch(endpoint: Endpoint, now: Instant): void {
    this.#punchBudget = Math.min(
      PUNCHES_PER_SECOND,
      this.#punchBudget + ((now - this.#punchBudgetAt) / 1000) * PUNCHES_PER_SECOND,
    )
    this.#punchBudgetAt = now
    if (this.#punchBudget < 1 || !isPunchable(endpoint, this.#observed)) return
    this.#punchBudget -= 1
    for (let i = 0; i < PUNCH_FRAMES; i++)
      this.#push({ type: 'transmit', to: endpoint, datagram: encodePunchFrame() })
  }

  #send(message: BeaconMessage): void {
    this.#push({ type: 'transmit', to: this.beacon, datagram: encodeBeaconMessage(message) })
  }

  #push(event: BeaconClientEvent): void {
    if (this.#outbox.length < OUTBOX_MAX) this.#outbox.push(event)
  }
}

/**
 * Unicast with a port; private and loopback targets only where we are seen under such an address ourselves,
 * that is, on the beacon's own network (spec/02 §7.8).
 */
export function isPunchable({ address, port }: Endpoint, observed: Endpoint | undefined): boolean {
  if (port === 0) return false
  const scope = addressScope(address)
  if (scope === 'none') return false
  return scope === 'public' || (observed !== undefined && addressScope(observed.address) === scope)
}

/** Reach of an IP address in text; `none` is not to be sent to (unspecified, multicast, broadcast). */
export function addressScope(address: string): 'public' | 'private' | 'loopback' | 'none' {
  if (address.includes(':')) {
    const text = address.toLowerCase()
    if (text === '::1') return 'loopback'
    if (text === '::' || text.startsWith('ff')) return 'none'
    return /^(fc|fd|fe[89ab])/.test(text) ? 'private' : 'public'
  }
  const [a = 0, b = 0] = address.split('.').map(Number)
  if (a === 127) return 'loopback'
  if (a === 0 || a >= 224) return 'none'
  if (a === 10 || (a === 172 && b >= 16 && b < 32) || (a === 192 && b === 168)) return 'private'
  if (a === 169 && b === 254) return 'private'
  return a === 100 && b >= 64 && b < 128 ? 'private' : 'public'
}
