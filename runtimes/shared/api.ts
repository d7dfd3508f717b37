/**
 * The public API, the same in every runtime: types only. `createNode` of each runtime returns a
 * `PilotNode`; the daemon, the services and the command line are built on nothing else.
 */
import type { PilotError } from '../../core/errors.ts'
import type { NodeDetail } from '../../core/index.ts'
import type { ConnectionStats, ConnectionStreamInfo } from '../../core/stream/info.ts'
import type { Address, SocketAddress } from '../../core/wire/address.ts'
import type { SocketEvent, WebRtcEvent } from './transport.ts'

/**
 * Where to dial: `SocketAddress`, or text of one of the forms `N:NNNN.HHHH.LLLL:port`,
 * `<decimal node id>:port`, `hostname:port`.
 */
export type DialTarget = SocketAddress | string

export interface CallOptions {
  /** Ends the call with `ERR_ABORTED`. */
  readonly signal?: AbortSignal
}

export interface DialOptions extends CallOptions {
  /** Whole budget, registry and key exchange included. Default 25 000 ms. */
  readonly timeoutMs?: number
  /**
   * First bytes of the stream, at most 65 536. Toward a node of ours that is known already, up to 1152 of them
   * leave with the SYN, and the answer may be there when `dial` resolves: one round trip instead of two (spec/10 §20).
   */
  readonly data?: Uint8Array
}

export interface PilotNode extends AsyncDisposable {
  readonly nodeId: number
  /** Primary address (network 0). */
  readonly address: Address
  readonly publicKey: Uint8Array
  /** `''` when none is set. */
  readonly hostname: string
  readonly isPublic: boolean

  /**
   * Opens a stream.
   *
   * @throws {PilotError} `ERR_CONNECTION_REFUSED`, `ERR_DIAL_TIMEOUT`, `ERR_DIAL_SELF`, `ERR_PEER_UNRESOLVED`,
   * `ERR_HOSTNAME_NOT_FOUND`, `ERR_REGISTRY_UNAVAILABLE`, `ERR_LIMIT`, `ERR_ABORTED`, `ERR_NODE_CLOSED`.
   */
  dial(target: DialTarget, options?: DialOptions): Promise<PilotConnection>
  /** Binds a port 1..65535. @throws {PilotError} `ERR_PORT_IN_USE`, `ERR_INVALID_ARGUMENT`. */
  listen(port: number): PilotListener
  /** Queues one datagram (1 to 65428 bytes); delivery is not promised. @throws {PilotError} `ERR_INVALID_ARGUMENT`, `ERR_LIMIT`. */
  sendDatagram(to: SocketAddress, data: Uint8Array): void
  /** Every datagram that arrives, whatever its port. Returns the function that unsubscribes. */
  onDatagram(listener: (datagram: PilotDatagram) => void): () => void
  /** Round trip through the tunnel to port 0, in ms. @throws {PilotError} `ERR_TIMEOUT` and those of `dial`. */
  ping(target: string | Address, options?: DialOptions): Promise<number>

  readonly trust: TrustApi
  readonly registry: RegistryApi

  /** Address of a hostname, decimal node id or address text, asking the registry for hostnames. */
  resolve(target: string, options?: CallOptions): Promise<Address>

  setHostname(hostname: string): Promise<RegistryReply>
  setVisibility(isPublic: boolean): Promise<RegistryReply>
  setTags(tags: readonly string[]): Promise<RegistryReply>
  setTaskExec(enabled: boolean): Promise<RegistryReply>
  /** Leaves the registry; heartbeats stop until the next start. */
  deregister(): Promise<RegistryReply>

  /**
   * This, and every other getter, tells what is so now. Where the node runs in another thread or tab (pages), it is
   * what that told last: all that an awaited call changed, and at most 250 ms old while somebody keeps looking.
   */
  info(): NodeInfo
  connections(): readonly ConnectionInfo[]
  peers(): readonly PeerInfo[]
  /** Closes the connection of this id, whoever owns it; false when there is none. */
  closeConnection(id: number): boolean
  on(listener: (event: NodeEvent) => void): () => void
  /** Streams are drained (at most `timeoutMs`, default 2000), the registry told, sockets closed. */
  close(options?: { readonly timeoutMs?: number }): Promise<void>
}

