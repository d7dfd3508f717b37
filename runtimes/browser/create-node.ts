/** `createNode` for a page: the node of its origin, run in a worker by one of the origin's tabs. */
import { toBase64 } from '../../core/bytes.ts'
import { PilotError } from '../../core/errors.ts'
import type { Signer } from '../../core/identity/signer.ts'
import type { CallOptions, PilotNode } from '../shared/api.ts'
import { rendezvousUrls } from '../shared/web-socket.ts'
import type { StartEngine } from './engine-handle.ts'
import { IdentityVault } from './identity-vault.ts'
import { IndexedDbStorage } from './indexeddb-storage.ts'
import { watchPage } from './page-events.ts'
import { type MachineSettings, plainSettings } from './settings.ts'
import { TabNode } from './tabs/tab-node.ts'
import { workerEngine } from './worker-engine.ts'

const REGISTRATION_TIMEOUT_MS = 10_000
/** Beyond what the leading tab takes to register. */
const JOIN_GRACE_MS = 10_000

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
  /** IndexedDB database. Tabs of one origin share one node per name. Default `pilot`. */
  readonly storageName?: string
  /** STUN and TURN for WebRTC. Default none: paths on one network, or through the relay. */
  readonly iceServers?: readonly RTCIceServer[]
  /** False: the relay only, so that no peer learns an address of this machine. Default true. */
  readonly directPaths?: boolean
  /** Default 10 000. */
  readonly registrationTimeoutMs?: number
  /**
   * Where the script of the worker is, `pilot-ts/browser/worker` bundled. Default: `worker.js` beside this
   * module, which bundlers that know `new Worker(new URL(...))` take along.
   */
  readonly workerUrl?: string | URL
  /** False: the node runs on the page's thread, for pages that may not start workers. Default true. */
  readonly worker?: boolean
}

/** A node of a page, which other tabs of the origin may share. */
export interface PageNode extends PilotNode {
  /** This tab runs the node; see the event `leader-changed`. */
  readonly isLeader: boolean
  /** Settles when this tab has let go of the node. */
  readonly closed: Promise<void>
}

/**
 * Joins the overlay from a page. The browser is asked to keep the storage (`navigator.storage.persist`).
 *
 * All tabs of an origin with the same `storageName` use one node: the first runs it, with its options; one that
 * asks for others is refused, one that leaves an option out takes what it is. `close` lets go of it in this tab.
 *
 * @throws {PilotError} `ERR_REGISTRY_UNAVAILABLE`, `ERR_RELAY_UNAVAILABLE`, `ERR_REGISTRY`, `ERR_OPTIONS_DIFFER`,
 * `ERR_WORKER_UNAVAILABLE`, `ERR_CONTEXT_INSECURE`, `ERR_ENGINE_VERSION`, `ERR_LIMIT` beyond 64 tabs,
 * `ERR_ENGINE_LOST` when the tab that runs the node does not get ready, `ERR_IDENTITY_INVALID`,
 * `ERR_STORE_CORRUPT`, `ERR_STORE_IO`, `ERR_INVALID_ARGUMENT`, `ERR_ABORTED`.
 */
export async function createNode(options: CreateNodeOptions): Promise<PageNode> {
  rendezvousUrls(options.rendezvous) // refuses what is none, whoever leads
  if (globalThis.crypto?.subtle === undefined || navigator.locks === undefined)
    throw new PilotError(
      'ERR_CONTEXT_INSECURE',
      `browsers give keys and locks to pages on https and localhost only, and this one is on ${location.origin}`,
    )
  const { identity, storageName, registrationTimeoutMs = REGISTRATION_TIMEOUT_MS } = options
  void navigator.storage?.persist?.()
  const settings = plainSettings({
    ...(options as Omit<CreateNodeOptions, 'iceServers'>),
    ...(options.iceServers === undefined ? {} : { iceServers: plainServers(options.iceServers) }),
    ...(identity === undefined ? {} : { publicKey: toBase64(identity.publicKey) }),
  })
  const node = await TabNode.join(
    {
      storageName,
      settings,
      identity,
      recoveryPassphrase: options.recoveryPassphrase,
      startEngine: options.worker === false ? startPageEngine : workerEngine(options.workerUrl),
      joinTimeoutMs: 2 * registrationTimeoutMs + JOIN_GRACE_MS,
    },
    options,
  )
  const stop = watchPage({
    onwake: (reason) => node.wake(reason),
    onsleep: () => node.sleep(),
  })
  void node.closed.then(stop)
  return node
}

const startPageEngine: StartEngine = async (options) => {
  const { startPageEngine } = await import('./page-engine.ts')
  return startPageEngine(options)
}

/** Exports, and replaces by an exported one, the identity of this origin. */
export async function openIdentityVault(storageName?: string): Promise<IdentityVault> {
  return new IdentityVault(await IndexedDbStorage.open(storageName))
}

function plainServers(
  servers: readonly RTCIceServer[],
): readonly { urls: string | readonly string[]; username?: string; credential?: string }[] {
  return servers.map(({ urls, username, credential }) => ({
    urls,
    ...(username === undefined ? {} : { username }),
    ...(credential === undefined ? {} : { credential }),
  }))
}
