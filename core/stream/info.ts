/** What a connection tells about itself: the stream's part of `ConnectionInfo`. */

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
