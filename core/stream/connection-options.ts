/** What a connection is made with, the states it has and the ways it may fail. */
import type { Instant } from '../machine.ts'
import type { SocketAddress } from '../wire/address.ts'
import type { MemoryBudget } from './memory-budget.ts'
import type { ConnectionTuning } from './tuning.ts'

/**
 * `FIN_WAIT` lasts from our FIN until both sides are done, whoever began. A closing connection stays in
 * `ESTABLISHED` or `CLOSE_WAIT` until all it wrote is acknowledged.
 */
export type ConnectionState =
  | 'SYN_SENT'
  | 'SYN_RECEIVED'
  | 'ESTABLISHED'
  | 'FIN_WAIT'
  | 'CLOSE_WAIT'
  | 'TIME_WAIT'
  | 'CLOSED'

export interface ConnectionOptions {
  readonly id: number
  /** Source of what we send. */
  readonly local: SocketAddress
  readonly remote: SocketAddress
  /** Our initial sequence number, random and below 2^31 (spec/03 §7.8). */
  readonly isn: number
  readonly now: Instant
  readonly tuning?: Partial<ConnectionTuning>
  /** What all streams of the node may hold for readers. Default: each for itself. */
  readonly memory?: MemoryBudget
  /** Payload of a segment on the present path, when that is known to carry more than every path does. */
  readonly segmentBytes?: number
  /** What is written before the SYN leaves goes with it, up to so many bytes: the peer is of our kind (spec/10 §20). Default 0. */
  readonly earlyDataMax?: number
}

/** Why a connection closed other than by both sides' consent. */
export type ConnectionFailure = 'refused' | 'reset' | 'timeout' | 'truncated'