/** Something a user may want to hear about. */
export type NodeEvent =
  | SocketEvent
  | WebRtcEvent
  | NodeDetail
  | { readonly type: 'registered'; readonly address: Address }
  | { readonly type: 'registry-lost'; readonly reason: string }
  /** The beacon fell silent (no relay, no hole punching), or answers again. */
  | { readonly type: 'beacon-status'; readonly status: 'answering' | 'silent' }
  | { readonly type: 'hostname-refused'; readonly hostname: string; readonly reason: string }
  | { readonly type: 'trust-request'; readonly nodeId: number; readonly justification: string }
  | { readonly type: 'trust-established'; readonly nodeId: number; readonly mutual: boolean }
  | { readonly type: 'trust-rejected'; readonly nodeId: number; readonly reason: string }
  | { readonly type: 'trust-revoked'; readonly nodeId: number }
  | { readonly type: 'peer-keyed'; readonly nodeId: number }
  | { readonly type: 'peer-key-mismatch'; readonly nodeId: number }
  /** A trusted peer has another key, signed with the former one: trust goes on. */
  | { readonly type: 'peer-key-rotated'; readonly nodeId: number }
  | { readonly type: 'path-changed'; readonly nodeId: number; readonly path: PathKind }
  /**
   * Pages: another tab of this origin runs the node from now on, or this one does, or the one that does was lost
   * and found again. Streams and calls under way ended with `ERR_ENGINE_LOST`; listeners and subscriptions go on.
   */
  | { readonly type: 'leader-changed'; readonly isLeader: boolean }
  /** Pages: a port could not be bound after all, e.g. because another tab was faster; its iterators throw. */
  | { readonly type: 'listen-failed'; readonly port: number; readonly reason: string }

export type PathKind = 'direct' | 'relay' | 'none'

export interface PilotDatagram {
  readonly source: SocketAddress
  readonly destinationPort: number
  readonly data: Uint8Array
}

/** Inbound connections of one port. At most 64 wait; more are refused with RST. */
export interface PilotListener extends AsyncDisposable, AsyncIterable<PilotConnection> {
  readonly port: number
  /** Raw path: when set, connections go here at once and the iterator yields none. */
  onconnection: ((connection: PilotConnection) => void) | undefined
  /** Releases the port; waiting connections are reset, accepted ones live on. */
  close(): void
}

/**
 * A stream. Either use `readable`/`writable`, or the raw path (`read`, `write`, `onreadable`,
 * `onwritable`) that has no promise per chunk; the web streams take the raw path over when first touched.
 */
export interface PilotConnection extends AsyncDisposable {
  /** Unique in this node's lifetime, from 1. */
  readonly id: number
  readonly local: SocketAddress
  readonly remote: SocketAddress
  readonly state: string

  readonly readable: ReadableStream<Uint8Array>
  readonly writable: WritableStream<Uint8Array>

  /** Next bytes in order, or `undefined` when none are there now. The array is the caller's. */
  read(): Uint8Array | undefined
  /** True when the peer's end of stream is reached and everything was read. */
  readonly ended: boolean
  /** Bytes taken (copied) into the send buffer, 0 to `data.length`; after a short write wait for `onwritable`. */
  write(data: Uint8Array): number
  /** Called when bytes or the end of stream become readable after `read` gave none. */
  onreadable: (() => void) | undefined
  /** Called when there is room again after a short `write`. */
  onwritable: (() => void) | undefined
  /** Called once, when nothing more can be read or written; with the error unless both sides closed cleanly. */
  onclose: ((error: PilotError | undefined) => void) | undefined

  /** No more writes; what was written is delivered, then FIN. Reading goes on. */
  close(): void
  /** Drops everything at once and tells the peer. */
  reset(): void
  /** Settles when the connection is gone; rejects with the error that ended it. */
  readonly closed: Promise<void>
}

/** An answer of the registry, members as on the wire (spec/04), `type` included. */
export type RegistryReply = Record<string, unknown>

