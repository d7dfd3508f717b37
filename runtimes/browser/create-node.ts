/** `createNode` for a page: one WebSocket to the rendezvous, WebRTC to peers, identity in IndexedDB. */
import {
  fromUtf8,
  type NodeMachineOptions,
  PilotError,
  type Signer,
  StorageError,
  TrustStore,
  utf8,
} from '../../core/index.ts'
import type { CallOptions } from '../shared/api.ts'
import { systemClock, unixNow } from '../shared/clock.ts'
import { SharedPilotNode } from '../shared/pilot-node.ts'
import { registryWebSocket } from '../shared/registry-websocket.ts'
import { RELAY_ENDPOINT, RelaySocket } from '../shared/relay-socket.ts'
import { withWebCrypto } from '../shared/web-crypto.ts'
import { rendezvousUrls } from '../shared/web-socket.ts'
import { browserCrypto } from './crypto.ts'
import { IdentityVault } from './identity-vault.ts'
import { IndexedDbStorage, STORAGE_NAME } from './indexeddb-storage.ts'
import { claimStorage } from './single-tab.ts'

const TRUST_NAME = 'trust.json'

type MachineSettings = Pick<
  NodeMachineOptions,
  | 'hostname'
  | 'isPublic'
  | 'owner'
  | 'keepaliveMs'
  | 'synRateLimit'
  | 'maxConnections'
  | 'autoApprove'
>

export interface CreateNodeOptions extends MachineSettings, CallOptions {
  /** `wss://host` of the rendezvous, or `ws://host:port`. */
  readonly rendezvous: string
  /** Default: the one of this origin in IndexedDB, made on the first visit. */
  readonly identity?: Signer
  /**
   * Under which the identity of this origin can be exported. It matters only on the first visit, when that is made:
   * without one the browser holds the key and gives it to nobody.
   */
  readonly recoveryPassphrase?: string
  /** IndexedDB database. Default `pilot`. */
  readonly storageName?: string
  /** STUN and TURN for WebRTC. Default none: paths on one network, or through the relay. */
  readonly iceServers?: readonly RTCIceServer[]
  /** False: the relay only, so that no peer learns an address of this machine. Default true. */
  readonly directPaths?: boolean
  /** Default 10 000. */
  readonly registrationTimeoutMs?: number
}

/**
 * Joins the overlay from a page. The browser is asked to keep the storage (`navigator.storage.persist`).
 *
 * @throws {PilotError} `ERR_REGISTRY_UNAVAILABLE`, `ERR_RELAY_UNAVAILABLE`, `ERR_REGISTRY`, `ERR_ADDRESS_IN_USE` while
 * another tab runs the node of this storage, `ERR_IDENTITY_INVALID`, `ERR_STORE_CORRUPT`, `ERR_STORE_IO`,
 * `ERR_INVALID_ARGUMENT`, `ERR_ABORTED`.
 */
export async function createNode(options: CreateNodeOptions): Promise<SharedPilotNode> {
  const urls = rendezvousUrls(options.rendezvous)
  const release = await claimStorage(options.storageName ?? STORAGE_NAME)
  try {
    const node = await join(options, urls)
    void node.closed.then(release)
    return node
  } catch (error) {
    release()
    throw error
  }
}

async function join(
  options: CreateNodeOptions,
  urls: ReturnType<typeof rendezvousUrls>,
): Promise<SharedPilotNode> {
  const storage = await IndexedDbStorage.open(options.storageName)
  void navigator.storage?.persist?.()
  const { recoveryPassphrase } = options
  const identity =
    options.identity ?? (await new IdentityVault(storage).load(defined({ recoveryPassphrase })))
  const trustStore = await loadTrust(storage)
  const socket = new RelaySocket({ url: urls.relay, identity, clock: systemClock })
  const { hostname, isPublic, owner, keepaliveMs, synRateLimit, maxConnections, autoApprove } =
    options
  const machine: Omit<NodeMachineOptions, 'now'> = {
    ...defined({
      hostname,
      isPublic,
      owner,
      keepaliveMs,
      synRateLimit,
      maxConnections,
      autoApprove,
    }),
    crypto: withWebCrypto(browserCrypto),
    identity,
    trustStore,
    unixNow,
    localEndpoint: socket.localEndpoint,
    beacon: RELAY_ENDPOINT,
    relayOnly: true,
  }
  const node = await SharedPilotNode.start(
    {
      machine,
      socket,
      registry: registryWebSocket({ url: urls.registry }),
      clock: systemClock,
      saveTrust: (text) => storage.write(TRUST_NAME, utf8(text)),
      ...(options.directPaths === false ? {} : { createPeerConnection: connectionMaker(options) }),
      ...defined({ registrationTimeoutMs: options.registrationTimeoutMs }),
    },
    options,
  )
  watchNetwork(node)
  return node
}

/** Exports, and replaces by an exported one, the identity of this origin. */
export async function openIdentityVault(storageName?: string): Promise<IdentityVault> {
  return new IdentityVault(await IndexedDbStorage.open(storageName))
}

function connectionMaker({ iceServers = [] }: CreateNodeOptions): () => RTCPeerConnection {
  return () => new RTCPeerConnection({ iceServers: [...iceServers] })
}

/** A page that wakes, or whose network changes, proves its paths again at once. */
function watchNetwork(node: SharedPilotNode): void {
  const stop = new AbortController()
  const changed = (): void => node.handleNetworkChange()
  const { signal } = stop
  addEventListener('online', changed, { signal })
  addEventListener('pageshow', changed, { signal })
  document.addEventListener('resume', changed, { signal })
  void node.closed.then(() => stop.abort())
}

async function loadTrust(storage: IndexedDbStorage): Promise<TrustStore> {
  const bytes = await storage.read(TRUST_NAME)
  if (bytes === undefined) return new TrustStore()
  try {
    return TrustStore.parse(fromUtf8(bytes) ?? '')
  } catch (error) {
    if (!(error instanceof PilotError)) throw error
    const where = storage.locate(TRUST_NAME)
    throw new StorageError('ERR_STORE_CORRUPT', `${where}: ${error.message}`, { cause: error })
  }
}

/** Without the members that are `undefined`. */
function defined<T extends object>(values: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  const entries = Object.entries(values).filter(([, value]) => value !== undefined)
  return Object.fromEntries(entries) as { [K in keyof T]?: Exclude<T[K], undefined> }
}
