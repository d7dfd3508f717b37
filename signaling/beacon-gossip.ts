/** Which nodes the peer beacons say they hold (spec/02 §2.6). Only configured peers are believed. */
import { type Endpoint, type Instant, sameEndpoint } from '../core/machine.ts'
import { GOSSIP_LIFETIME_MS } from './limits.ts'

/** Beacons that are gossiped with. */
const PEER_BEACONS_MAX = 64

interface PeerBeacon {
  readonly endpoint: Endpoint
  nodeIds: ReadonlySet<number>
  heardAt: Instant
}

export class BeaconGossip {
  #peers: readonly PeerBeacon[] = []

  constructor(peers: readonly Endpoint[]) {
    this.setPeers(peers)
  }

  /** These are the peers from now on; what those among them have said before still holds. */
  setPeers(peers: readonly Endpoint[]): void {
    const former = this.#peers
    this.#peers = peers.slice(0, PEER_BEACONS_MAX).map(
      (endpoint) =>
        former.find((peer) => sameEndpoint(peer.endpoint, endpoint)) ?? {
          endpoint,
          nodeIds: new Set(),
          heardAt: 0,
        },
    )
  }

  get peers(): readonly Endpoint[] {
    return this.#peers.map(({ endpoint }) => endpoint)
  }

  get nodeCount(): number {
    let count = 0
    for (const { nodeIds } of this.#peers) count += nodeIds.size
    return count
  }

  isPeer(endpoint: Endpoint): boolean {
    return this.#peers.some((peer) => sameEndpoint(peer.endpoint, endpoint))
  }

  /** Replaces all that this peer said before. */
  hear(from: Endpoint, nodeIds: readonly number[], now: Instant): void {
    const peer = this.#peers.find(({ endpoint }) => sameEndpoint(endpoint, from))
    if (peer === undefined) return
    peer.nodeIds = new Set(nodeIds)
    peer.heardAt = now
  }

  /** The beacon that holds the node. */
  find(nodeId: number): Endpoint | undefined {
    for (const { nodeIds, endpoint } of this.#peers) if (nodeIds.has(nodeId)) return endpoint
    return undefined
  }

  sweep(now: Instant): void {
    for (const peer of this.#peers)
      if (now - peer.heardAt >= GOSSIP_LIFETIME_MS) peer.nodeIds = new Set()
  }
}
