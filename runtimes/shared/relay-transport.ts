/** Everything a node needs to live on WebSockets alone (spec/09): socket, registry, and what its machine is told. */
import type { Identity, NodeMachineOptions } from '../../core/index.ts'
import type { Clock } from './clock.ts'
import { registryWebSocket } from './registry-websocket.ts'
import { RELAY_ENDPOINT, RelaySocket } from './relay-socket.ts'
import type { RegistryConnector } from './transport.ts'
import { type OpenWebSocket, rendezvousUrls } from './web-socket.ts'

export interface RelayTransportOptions {
  /** URL of the rendezvous, e.g. `wss://example.org`. */
  readonly url: string
  readonly identity: Identity
  readonly clock: Clock
  /** Default: the global `WebSocket`. */
  readonly openWebSocket?: OpenWebSocket
}

export interface RelayTransport {
  readonly socket: RelaySocket
  readonly registry: RegistryConnector
  readonly machine: Pick<NodeMachineOptions, 'beacon' | 'localEndpoint' | 'relayOnly'>
}

/** @throws {UsageError} `ERR_INVALID_ARGUMENT` for a URL that is none of a rendezvous. */
export function relayTransport({ url, ...options }: RelayTransportOptions): RelayTransport {
  const { relay, registry } = rendezvousUrls(url)
  const socket = new RelaySocket({ ...options, url: relay })
  return {
    socket,
    registry: registryWebSocket({ ...options, url: registry }),
    machine: {
      beacon: RELAY_ENDPOINT,
      localEndpoint: socket.localEndpoint,
      relayOnly: true,
    },
  }
}
