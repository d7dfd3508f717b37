/**
 * `createNode` for Bun: UDP by `Bun.udpSocket`, WebSockets by Bun's own, identity and trust in files.
 *
 * Bun makes Node's files, sockets and cryptography natively (AES-GCM of `node:crypto` takes 2 µs per KiB, the one in
 * JavaScript 200): those of Node's folder are used as they are.
 */
import { lookup } from 'node:dns/promises'
import { basename, dirname, join } from 'node:path'
import type { Identity } from '../../core/index.ts'
import { nodeCrypto } from '../node/crypto.ts'
import { FileStorage } from '../node/file-storage.ts'
import { lanAddresses } from '../node/lan-addresses.ts'
import { registryConnector } from '../node/registry-socket.ts'
import { datagramBytesTo } from '../node/route-mtu.ts'
import { type HostNodeOptions, startHostNode } from '../shared/host-node.ts'
import { type Kept, readIdentity } from '../shared/kept-state.ts'
import type { SharedPilotNode } from '../shared/pilot-node.ts'
import type { OpenWebSocket, WebSocketLike } from '../shared/web-socket.ts'
import { UdpSocket } from './udp-socket.ts'

export interface CreateNodeOptions extends HostNodeOptions {
  /** PEM of the authorities to trust for `wss://` instead of Bun's, e.g. a company's own. */
  readonly rendezvousCa?: string
}

/**
 * Starts a node: reads or makes its identity, binds UDP or connects to the relay, registers.
 *
 * @throws {PilotError} `ERR_REGISTRY_UNAVAILABLE`, `ERR_REGISTRY`, `ERR_RELAY_UNAVAILABLE`,
 * `ERR_IDENTITY_INVALID`, `ERR_STORE_CORRUPT`, `ERR_STORE_IO`, `ERR_ADDRESS_IN_USE`, `ERR_INVALID_ARGUMENT`,
 * `ERR_ABORTED`.
 */
export function createNode(options: CreateNodeOptions = {}): Promise<SharedPilotNode> {
  const openWebSocket = bunWebSockets(options)
  return startHostNode(options, {
    crypto: nodeCrypto,
    kept: async (path) => keptAt(path),
    beside: (path, name) => join(dirname(path), name),
    bindUdp: (listen) => UdpSocket.bind(listen),
    connectRegistry: registryConnector,
    lookup: async (host) => (await lookup(host, { family: 0 })).address,
    lanAddresses,
    datagramBytesTo,
    relayWebSockets: async () => openWebSocket,
    paths: () => ({ openWebSocket }),
  })
}

/**
 * Reads `identity.json`, or makes it (mode 0600) when it is missing. A file that cannot be understood is refused by
 * name and left alone.
 *
 * @throws {PilotError} `ERR_IDENTITY_INVALID`, `ERR_STORE_IO`.
 */
export function loadIdentity(path: string): Promise<Identity> {
  return readIdentity(keptAt(path), nodeCrypto)
}

function keptAt(path: string): Kept {
  return { storage: new FileStorage(dirname(path)), name: basename(path) }
}

function bunWebSockets({ rendezvousCa: ca }: CreateNodeOptions): OpenWebSocket {
  const tls = ca === undefined ? {} : { tls: { ca } }
  return (url, protocol) =>
    new WebSocket(url, { protocols: [protocol], ...tls }) as unknown as WebSocketLike
}
