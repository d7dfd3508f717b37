/** The streams of a node over all its peers: limits, ids, search. */
import type { Instant } from '../machine.ts'
import type { PortTable } from '../port/port-table.ts'
import type { ConnectionOptions } from '../stream/connection.ts'
import { controllerOf } from '../stream/controllers.ts'
import { MemoryBudget } from '../stream/memory-budget.ts'
import type { ConnectionTuning } from '../stream/tuning.ts'
import type { SocketAddress } from '../wire/address.ts'
import type { NodeContext } from './context.ts'
import type { Peer } from './peer.ts'
import type { PeerTable } from './peer-table.ts'
import type { Scheduler } from './scheduler.ts'
import type { Stream } from './stream.ts'

/** 256 MiB: what 64 streams hold at most before their windows grow. */
const RECEIVE_MEMORY_BYTES = 256 << 20

export class StreamTable {
  readonly #context: NodeContext
  readonly #ports: PortTable
  readonly #peers: PeerTable
  readonly #scheduler: Scheduler
  readonly #tuning: Partial<ConnectionTuning> | undefined
  /** Bytes that all streams hold for their readers. */
  readonly memory: MemoryBudget
  #nextId = 1

  constructor(context: NodeContext, ports: PortTable, peers: PeerTable, scheduler: Scheduler) {
    this.#context = context
    this.#ports = ports
    this.#peers = peers
    this.#scheduler = scheduler
    const { congestion, tuning } = context.options
    this.memory = new MemoryBudget(context.options.receiveMemoryBytes ?? RECEIVE_MEMORY_BYTES)
    this.#tuning =
      congestion === undefined ? tuning : { congestion: controllerOf(congestion), ...tuning }
  }

  *all(): IterableIterator<Stream> {
    for (const peer of this.#peers.all.values()) yield* peer.streams.values()
  }

  find(id: number): Stream | undefined {
    for (const stream of this.all()) if (stream.connection.id === id) return stream
    return undefined
  }

  /** Streams that are not in TIME_WAIT. */
  get live(): number {
    return this.#scheduler.live
  }

  /** Another inbound stream would keep the limits (spec/03 §2.2); TIME_WAIT does not count. */
  hasRoomOn(port: number): boolean {
    const { maxConnectionsPerPort = 1024 } = this.#context.options
    return this.#ports.connections(port) < maxConnectionsPerPort && this.hasRoom
  }

  get hasRoom(): boolean {
    const { maxConnections = 4096 } = this.#context.options
    // Those in TIME_WAIT hold little, but not nothing: they count half.
    const { streams, live } = this.#scheduler
    return streams < 2 * maxConnections && live < maxConnections
  }

  connectionOptions(
    peer: Peer,
    local: SocketAddress,
    remote: SocketAddress,
    now: Instant,
  ): ConnectionOptions {
    const tuning = this.#tuning
    const { segmentBytes } = peer
    return {
      id: this.#nextId++,
      local,
      remote,
      isn: this.#context.randomIsn(),
      now,
      memory: this.memory,
      ...(tuning === undefined ? {} : { tuning }),
      ...(segmentBytes === undefined ? {} : { segmentBytes }),
    }
  }
}
