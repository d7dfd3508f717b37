/** Spec values first, each with its section; our own tuning second. */

/** Well-known virtual ports (spec/01 §1.3). */
export const PORT = {
  ping: 0,
  control: 1,
  echo: 7,
  names: 53,
  http: 80,
  secure: 443,
  trust: 444,
  /** Ours: negotiation of further paths between two nodes. */
  paths: 446,
  stdio: 1000,
  dataExchange: 1001,
  eventStream: 1002,
  taskSubmit: 1003,
} as const
/** Ephemeral ports (spec/01 §1.3). */
export const EPHEMERAL_PORT_MIN = 49152
export const EPHEMERAL_PORT_MAX = 65535
/** Largest UDP payload over IPv4. */
export const DATAGRAM_BYTES_MAX = 65507
/** Largest datagram payload that still passes the relay (spec/01 §8). */
export const DATAGRAM_PAYLOAD_MAX = 65_428
/** Replay window in counters (spec/01 §10). */
export const REPLAY_WINDOW = 256

// Tuning

/** Stream payload per segment: relayed and sealed it stays below the IPv6 minimum MTU (spec/01 §8). */
export const SEGMENT_BYTES = 1152
