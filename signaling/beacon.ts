/**
 * The beacon (spec/02) as a machine: tells nodes their public endpoint, introduces them for hole punching,
 * relays frames, to nodes on WebSockets too, gossips with peer beacons and answers STUN. Nothing it sends
 * is larger than what it was sent, but for the bytes of an endpoint: 3 to 15, with STUN 12 or 24.
 */
import { viewOf } from '../core/bytes.ts'
import { WireError } from '../core/errors.ts'
import { type Endpoint, type Instant, sameEndpoint } from '../core/machine.ts'
import { TokenBuckets } from '../core/rate-limit.ts'
import {
  BEACON_TYPE,
  decodeBeaconMessage,
  encodeBeaconMessage,
  RELAY_OVERHEAD_BYTES,
} from '../core/wire/beacon-message.ts'
import { BeaconGossip } from './beacon-gossip.ts'
import { type BeaconNode, BeaconNodes, type RegisteredAt } from './beacon-nodes.ts'
import type { CompatConnection, CompatRelay } from './compat-relay.ts'
import {
  BEACON_QUEUE_MAX,
  type BeaconLimits,
  DEFAULT_BEACON_LIMITS,
  GOSSIP_IDS_MAX,
  GOSSIP_INTERVAL_MS,
  STUN_BURST,
  STUN_PER_SECOND,
  SWEEP_INTERVAL_MS,
} from './limits.ts'
import { rateKey } from './request-fields.ts'
import { answerStun, STUN_FIRST_BYTE } from './stun.ts'

export interface BeaconOptions {
  /** Own id in gossip; 0 stands alone. Default 0. */
  readonly beaconId?: number
  /** Peer beacons, by the exact endpoint they send from. Default none. */
  readonly peers?: readonly Endpoint[]
  readonly limits?: Partial<BeaconLimits>
  /** The registry's view, when it runs in the same process. */
  readonly registeredAt?: RegisteredAt
  /** The WebSockets of nodes without UDP; the beacon owns it from here on. Default none. */
  readonly compat?: CompatRelay
  /** Takes a Relay message to a node that is nowhere now, and may come back; false when it does not. */
  readonly hold?: (destinationId: number, relay: Uint8Array) => boolean
}

export interface BeaconTransmit {
  readonly to: Endpoint
  readonly datagram: Uint8Array
}

/** Totals since the start. */
export interface BeaconCounters {
  discovers: number
  punches: number
  stunBindings: number
  relayedFrames: number
  relayedBytes: number
  /** Dropped datagrams by reason. */
  readonly drops: {
    malformed: number
    unknownType: number
    rateLimited: number
    senderNotRegistered: number
    destinationUnknown: number
    notAllowed: number
    queueFull: number
  }
}

export class Beacon {
  readonly #beaconId: number
  readonly #limits: BeaconLimits
  readonly #nodes: BeaconNodes
  readonly #gossip: BeaconGossip
  readonly #discovers: TokenBuckets<string>
  readonly #punches: TokenBuckets<string>
  readonly #stuns = new TokenBuckets<string>({ burst: STUN_BURST, perSecond: STUN_PER_SECOND })
  readonly #compat: CompatRelay | undefined
  readonly #hold: BeaconOptions['hold']
  readonly counters: BeaconCounters = {
    discovers: 0,
    punches: 0,
    stunBindings: 0,
    relayedFrames: 0,
    relayedBytes: 0,
    drops: {
      malformed: 0,
      unknownType: 0,
      rateLimited: 0,
      senderNotRegistered: 0,
      destinationUnknown: 0,
      notAllowed: 0,
      queueFull: 0,
    },
  }
  /** One queue for everything, first in, first out: relayed frames never overtake each other. */
  #queue: BeaconTransmit[] = []
  #queueHead = 0
  #gossipAt: Instant
  #sweepAt: Instant

