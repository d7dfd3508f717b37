/**
 * `createNode` for workers at the edge (workerd and Cloudflare Workers, Deno Deploy, Vercel and their like): everything
 * over WebSockets of the rendezvous (spec/09). Nothing happens while the module loads, and what is opened belongs to
 * the request or the Durable Object that called.
 */
import { type Identity, PilotError, UsageError } from '../../core/index.ts'
import { type HostNodeOptions, startHostNode } from '../shared/host-node.ts'
import { type Kept, readIdentity } from '../shared/kept-state.ts'
import type { SharedPilotNode } from '../shared/pilot-node.ts'
import type { Storage } from '../shared/storage.ts'
import { edgeCrypto, tunnelCrypto } from './crypto.ts'
import { type FetcherLike, openEdgeWebSocket, webSocketsThrough } from './web-socket.ts'

const DEFAULT_IDENTITY = 'identity.json'

export interface CreateNodeOptions extends HostNodeOptions {
  /** `wss://host` of the rendezvous. There is no other way, so it must be named. */
  readonly rendezvousUrl?: string
  /**
   * Where identity and trust are kept: `DurableStorage`, `MemoryStorage`, or another. `identity` and `trustPath` are
   * names there, and the identity is kept unless it is given.
   */
  readonly storage?: Storage
  /** The rendezvous as a service binding or a Durable Object's stub: it is reached through this, not by its address. */
  readonly service?: FetcherLike
}

/**
 * Starts a node: reads or makes its identity, connects to the relay, registers.
 *
 * @throws {PilotError} `ERR_UNSUPPORTED` for what needs UDP or TCP, and where there are no WebSockets;
 * `ERR_REGISTRY_UNAVAILABLE`, `ERR_REGISTRY`, `ERR_RELAY_UNAVAILABLE`, `ERR_IDENTITY_INVALID`, `ERR_STORE_CORRUPT`,
 * `ERR_STORE_IO`, `ERR_INVALID_ARGUMENT`, `ERR_ABORTED`.
 */
export async function createNode(options: CreateNodeOptions = {}): Promise<SharedPilotNode> {
  refuseSockets(options)
  const { storage, service } = options
  if (service === undefined && typeof WebSocket !== 'function')
    throw unsupported('a node', 'WebSockets')
  const identity = options.identity ?? (storage === undefined ? undefined : DEFAULT_IDENTITY)
  return startHostNode(
    { ...options, transport: 'compat', ...(identity === undefined ? {} : { identity }) },
    {
      crypto: tunnelCrypto(),
      kept: async (path) => keptAt(path, storage),
      beside: (path, name) => path.slice(0, path.lastIndexOf('/') + 1) + name,
      bindUdp: () => Promise.reject(unsupported('transport udp', 'UDP')),
      connectRegistry: () => {
        throw unsupported('a registry by host and port', 'TCP that a node could use')
      },
      lookup: () => Promise.reject(unsupported('a beacon', 'UDP')),
      lanAddresses: () => [],
      datagramBytesTo: () => 0,
      relayWebSockets: async () =>
        service === undefined ? openEdgeWebSocket : webSocketsThrough(service),
      paths: () => (typeof WebSocket === 'function' ? { openWebSocket: openEdgeWebSocket } : {}),
    },
  )
}

/**
 * Reads the identity of that name from a storage, or makes it when it is missing. One that cannot be understood is
 * refused by name and left alone.
 *
 * @throws {PilotError} `ERR_IDENTITY_INVALID`, `ERR_STORE_IO`, `ERR_INVALID_ARGUMENT` without a storage.
 */
export async function loadIdentity(name: string, storage?: Storage): Promise<Identity> {
  return readIdentity(keptAt(name, storage), edgeCrypto)
}

/** @throws {UsageError} `ERR_INVALID_ARGUMENT`. */
function keptAt(name: string, storage: Storage | undefined): Kept {
  if (storage !== undefined) return { storage, name }
  throw new UsageError(
    'ERR_INVALID_ARGUMENT',
    `there are no files at the edge: ${JSON.stringify(name)} needs a storage, e.g. new DurableStorage(ctx.storage)`,
  )
}

/** @throws {PilotError} `ERR_UNSUPPORTED`. */
function refuseSockets(options: CreateNodeOptions): void {
  const { transport = 'compat', beacon } = options
  if (transport !== 'compat') throw unsupported(`transport ${transport}`, 'UDP')
  for (const name of ['registry', 'registryFingerprint', 'listen', 'endpoint'] as const)
    if (options[name] !== undefined) throw unsupported(name, 'UDP and TCP of that kind')
  if (beacon !== undefined && beacon !== false) throw unsupported('beacon', 'UDP')
}

function unsupported(what: string, lacking: string): PilotError {
  return new PilotError(
    'ERR_UNSUPPORTED',
    `${what} cannot be had here: this runtime has no ${lacking}. Name a rendezvousUrl and use transport compat`,
  )
}
