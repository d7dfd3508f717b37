/** What a connection tells about itself: the stream's part of `ConnectionInfo`. */
import type { Receiver } from './receiver.ts'
import type { Sender } from './sender.ts'
import type { ConnectionTuning } from './tuning.ts'

export interface ConnectionStats {
  /** Payload bytes sent for the first time, and received in order. */
  readonly bytesSent: number
  readonly bytesReceived: number
  /** Data segments, repetitions included. */
  readonly segmentsSent: number
  readonly segmentsReceived: number
  readonly retransmits: number
  /** Retransmissions that waited for no timer. */
  readonly fastRetransmits: number
  readonly sacksReceived: number
  readonly sacksSent: number
  readonly duplicateAcks: number
}

export interface ConnectionStreamInfo {
  /** Bytes. */
  readonly cwnd: number
  /** Bytes; the largest window there is before the first loss. */
  readonly ssthresh: number
  readonly inFlight: number
  readonly srttMs: number
  readonly rttvarMs: number
  /** Segments sent and not acknowledged; segments held out of order. */
  readonly unackedSegments: number
  readonly outOfOrderSegments: number
  /** Bytes the peer, and we, have room for. */
  readonly peerWindowBytes: number
  readonly windowBytes: number
  readonly inRecovery: boolean
}

export function statsOf(
  sender: Sender,
  receiver: Receiver,
  segmentsReceived: number,
): ConnectionStats {
  return {
    bytesSent: sender.bytesSent,
    bytesReceived: receiver.bytesReceived,
    segmentsSent: sender.segmentsSent,
    segmentsReceived,
    retransmits: sender.retransmits,
    fastRetransmits: sender.fastRetransmits,
    sacksReceived: sender.sacksReceived,
    sacksSent: receiver.sacksSent,
    duplicateAcks: sender.duplicateAcks,
  }
}

export function infoOf(
  sender: Sender,
  receiver: Receiver,
  tuning: ConnectionTuning,
): ConnectionStreamInfo {
  return {
    cwnd: Math.floor(sender.cwnd),
    ssthresh: Math.floor(Math.min(sender.ssthresh, tuning.cwndMaxBytes)),
    inFlight: sender.inFlightBytes,
    srttMs: sender.rtt.srttMs,
    rttvarMs: sender.rtt.rttvarMs,
    unackedSegments: sender.inFlightSegments,
    outOfOrderSegments: receiver.heldSegments,
    peerWindowBytes: sender.peerWindowBytes,
    windowBytes: receiver.windowBytes,
    inRecovery: sender.inRecovery,
  }
}
