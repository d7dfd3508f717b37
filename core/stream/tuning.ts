/** Every number a stream is tuned by, with its default. Times in ms, sizes in bytes. */
import { SEGMENT_BYTES } from '../constants.ts'
import { Adaptive } from './adaptive.ts'
import type { CongestionController, CongestionOptions } from './congestion.ts'

export interface ConnectionTuning {
  /** Largest payload we put into one segment. Larger ones of the peer are accepted. */
  readonly segmentBytes: number
  /** Written and not yet acknowledged. A write takes what fits. */
  readonly sendBufferBytes: number
  /** Where the congestion window asks for more, twice that, up to this. */
  readonly sendBufferMaxBytes: number
  /** Received and not yet read, as advertised: one slot of the window stands for 4096 bytes. */
  readonly receiveBufferBytes: number
  /** Where twice what is read in a round trip is more, that, up to this. */
  readonly receiveBufferMaxBytes: number
  /** Room beyond the advertised window for peers that ignore it (spec/03 §4); past it bytes are dropped unacknowledged. */
  readonly receiveReserveBytes: number
  /** Pieces held out of order; more are dropped. */
  readonly outOfOrderPiecesMax: number

  /** Hold a segment that is not full while anything is unacknowledged, at most `nagleMs` (spec/03 §4.2). */
  readonly nagle: boolean
  readonly nagleMs: number

  /** A pure ACK follows this many segments of a reference, or `shortAckDelayMs` after the first (spec/03 §4.1). */
  readonly ackEverySegments: number
  /** The same toward our own kind, which counts bytes and not ACKs (compare RFC 9000 §13.2.2). */
  readonly stretchAckSegments: number
  /** Reached when megabytes came without a gap. */
  readonly stretchAckSegmentsMax: number
  readonly stretchAckDelayMs: number
  /**
   * Or after so many bytes, where segments are large: the first figure while a connection is young and its window
   * small, later a sixteenth of what has come, up to the second.
   */
  readonly stretchAckBytes: number
  readonly stretchAckBytesMax: number
  /**
   * ACK delay after a segment no sender would cut that short in the middle of a write (below 1024
   * bytes), and after any of a reference's: long enough for a reply to carry the ACK, short enough to end a Nagle sender's wait.
   */
  readonly shortAckDelayMs: number
  /** ACK delay toward G1/G2 while the application does not read and the window is at its minimum. */
  readonly stalledAckDelayMs: number

  /** RFC 6298, with the reference's bounds (spec/03 §4.3). */
  readonly rtoInitialMs: number
  readonly rtoMinMs: number
  readonly rtoMaxMs: number
  /** A segment sent this often without ACK ends the connection with RST. */
  readonly transmissionsMax: number
  /** Added to two round trips before the tail loss probe (RFC 8985 §7): the peer's delayed ACK and a margin. */
  readonly probeSlackMs: number

  /** Builds the congestion controller. */
  readonly congestion: (options: CongestionOptions) => CongestionController
  /** RFC 6928. */
  readonly initialWindowSegments: number
  readonly cwndMaxBytes: number
  /** What may be in flight where round trips are below 2 ms: more would wait in sockets. */
  readonly fastFlightBytesMax: number
  /** The same where segments are small and round trips below 2 ms: more of them would wait in queues, not travel. */
  readonly smallFlightBytesMax: number
  /** Segments that may leave within one `burstIntervalMs`; fewer toward a peer not known to be modern (spec/03 §8). */
  readonly burstSegments: number
  /** The same where round trips are below 2 ms: on one machine, or in a fast local network. */
  readonly fastBurstSegments: number
  readonly legacyBurstSegments: number
  readonly burstIntervalMs: number
  /** Segments outstanding toward G1/G2, which hold at most 128 out of order (spec/03 §4). */
  readonly legacyOutstandingMax: number
  /** Segments outstanding toward anyone. */
  readonly outstandingMax: number

  /** SYN at 0, then after this interval doubling up to the maximum, until the dial times out. */
  readonly synIntervalMs: number
  readonly synIntervalMaxMs: number
  readonly dialTimeoutMs: number
  /** A half-open connection whose SYN was repeated is dropped this long after the last SYN (spec/03 §2.2). */
  readonly synReceivedMs: number
  /** A half-open connection whose SYN came once is taken as established after this time: its third packet was lost. */
  readonly thirdPacketMs: number

