/**
 * `createNode` for Deno: UDP with `--unstable-net`, else WebSockets; identity and trust in files or in Deno.Kv.
 *
 * Deno speaks Node's sockets, DNS and cryptography; where they are as good as its own (the registry's TCP and pinned
 * TLS, which Deno's own TLS cannot pin; AES-GCM without a promise) those of Node's folder are used as they are.
 */
import { lookup } from 'node:dns/promises'
import { basename, dirname } from 'node:path'
import type { Identity } from '../../core/index.ts'
import { nodeCrypto } from '../node/crypto.ts'
import { registryConnector } from '../node/registry-socket.ts'
import {
  type HostNodeOptions,
  startHostNode,
  type Transport,
  udpPlaces,
} from '../shared/host-node.ts'
import { type Kept, readIdentity } from '../shared/kept-state.ts'
import type { SharedPilotNode } from '../shared/pilot-node.ts'
import type { Storage } from '../shared/storage.ts'
import { openWebSocket, rendezvousUrls } from '../shared/web-socket.ts'

import { FileStorage } from './file-storage.ts'
import { missing, requireNet } from './permission.ts'
import { denoDatagramBytesTo, denoLanAddresses } from './routes.ts'
import { UdpSocket } from './udp-socket.ts'

const DEFAULT_IDENTITY = 'identity.json'

export interface CreateNodeOptions extends HostNodeOptions {
  /** Default: `udp` with `--unstable-net`, else `compat` where there is a `rendezvousUrl`. */
  readonly transport?: Transport
  /**
   * Where identity and trust are kept instead of files: `identity` and `trustPath` are names there, and the identity
   * is kept unless it is given. See `KvStorage`.
   */
  readonly storage?: Storage
}

/**
 * Starts a node: reads or makes its identity, binds UDP or connects to the relay, registers.
 *
 * @throws {PilotError} `ERR_PERMISSION`, naming the flag that is missing; `ERR_REGISTRY_UNAVAILABLE`,
 * `ERR_REGISTRY`, `ERR_RELAY_UNAVAILABLE`, `ERR_IDENTITY_INVALID`, `ERR_STORE_CORRUPT`, `ERR_STORE_IO`,
 * `ERR_ADDRESS_IN_USE`, `ERR_INVALID_ARGUMENT`, `ERR_ABORTED`.
 */
export async function createNode(options: CreateNodeOptions = {}): Promise<SharedPilotNode> {
  const { storage } = options
  const transport = options.transport ?? defaultTransport(options)
  await requirePlaces({ ...options, transport })
  const identity = options.identity ?? (storage === undefined ? undefined : DEFAULT_IDENTITY)
  return startHostNode(
    { ...options, transport, ...(identity === undefined ? {} : { identity }) },
    {
      crypto: nodeCrypto,
      kept: async (path) => keptAt(path, storage),
      beside: (path, name) => (storage === undefined ? `${dirname(path)}/${name}` : name),
      bindUdp: (listen) => UdpSocket.bind(listen),
      connectRegistry: registryConnector,
      lookup: async (host) => (await lookup(host, { family: 0 })).address,
      lanAddresses: denoLanAddresses,
      datagramBytesTo: denoDatagramBytesTo,
      relayWebSockets: async () => openWebSocket,
      paths: () => ({ openWebSocket }),
    },
  )
}

/**
 * Reads `identity.json`, or makes it (mode 0600) when it is missing. A file that cannot be understood is refused by
 * name and left alone.
 *
 * @throws {PilotError} `ERR_IDENTITY_INVALID`, `ERR_STORE_IO`, `ERR_PERMISSION`.
 */
export function loadIdentity(path: string): Promise<Identity> {
  return readIdentity(keptAt(path, undefined), nodeCrypto)
}

function keptAt(path: string, storage: Storage | undefined): Kept {
  if (storage !== undefined) return { storage, name: path }
  return { storage: new FileStorage(dirname(path)), name: basename(path) }
}

/** @throws {PilotError} `ERR_PERMISSION` when there is no UDP, and no WebSocket is named instead. */
function defaultTransport({ rendezvousUrl }: CreateNodeOptions): 'udp' | 'compat' {
  if (typeof Deno.listenDatagram === 'function') return 'udp'
  if (rendezvousUrl !== undefined) return 'compat'
  throw missing('UDP (or a rendezvousUrl, to go without)', '--unstable-net')
}

/** What can be known to be missing before anything is made. */
async function requirePlaces(options: CreateNodeOptions): Promise<void> {
  const { transport, rendezvousUrl } = options
  if (transport !== 'udp' && rendezvousUrl !== undefined) {
    const { host, hostname, protocol } = new URL(rendezvousUrls(rendezvousUrl).relay)
    const port = protocol === 'wss:' ? 443 : 80
    await requireNet(host === hostname ? `${hostname}:${port}` : host, 'the rendezvous')
  }
  if (transport === 'compat') return
  const { registry, beacon } = udpPlaces(options)
  for (const [what, place] of Object.entries({ registry, beacon })) {
    if (place === undefined) continue
    const host = place.host.includes(':') ? `[${place.host}]` : place.host
    await requireNet(`${host}:${place.port}`, `the ${what}`)
  }
}
