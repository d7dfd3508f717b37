/** Which node is reached at which endpoint, as the beacon saw it (spec/02 §3). */
import { type Endpoint, formatEndpoint, type Instant, sameEndpoint } from '../core/machine.ts'
import {
  BEACON_ENTRY_LIFETIME_MS,
  type BeaconLimits,
  CONFIRMED_SILENCE_MS,
  ENDPOINT_CHANGE_INTERVAL_MS,
} from './limits.ts'

export interface BeaconNode {
  readonly nodeId: number
  endpoint: Endpoint
  /** Asked with DiscoverEx: its relayed frames carry the destination id. */
  isExtended: boolean
  seenAt: Instant
  changedAt: Instant
  /** The registry names this node at this IP. */
  isConfirmed: boolean
  /** Relay budget and when it was last refilled. */
  tokens: number
  tokensAt: Instant
}

/** Where the registry has a node, if it is at hand and knows it. */
export interface RegisteredPlace {
  /** The IP its registration came from. */
  readonly ip: string
  /** `ip:port` it registered. */
  readonly endpoint: string
}

export type RegisteredAt = (nodeId: number) => RegisteredPlace | undefined

export class BeaconNodes {
  readonly #nodes = new Map<number, BeaconNode>()
  readonly #perSource = new Map<string, number>()
  readonly #limits: BeaconLimits
  readonly #registeredAt: RegisteredAt

  constructor(limits: BeaconLimits, registeredAt: RegisteredAt) {
    this.#limits = limits
    this.#registeredAt = registeredAt
  }

  get size(): number {
    return this.#nodes.size
  }

  get(nodeId: number): BeaconNode | undefined {
    return this.#nodes.get(nodeId)
  }

  /** Most recently registered last. */
  ids(): IterableIterator<number> {
    return this.#nodes.keys()
  }

  /**
   * Registers the node at this endpoint. `undefined` when that is not allowed: the table or this source is
   * full, the node moved less than 30 s ago, or the registry confirms the endpoint it has now and that one
   * still speaks. Id 0 is every node's id before it has one, so it is never entered (spec/02 §2.1).
   */
  enter(
    nodeId: number,
    endpoint: Endpoint,
    now: Instant,
    isExtended: boolean | undefined,
  ): BeaconNode | undefined {
    if (nodeId === 0) return undefined
    const node = this.#nodes.get(nodeId)
    if (node === undefined) return this.#add(nodeId, endpoint, now, isExtended ?? false)
    if (!sameEndpoint(node.endpoint, endpoint) && !this.#move(node, endpoint, now)) return undefined
    node.seenAt = now
    node.isConfirmed = this.#registeredAt(nodeId)?.ip === endpoint.address
    if (isExtended !== undefined) node.isExtended = isExtended
    return node
  }

  sweep(now: Instant): void {
    for (const node of this.#nodes.values())
      if (now - node.seenAt >= BEACON_ENTRY_LIFETIME_MS) {
        this.#nodes.delete(node.nodeId)
        this.#count(node.endpoint.address, -1)
      }
  }

  #add(
    nodeId: number,
    endpoint: Endpoint,
    now: Instant,
    isExtended: boolean,
  ): BeaconNode | undefined {
    if (this.#nodes.size >= this.#limits.nodesMax || !this.#hasRoom(endpoint)) return undefined
    const node: BeaconNode = {
      nodeId,
      endpoint,
      isExtended,
      seenAt: now,
      changedAt: now,
      isConfirmed: this.#registeredAt(nodeId)?.ip === endpoint.address,
      tokens: this.#limits.relaysPerSecond,
      tokensAt: now,
    }
    this.#nodes.set(nodeId, node)
    this.#count(endpoint.address, 1)
    return node
  }

  #move(node: BeaconNode, endpoint: Endpoint, now: Instant): boolean {
    const place = this.#registeredAt(node.nodeId)
    const isConfirmed = place?.ip === endpoint.address
    if (node.isConfirmed && !isConfirmed && now - node.seenAt < CONFIRMED_SILENCE_MS) return false
    // The registry's word for the new place, against none for the old one, is worth more than the pace.
    // So it is for the very endpoint a restarted node has just registered.
    const isBetter =
      (isConfirmed && !node.isConfirmed) || place?.endpoint === formatEndpoint(endpoint)
    if (!isBetter && now - node.changedAt < ENDPOINT_CHANGE_INTERVAL_MS) return false
    if (endpoint.address !== node.endpoint.address) {
      if (!this.#hasRoom(endpoint)) return false
      this.#count(node.endpoint.address, -1)
      this.#count(endpoint.address, 1)
    }
    node.endpoint = endpoint
    node.changedAt = now
    return true
  }

  #hasRoom(endpoint: Endpoint): boolean {
    return (this.#perSource.get(endpoint.address) ?? 0) < this.#limits.nodesPerSourceMax
  }

  #count(address: string, step: 1 | -1): void {
    const count = (this.#perSource.get(address) ?? 0) + step
    if (count === 0) this.#perSource.delete(address)
    else this.#perSource.set(address, count)
  }
}