  /** An empty ACK after this long without sending (spec/03 §4.6). */
  readonly keepaliveMs: number
  /** Reset after this long without receiving anything; 0 for never. */
  readonly idleTimeoutMs: number
  /** One small segment into a closed window, backing off (spec/03 §7.13). */
  readonly persistMs: number
  readonly persistMaxMs: number
  /** Silence after which a peer with a closed window is given up. */
  readonly persistGiveUpMs: number

  /** Silence after which bytes a reference will not take any more, since it sent FIN, are given up (spec/03 §3). */
  readonly lingerMs: number
  /** FIN is sent at most this often. */
  readonly finTransmissionsMax: number
  /** After a FIN, how long bytes before it may still arrive. */
  readonly truncationMs: number
  /** After our FIN, how long the peer may send nothing before it is reset. */
  readonly finWaitMs: number
  readonly timeWaitMs: number
}

// By a call that bundlers may leave out: the controllers go with it where nothing opens a stream.
export const DEFAULT_TUNING: ConnectionTuning = /* @__PURE__ */ (() => ({
  segmentBytes: SEGMENT_BYTES,
  sendBufferBytes: 4 << 20,
  sendBufferMaxBytes: 16 << 20,
  receiveBufferBytes: 4 << 20,
  receiveBufferMaxBytes: 16 << 20,
  receiveReserveBytes: 1 << 20,
  outOfOrderPiecesMax: 16_384,
  nagle: false,
  nagleMs: 40,
  ackEverySegments: 2,
  stretchAckSegments: 8,
  stretchAckSegmentsMax: 32,
  stretchAckDelayMs: 5,
  stretchAckBytes: 65_536,
  stretchAckBytesMax: 262_144,
  shortAckDelayMs: 2,
  stalledAckDelayMs: 150,
  rtoInitialMs: 1000,
  rtoMinMs: 200,
  rtoMaxMs: 10_000,
  transmissionsMax: 10,
  probeSlackMs: 50,
  congestion: (options) => new Adaptive(options),
  initialWindowSegments: 10,
  cwndMaxBytes: 16 << 20,
  fastFlightBytesMax: 4 << 20,
  smallFlightBytesMax: 1 << 20,
  burstSegments: 64,
  fastBurstSegments: 512,
  legacyBurstSegments: 20,
  burstIntervalMs: 1,
  legacyOutstandingMax: 128,
  outstandingMax: 16_384,
  synIntervalMs: 250,
  synIntervalMaxMs: 4000,
  dialTimeoutMs: 25_000,
  synReceivedMs: 10_000,
  thirdPacketMs: 1500,
  keepaliveMs: 45_000,
  idleTimeoutMs: 0,
  persistMs: 300,
  persistMaxMs: 5000,
  persistGiveUpMs: 120_000,
  lingerMs: 10_000,
  finTransmissionsMax: 5,
  truncationMs: 2500,
  finWaitMs: 60_000,
  timeWaitMs: 10_000,
}))()

/** A node's connections are all tuned alike, by one object. */
const complete = new WeakMap<Partial<ConnectionTuning>, ConnectionTuning>()

/** Buffers whose size is given are of that size, unless a maximum is given too. `some` must not change afterwards. */
export function tuningOf(some?: Partial<ConnectionTuning>): ConnectionTuning {
  if (some === undefined) return DEFAULT_TUNING
  let tuning = complete.get(some)
  if (tuning === undefined) {
    tuning = completed(some)
    complete.set(some, tuning)
  }
  return tuning
}

function completed(some: Partial<ConnectionTuning>): ConnectionTuning {
  const { sendBufferBytes, receiveBufferBytes } = some
  return {
    ...DEFAULT_TUNING,
    ...(sendBufferBytes === undefined ? {} : { sendBufferMaxBytes: sendBufferBytes }),
    ...(receiveBufferBytes === undefined ? {} : { receiveBufferMaxBytes: receiveBufferBytes }),
    ...some,
  }
}

/** Bytes one slot of an advertised window stands for (spec/03 §8). */
export const WINDOW_SLOT_BYTES = 4096
/** The references never advertise more slots than this: a larger window marks a peer that counts as we do. */
export const LEGACY_WINDOW_SLOTS = 512
