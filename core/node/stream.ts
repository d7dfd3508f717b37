/** A connection and its place in the node: which peer, which queues, why it failed. */
import type { PilotError } from '../errors.ts'
import type { Instant } from '../machine.ts'
import type { Connection } from '../stream/connection.ts'
import type { Timed } from '../timer-heap.ts'
import type { SocketAddress } from '../wire/address.ts'
import type { Peer } from './peer.ts'

/** What happened to a stream since its owner last looked; several at once. */
export interface StreamNews {
  isConnected: boolean
  isReadable: boolean
  isWritable: boolean
  isEnded: boolean
  isClosed: boolean
}

export class Stream implements Timed {
  readonly kind = 'stream'
  readonly connection: Connection
  readonly peer: Peer
  /** Key in the peer's table: local port and remote port. */
  readonly key: number
  /** Who uses it: the application, or the node's own trust messages. */
  readonly owner: 'application' | 'trust-inbound' | 'trust-outbound'
  /** True for a stream the peer opened. */
  readonly isInbound: boolean
  /** Counts toward the limit of its port: inbound, and not in TIME_WAIT yet. */
  isCounted: boolean
  /** Counts among the node's streams: in the table, and not in TIME_WAIT yet. */
  isLive = false
  heapAt: Instant = Number.POSITIVE_INFINITY
  heapIndex = -1
  /** Waits in the peer's queue of streams with something to send. */
  isReady = false
  /** Waits in the node's queue of streams with news. */
  isNotified = false
  readonly news: StreamNews = {
    isConnected: false,
    isReadable: false,
    isWritable: false,
    isEnded: false,
    isClosed: false,
  }
  /** Its trust message was taken from it, or acknowledged: later news do not matter. */
  isHandled = false
  /** A reason the connection itself does not know, e.g. that the registry would not resolve the peer. */
  error: PilotError | undefined

  constructor(
    connection: Connection,
    peer: Peer,
    owner: 'application' | 'trust-inbound' | 'trust-outbound',
    isInbound: boolean,
  ) {
    this.connection = connection
    this.peer = peer
    this.key = streamKey(connection.local.port, connection.remote.port)
    this.owner = owner
    this.isInbound = isInbound
    this.isCounted = isInbound
  }
}

/** Two ports in one uint32: the key of a stream among those of one peer. */
export function streamKey(localPort: number, remotePort: number): number {
  return ((localPort << 16) | remotePort) >>> 0
}

/** What a detail tells of a stream. */
export function detailOf({ connection }: Stream): {
  readonly id: number
  readonly localPort: number
  readonly remote: SocketAddress
} {
  return { id: connection.id, localPort: connection.local.port, remote: connection.remote }
}
