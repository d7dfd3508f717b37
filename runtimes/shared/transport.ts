/** What a runtime supplies to run a node: datagrams, and a byte stream to the registry. */
import type { Endpoint } from '../../core/machine.ts'

/** What becomes of the connection behind a socket that has one. */
export type SocketEvent =
  | { readonly type: 'relay-connected' }
  /** It is tried again, unless the node is closed. */
  | { readonly type: 'relay-lost'; readonly reason: string }
  /** Another process with the same identity took the connection over; it is not fought for. */
  | { readonly type: 'relay-replaced' }

/** The process that runs WebRTC died; the next path that is wanted starts another. */
export interface WebRtcEvent {
  readonly type: 'webrtc-lost'
  readonly reason: string
}

/** What else runs for a node: it is closed with it, and its news are the node's. */
export interface NodePart {
  onevent?: ((event: WebRtcEvent) => void) | undefined
  close(): Promise<void>
}

/** Datagrams. `send` may drop one; it does not throw. */
export interface DatagramSocket {
  readonly localEndpoint: Endpoint
  /** True when the bytes may be used again; else they are the socket's, and the caller does not change them any more. */
  send(datagram: Uint8Array, to: Endpoint): boolean
  /** Each datagram is in memory of its own. Endpoints are interned: one object per address and port. */
  ondatagram: ((datagram: Uint8Array, from: Endpoint) => void) | undefined
  close(): Promise<void>
  /** Datagrams of so many bytes will be sent there soon (negative: no more), for `onpressure` to count. */
  announce?(to: Endpoint, bytes: number): void
  /** What is behind an endpoint has enough to do, or room again: more would only wait there, or be dropped. */
  onpressure?: ((endpoint: Endpoint, isFull: boolean) => void) | undefined
  /** For sockets that carry one node: tells which, at every registration. Before the first nothing is sent. */
  identify?(nodeId: number): void
  onevent?: ((event: SocketEvent) => void) | undefined
  /** Datagrams dropped, by reason. */
  readonly drops?: Readonly<Record<string, number>>
}

export interface ByteStreamHandlers {
  onconnect(): void
  ondata(bytes: Uint8Array): void
  /** Called once, also when the connection never came about. */
  onclose(reason: string): void
}

export interface ByteStream {
  write(bytes: Uint8Array): void
  /** No handler is called after this. */
  close(): void
}

/** Opens connections to the one registry a node talks to. */
export interface RegistryConnector {
  /** `host:port`, for people. */
  readonly endpoint: string
  connect(handlers: ByteStreamHandlers): ByteStream
}
