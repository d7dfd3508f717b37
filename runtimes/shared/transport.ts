/** What a runtime supplies to run a node: datagrams, and a byte stream to the registry. */
import type { Endpoint } from '../../core/machine.ts'

/** Datagrams. `send` may drop one; it does not throw. */
export interface DatagramSocket {
  readonly localEndpoint: Endpoint
  /** The bytes are the socket's until sent: the caller does not change them any more. */
  send(datagram: Uint8Array, to: Endpoint): void
  /** Each datagram is in memory of its own. Endpoints are interned: one object per address and port. */
  ondatagram: ((datagram: Uint8Array, from: Endpoint) => void) | undefined
  close(): Promise<void>
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