export interface RegistryApi {
  /** `host:port` of the registry in use. */
  readonly endpoint: string
  /** True while the last request was answered. */
  readonly isReachable: boolean
  /** Any unsigned request. @throws {PilotError} `ERR_REGISTRY`, `ERR_REGISTRY_UNAVAILABLE`. */
  request(message: Record<string, unknown>, options?: CallOptions): Promise<RegistryReply>
  /**
   * A request about networks in this node's name; `node_id` (or `inviter_id`) and the signature are added. Types:
   * `join_network`, `leave_network`, `invite_to_network`, `poll_invites`, `respond_invite`, `delete_network`,
   * `rename_network`, `promote_member`, `demote_member`, `kick_member`, `transfer_ownership`, `set_member_tags`,
   * `set_network_policy`, `set_expr_policy`; members as in spec/05 §12 to §14, `admin_token` where one is needed.
   *
   * @throws {PilotError} `ERR_INVALID_ARGUMENT`, `ERR_REGISTRY`, `ERR_REGISTRY_UNAVAILABLE`.
   */
  requestSigned(message: Record<string, unknown>, options?: CallOptions): Promise<RegistryReply>
  resolveHostname(hostname: string): Promise<RegistryReply>
  lookup(nodeId: number): Promise<RegistryReply>
}

export interface TrustedPeer {
  readonly nodeId: number
  /** Base64, `''` while unknown. */
  readonly publicKey: string
  /** Unix seconds. */
  readonly approvedAt: number
  readonly mutual: boolean
  readonly network: number
}

/** A request of ours that nobody has answered yet. */
export interface OutgoingPeer {
  readonly nodeId: number
  /** Unix seconds. */
  readonly sentAt: number
}

export interface PendingPeer {
  readonly nodeId: number
  readonly publicKey: string
  readonly justification: string
  /** Unix seconds. */
  readonly receivedAt: number
}

export interface TrustApi {
  /** Asks for trust: over the tunnel where the peer can be reached, else through the registry. */
  request(nodeId: number, justification?: string): Promise<'sent' | 'relayed' | 'already_trusted'>
  /** @throws {PilotError} `ERR_NOT_PENDING`. */
  approve(nodeId: number): Promise<void>
  /** @throws {PilotError} `ERR_NOT_PENDING`. */
  reject(nodeId: number, reason?: string): Promise<void>
  /** @throws {PilotError} `ERR_NOT_TRUSTED`. */
  revoke(nodeId: number): Promise<void>
  /** Sorted by node id. */
  pending(): readonly PendingPeer[]
  /** Sorted by node id. */
  trusted(): readonly TrustedPeer[]
  /** Sorted by node id. */
  outgoing(): readonly OutgoingPeer[]
  isTrusted(nodeId: number): boolean
  /** Resolves true once trusted, false after `timeoutMs`. */
  wait(nodeId: number, timeoutMs: number): Promise<boolean>
}

/** Totals since the start; bytes and packets are those of tunnel datagrams. */
export interface NodeInfo {
  readonly uptimeMs: number
  readonly endpoint: string
  readonly encrypt: boolean
  readonly connections: number
  readonly ports: number
  readonly peers: number
  readonly encryptedPeers: number
  readonly authenticatedPeers: number
  readonly relayPeers: number
  readonly bytesSent: number
  readonly bytesReceived: number
  readonly packetsSent: number
  readonly packetsReceived: number
  /** `none`: not configured; `waiting`: asked, and not given up yet. */
  readonly beacon: 'none' | 'waiting' | 'answering' | 'silent'
  /** Counted drops by reason, e.g. `replayed`, `forged`, `malformed`. */
  readonly drops: Readonly<Record<string, number>>
}

export interface PeerInfo {
  readonly nodeId: number
  /** `ip:port`, or `''` when only relayed. */
  readonly endpoint: string
  readonly encrypted: boolean
  readonly authenticated: boolean
  readonly path: PathKind
  /** What carries it. */
  readonly transport: 'udp' | 'websocket' | 'webrtc' | 'relay' | 'none'
  /** Why a WebRTC path or a WebSocket to the peer failed, the kind first; `''` when none did. */
  readonly directReason: string
  /** Tunnel round trip of the last probe in ms, if known. */
  readonly rttMs: number | undefined
  /** Of tunnel datagrams, since the peer was last met. What arrived counts once it is authenticated. */
  readonly bytesSent: number
  readonly bytesReceived: number
}

export interface ConnectionInfo extends ConnectionStreamInfo, ConnectionStats {
  readonly id: number
  readonly localPort: number
  readonly remoteAddress: Address
  readonly remotePort: number
  readonly state: string
}
