/**
 * Everything this package throws, and the list of its codes. A class says who is at fault; a `code`
 * is API: listed here with one sentence each, never reused. Messages state expected and got.
 */

/** Every code with its meaning. `docs`, the CLI's hints and the tests read this table. */
export const ERROR_CODES = {
  ERR_WIRE_TRUNCATED: 'Fewer bytes than the layout needs.',
  ERR_WIRE_TYPE: 'The leading type, magic or version is not the one expected.',
  ERR_WIRE_LENGTH: 'A length field contradicts the bytes that are there, or exceeds its limit.',
  ERR_WIRE_CHECKSUM: 'The CRC-32 of a packet does not match its bytes.',
  ERR_WIRE_VALUE: 'A field holds a value the protocol does not allow.',
  ERR_INVALID_ARGUMENT: 'The caller passed a value outside its documented range.',
  ERR_ADDRESS_SYNTAX: 'Text is not an address of the form N:NNNN.HHHH.LLLL.',
  ERR_IDENTITY_NOT_EXPORTABLE:
    'The private key is held where nobody can read it, and no copy was made when it was.',
  ERR_IDENTITY_INVALID: 'An identity file or key does not hold a matching Ed25519 key pair.',
  ERR_STORE_CORRUPT: 'A file holds something other than what this program wrote; it is left alone.',
  ERR_STORE_IO: 'A file or directory could not be read or written.',
  ERR_CRYPTO: 'A key agreement or signature input was rejected.',
  ERR_CONNECTION_REFUSED: 'The peer answered the dial with RST: nothing listens on that port.',
  ERR_CONNECTION_RESET: 'The peer reset the connection, or it was lost beyond recovery.',
  ERR_CONNECTION_CLOSED: 'The connection is closed; nothing more can be read or written.',
  ERR_CONNECTION_TRUNCATED: 'The peer closed, but bytes before its end of stream never arrived.',
  ERR_DIAL_TIMEOUT: 'No answer to the dial on any path in time.',
  ERR_DIAL_SELF: 'A node cannot dial its own address.',
  ERR_PEER_UNRESOLVED: 'The registry did not give an endpoint for this node (private or unknown).',
  ERR_PEER_KEY_MISMATCH: 'The peer presented a key other than the one pinned or registered.',
  ERR_HOSTNAME_NOT_FOUND: 'The registry knows no node of this hostname.',
  ERR_NOT_TRUSTED: 'The operation needs mutual trust with this node first.',
  ERR_NOT_PENDING: 'No trust request of this node is waiting for a decision.',
  ERR_PORT_IN_USE: 'Another listener holds this virtual port.',
  ERR_LIMIT: 'A documented limit (connections, queue, frame size) is reached.',
  ERR_REGISTRY: 'The registry refused the request.',
  ERR_REGISTRY_UNAVAILABLE: 'The registry could not be reached.',
  ERR_RELAY_UNAVAILABLE: 'The relay could not be reached, or did not take this node.',
  ERR_PATH: 'A direct path to a peer could not be made, or was lost; the relay goes on.',
  ERR_TIMEOUT: 'No answer in time.',
  ERR_OWN_FILE: 'A part of this package that is started by its place is not there.',
  ERR_PERMISSION:
    'The runtime was started without a permission or flag that is needed; the message names it.',
  ERR_UNSUPPORTED: 'The runtime lacks what this needs; the message names it.',
  ERR_ABORTED: 'The caller cancelled the operation.',
  ERR_NODE_CLOSED: 'The node is closed.',
  ERR_ENGINE_LOST:
    'The tab or worker that ran the node is gone; what it carried is lost, and another may take over.',
  ERR_ENGINE_VERSION: 'The tab or worker that runs the node has another version of this program.',
  ERR_CONTEXT_INSECURE:
    'The page has neither keys nor locks: it is not on https or localhost, or the browser is too old.',
  ERR_WORKER_UNAVAILABLE: 'The worker that runs the node of a page did not load.',
  ERR_OPTIONS_DIFFER: 'Another tab runs the node of this origin with other options.',
  ERR_DAEMON_UNAVAILABLE: 'No daemon answers on the socket.',
  ERR_DAEMON_REFUSED: 'The daemon answered a request with an error.',
  ERR_ADDRESS_IN_USE: 'Another program holds the address or socket to listen on.',
  ERR_NAMESERVER: 'The nameserver refused the request.',
  ERR_SECURE_CHANNEL:
    'A secure channel could not be made, or a frame of it is forged, repeated or of another version.',
  ERR_SECURE_AUTH: 'The peer of a secure channel did not prove its identity.',
  ERR_GATEWAY: 'The gateway could not make a local address, or not listen there.',
  ERR_NOT_MAPPED: 'No node has this local address.',
  ERR_TASK_NOT_FOUND: 'There is no task of this id.',
  ERR_TASK_STATE: 'The task is past the step that was asked for.',
  ERR_TASK_EXPIRED: 'The task was not answered within a minute.',
  ERR_TRANSFER_FAILED: 'A file transfer ended without a verified copy at the receiver.',
} as const

export type PilotErrorCode = keyof typeof ERROR_CODES

/** Base of everything this package throws. Branch on `code`; `message` is for people. */
export class PilotError extends Error {
  override readonly name: string = 'PilotError'
  readonly code: PilotErrorCode
  constructor(code: PilotErrorCode, message: string, options?: ErrorOptions) {
    super(message, options)
    this.code = code
  }
}

/** Bytes from the network do not follow the wire spec. */
export class WireError extends PilotError {
  override readonly name = 'WireError'
}

/** The caller used an API outside its contract. */
export class UsageError extends PilotError {
  override readonly name = 'UsageError'
}

/** The network, a peer or the registry did not do what was asked. */
export class NetworkError extends PilotError {
  override readonly name = 'NetworkError'
}

/** Keys, identity or trust do not hold. */
export class SecurityError extends PilotError {
  override readonly name = 'SecurityError'
}

/** Something on disk cannot be read, written or believed. */
export class StorageError extends PilotError {
  override readonly name = 'StorageError'
}