  constructor(options: BeaconOptions, now: Instant) {
    this.#beaconId = options.beaconId ?? 0
    this.#limits = { ...DEFAULT_BEACON_LIMITS, ...options.limits }
    const limits = this.#limits
    this.#nodes = new BeaconNodes(limits, options.registeredAt ?? (() => undefined))
    this.#gossip = new BeaconGossip(options.peers ?? [])
    this.#compat = options.compat
    this.#hold = options.hold
    this.#discovers = new TokenBuckets({
      burst: limits.discoverBurst,
      perSecond: limits.discoversPerSecond,
    })
    this.#punches = new TokenBuckets({
      burst: limits.punchBurst,
      perSecond: limits.punchesPerSecond,
    })
    this.#gossipAt = now + GOSSIP_INTERVAL_MS
    this.#sweepAt = now + SWEEP_INTERVAL_MS
  }

  /** Beacons to gossip with from now on, by the exact endpoint they send from. */
  setPeers(peers: readonly Endpoint[]): void {
    this.#gossip.setPeers(peers)
  }

  /** Nodes registered here. */
  get nodeCount(): number {
    return this.#nodes.size
  }

  /** The WebSockets, to be read by statistics. */
  get compat(): CompatRelay | undefined {
    return this.#compat
  }

  /** Nodes that peer beacons hold. */
  get peerNodeCount(): number {
    return this.#gossip.nodeCount
  }

  /** The datagram becomes the beacon's: a relayed frame is rewritten in it and sent from it. */
  handleDatagram(datagram: Uint8Array, from: Endpoint, now: Instant): void {
    switch (datagram[0]) {
      case BEACON_TYPE.relay:
        this.#relay(datagram, from, now)
        break
      case BEACON_TYPE.discover:
      case BEACON_TYPE.discoverEx:
        this.#discover(datagram, from, now)
        break
      case BEACON_TYPE.punchRequest:
        this.#punch(datagram, from, now)
        break
      case BEACON_TYPE.sync:
        this.#sync(datagram, from, now)
        break
      case STUN_FIRST_BYTE:
        this.#stun(datagram, from, now)
        break
      default:
        this.counters.drops.unknownType++
    }
  }

  /** A binary message on a WebSocket (spec/09); the bytes become the beacon's. */
  handleCompatMessage(connection: CompatConnection, message: Uint8Array, now: Instant): void {
    if (this.#compat?.takeRelay(connection, message, now) === true) this.#forward(message, true)
  }

  handleTimeout(now: Instant): void {
    if (now >= this.#sweepAt) {
      this.#sweepAt = now + SWEEP_INTERVAL_MS
      this.#nodes.sweep(now)
      this.#discovers.sweep(now)
      this.#punches.sweep(now)
      this.#stuns.sweep(now)
    }
    this.#compat?.handleTimeout(now)
    if (now >= this.#gossipAt) {
      this.#gossipAt = now + GOSSIP_INTERVAL_MS
      this.#gossip.sweep(now)
      this.#sendGossip()
    }
  }

  pollTimeout(): Instant {
    const at = Math.min(this.#sweepAt, this.#compat?.pollTimeout() ?? this.#sweepAt)
    return this.#gossip.peers.length === 0 ? at : Math.min(at, this.#gossipAt)
  }

  pollTransmit(): BeaconTransmit | undefined {
    const transmit = this.#queue[this.#queueHead]
    if (transmit === undefined) {
      if (this.#queueHead > 0) {
        this.#queue = []
        this.#queueHead = 0
      }
      return undefined
    }
    this.#queueHead++
    if (this.#queueHead >= BEACON_QUEUE_MAX) {
      this.#queue = this.#queue.slice(this.#queueHead)
      this.#queueHead = 0
    }
    return transmit
  }

  /**
   * Deviation (spec/02 §2.5): only from an endpoint at which the claimed sender is registered, or from a
   * peer beacon.
   */
  #relay(datagram: Uint8Array, from: Endpoint, now: Instant): void {
    const { counters } = this
    if (datagram.length < RELAY_OVERHEAD_BYTES) {
      counters.drops.malformed++
      return
    }
    const view = viewOf(datagram)
    const sender = this.#nodes.get(view.getUint32(1))
    const isOwn = sender !== undefined && sameEndpoint(sender.endpoint, from)
    if (!isOwn && !this.#gossip.isPeer(from)) {
      counters.drops.senderNotRegistered++
      return
    }
    if (isOwn && !this.#spend(sender, now)) {
      counters.drops.rateLimited++
      return
    }
    this.#forward(datagram, isOwn)
  }

  /**
   * Where the destination is looked for, in this order: on a WebSocket here, at an endpoint here, at the peer
   * that announced it (spec/09). Deviation: what a peer sent goes no further than to an own node.
   */
  #forward(datagram: Uint8Array, isOwn: boolean): void {
    const { counters } = this
    const frameBytes = datagram.length - RELAY_OVERHEAD_BYTES
    const destinationId = viewOf(datagram).getUint32(5)
    const channel = this.#compat?.find(destinationId)
    if (channel !== undefined) {
      if (this.#compat?.deliver(channel, datagram) !== true) return
      counters.relayedFrames++
      counters.relayedBytes += frameBytes
      return
    }
    const destination = this.#nodes.get(destinationId)
    const to = destination?.endpoint ?? (isOwn ? this.#gossip.find(destinationId) : undefined)
    if (to === undefined) {
      if (this.#hold?.(destinationId, datagram) !== true) counters.drops.destinationUnknown++
      return
    }
    counters.relayedFrames++
    counters.relayedBytes += frameBytes
    if (destination === undefined) this.#send(to, datagram)
    else if (destination.isExtended) {
      datagram[0] = BEACON_TYPE.relayDeliverDest
      this.#send(to, datagram)
    } else {
      // In place: type(1) sender(4) ends where the frame begins, at byte 9.
      datagram.copyWithin(5, 1, 5)
      datagram[4] = BEACON_TYPE.relayDeliver
      this.#send(to, datagram.subarray(4))
    }
  }

  #discover(datagram: Uint8Array, from: Endpoint, now: Instant): void {
    const message = this.#decode(datagram)
    if (message?.type !== 'discover') return
    if (!this.#discovers.take(rateKey(from.address), now)) {
      this.counters.drops.rateLimited++
      return
    }
    this.counters.discovers++
    const { nodeId, extended } = message
    if (nodeId !== 0 && this.#nodes.enter(nodeId, from, now, extended === true) === undefined)
      this.counters.drops.notAllowed++
    this.#send(from, encodeBeaconMessage({ type: 'discover-reply', endpoint: from }))
  }

  #punch(datagram: Uint8Array, from: Endpoint, now: Instant): void {
    const message = this.#decode(datagram)
    if (message?.type !== 'punch-request') return
    if (!this.#punches.take(rateKey(from.address), now)) {
      this.counters.drops.rateLimited++
      return
    }
    const requester = this.#nodes.enter(message.requesterId, from, now, undefined)
    if (requester === undefined) {
      this.counters.drops.notAllowed++
      return
    }
    // A node on a WebSocket cannot be punched to, whatever endpoint it had before.
    const isRelayOnly = this.#compat?.find(message.targetId) !== undefined
    const target = isRelayOnly ? undefined : this.#nodes.get(message.targetId)
    if (target === undefined) {
      this.counters.drops.destinationUnknown++
      return
    }
    this.counters.punches++
    const { endpoint } = target
    this.#send(from, encodeBeaconMessage({ type: 'punch-command', endpoint }))
    this.#send(endpoint, encodeBeaconMessage({ type: 'punch-command', endpoint: from }))
  }

  #stun(datagram: Uint8Array, from: Endpoint, now: Instant): void {
    if (!this.#stuns.take(rateKey(from.address), now)) {
      this.counters.drops.rateLimited++
      return
    }
    const answer = answerStun(datagram, from)
    if (answer === undefined) {
      this.counters.drops.malformed++
      return
    }
    this.counters.stunBindings++
    this.#send(from, answer)
  }

  #sync(datagram: Uint8Array, from: Endpoint, now: Instant): void {
    if (!this.#gossip.isPeer(from)) {
      this.counters.drops.notAllowed++
      return
    }
    const message = this.#decode(datagram)
    if (message?.type === 'sync') this.#gossip.hear(from, message.nodeIds, now)
  }

  /** Above 16 375 nodes the ones that registered last are named: more would not fit one datagram. */
  #sendGossip(): void {
    const { peers } = this.#gossip
    if (peers.length === 0) return
    const nodeIds = [...new Set([...this.#nodes.ids(), ...(this.#compat?.ids() ?? [])])]
    const datagram = encodeBeaconMessage({
      type: 'sync',
      beaconId: this.#beaconId,
      nodeIds: nodeIds.slice(-GOSSIP_IDS_MAX),
    })
    for (const peer of peers) this.#send(peer, datagram)
  }

  #decode(datagram: Uint8Array): ReturnType<typeof decodeBeaconMessage> | undefined {
    try {
      return decodeBeaconMessage(datagram)
    } catch (error) {
      if (!(error instanceof WireError)) throw error
      this.counters.drops.malformed++
      return undefined
    }
  }

  #spend(node: BeaconNode, now: Instant): boolean {
    const rate = this.#limits.relaysPerSecond
    node.tokens = Math.min(rate, node.tokens + ((now - node.tokensAt) * rate) / 1000)
    node.tokensAt = now
    if (node.tokens < 1) return false
    node.tokens--
    return true
  }

  #send(to: Endpoint, datagram: Uint8Array): void {
    if (this.#queue.length - this.#queueHead >= BEACON_QUEUE_MAX) {
      this.counters.drops.queueFull++
      return
    }
    this.#queue.push({ to, datagram })
  }
}
