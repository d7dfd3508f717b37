/** What becomes of peers' paths: those that are made and end, outlets that are full, silence, and datagrams too large. */
import type { Endpoint, Instant } from '../machine.ts'
import type { MadePath } from '../nat/path-selector.ts'
import type { NodeContext } from './context.ts'
import type { Peer } from './peer.ts'
import type { PeerTable } from './peer-table.ts'
import type { Prober } from './prober.ts'
import type { Scheduler } from './scheduler.ts'

export interface PathKeeperParts {
  readonly context: NodeContext
  readonly peers: PeerTable
  readonly prober: Prober
  readonly scheduler: Scheduler
}

export class PathKeeper {
  readonly #parts: PathKeeperParts

  constructor(parts: PathKeeperParts) {
    this.#parts = parts
  }

  /**
   * The outlet behind an endpoint (a WebSocket, a data channel) has enough to do, or room again. While it has not,
   * what would take it waits here; not for long when nothing is heard from the other end.
   */
  setPaused(endpoint: Endpoint, isPaused: boolean): void {
    const { context, peers, scheduler } = this.#parts
    if (isPaused) context.paused.add(endpoint.address)
    else if (context.paused.delete(endpoint.address))
      for (const peer of peers.all.values()) scheduler.queuePeer(peer)
  }

  /** A path to a peer has been made, e.g. a data channel whose datagrams come from `endpoint`, and what it carries. */
  offer(nodeId: number, endpoint: Endpoint, now: Instant, path?: MadePath): void {
    this.#change(nodeId, now, ({ paths }) => paths.handleOffered(endpoint, now, path))
  }

  /** That path is closed. */
  withdraw(nodeId: number, endpoint: Endpoint, now: Instant): void {
    this.#change(nodeId, now, ({ paths }) => paths.handleWithdrawn(endpoint, now))
  }

  /** Every path is to be proven again. */
  doubtAll(now: Instant): void {
    const { peers, scheduler } = this.#parts
    for (const peer of peers.all.values()) {
      peer.paths.doubt(now)
      scheduler.touchPeer(peer, now)
    }
  }

  /** Frames come by the path, and nothing that we send there is answered. */
  suspect(peer: Peer, now: Instant): void {
    const { prober, scheduler } = this.#parts
    // It may only be the size: small datagrams leave at once, and the path is not to blame yet.
    if (peer.mtu.handleBlackHole(now)) return scheduler.segmentShrunk(peer, now)
    peer.paths.suspect(now)
    prober.probeWanted(peer, now)
    scheduler.touchPeer(peer, now)
  }

  /** What the peer's paths have to do by themselves. */
  handleTimeout(peer: Peer, now: Instant): void {
    const { paths } = peer
    const before = paths.way
    paths.handleTimeout(now)
    // A path in doubt may never drain: its frames go both ways, and are dropped where there is no room.
    if (paths.endpoint !== undefined && paths.route(now) === 'both')
      this.setPaused(paths.endpoint, false)
    this.#settle(peer, before, now)
  }

  #change(nodeId: number, now: Instant, change: (peer: Peer) => void): void {
    const peer = this.#parts.peers.get(nodeId)
    if (peer === undefined) return
    const before = peer.paths.way
    change(peer)
    this.#settle(peer, before, now)
    this.#parts.scheduler.touchPeer(peer, now)
  }

  #settle(peer: Peer, before: Peer['paths']['way'], now: Instant): void {
    const { prober, scheduler } = this.#parts
    prober.probeWanted(peer, now)
    if (peer.paths.way !== before) scheduler.pathChanged(peer, before, now)
  }
}
