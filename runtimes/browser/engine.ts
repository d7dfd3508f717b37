/** The node itself, on whatever thread: relay and registry over one WebSocket each, everything kept in IndexedDB. */
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
import { NodeHost } from '../shared/remote/node-host.ts'
import type { MakePeerConnection } from '../shared/rtc/peer-connection.ts'
import type { RegistryConnector } from '../shared/transport.ts'
import { withWebCrypto } from '../shared/web-crypto.ts'
import { rendezvousUrls } from '../shared/web-socket.ts'
import { browserCrypto } from './crypto.ts'
import { IdentityVault } from './identity-vault.ts'
import { IndexedDbStorage } from './indexeddb-storage.ts'
import { defined, type EngineSettings, type Profile } from './settings.ts'
import { TabServer } from './tabs/tab-server.ts'
import { WakeWatch } from './wake-watch.ts'

const TRUST_NAME = 'trust.json'
/** Users of other tabs are told, and their streams reset, before another engine takes over. */
const HANDOVER_MS = 200

/** `network`: whatever was connected probably is no more. `visible`: somebody looks; is all well? */
export type WakeReason = 'network' | 'visible'

export interface EngineOptions extends CallOptions {
  /** Named among the engines that this origin has had. */
  readonly id: string
  readonly settings: EngineSettings
  readonly profile: Profile
  readonly storageName: string | undefined
  /** When it is not the origin's own. */
  readonly identity: Signer | undefined
  readonly recoveryPassphrase: string | undefined
  readonly createPeerConnection: MakePeerConnection | undefined
  /** How late a timer may be before it means that the machine slept. */
  readonly timerToleranceMs: number
  /** So many other tabs use the node. */
  readonly ontabs: (count: number) => void
}

export interface StopOptions {
  readonly timeoutMs?: number
  /** True: another tab takes the node over; it stays registered. */
  readonly isHandover: boolean
}

export class Engine {
  readonly #node: SharedPilotNode
  readonly #host: NodeHost
  readonly #socket: RelaySocket
  readonly #registry: RenewableRegistry
  readonly #storage: IndexedDbStorage
  readonly #tabs: TabServer
  readonly #watch: WakeWatch

  private constructor(
    node: SharedPilotNode,
    socket: RelaySocket,
    registry: RenewableRegistry,
    storage: IndexedDbStorage,
    options: EngineOptions,
  ) {
    this.#node = node
    this.#socket = socket
    this.#registry = registry
    this.#storage = storage
    this.#host = new NodeHost(node)
    this.#tabs = new TabServer({
      storageName: options.storageName,
      engineId: options.id,
      settings: options.settings,
      serve: (lane) => this.#host.serve(lane),
      onchange: options.ontabs,
    })
    this.#watch = new WakeWatch({
      toleranceMs: options.timerToleranceMs,
      onwake: () => this.wake('network'),
    })
  }

  /** @throws {PilotError} as `createNode`. */
  static async start(options: EngineOptions): Promise<Engine> {
    const { settings } = options
    const urls = rendezvousUrls(settings.rendezvous)
    const storage = await IndexedDbStorage.open(options.storageName)
    try {
      const { recoveryPassphrase } = options
      const identity =
        options.identity ?? (await new IdentityVault(storage).load(defined({ recoveryPassphrase })))
      const trustStore = await loadTrust(storage)
      const socket = new RelaySocket({ url: urls.relay, identity, clock: systemClock })
      const registry = new RenewableRegistry(registryWebSocket({ url: urls.registry }))
      const { createPeerConnection } = options
      const { registrationTimeoutMs } = settings
      const node = await SharedPilotNode.start(
        {
          machine: machineOptions(
            { ...settings, ...options.profile },
            identity,
            trustStore,
            socket,
          ),
          socket,
          registry,
          clock: systemClock,
          saveTrust: (text) => storage.write(TRUST_NAME, utf8(text)),
          ...defined({ createPeerConnection, registrationTimeoutMs }),
        },
        defined({ signal: options.signal }),
      )
      return new Engine(node, socket, registry, storage, options)
    } catch (error) {
      storage.close()
      throw error
    }
  }

  get host(): NodeHost {
    return this.#host
  }

  /** Paths are proven, and what may be dead is connected, again at once. */
  wake(reason: WakeReason): void {
    if (reason === 'network') {
      this.#registry.renew()
      this.#socket.reconnect()
    } else this.#socket.hurry()
    this.#node.handleNetworkChange()
  }

  async stop({ timeoutMs, isHandover }: StopOptions): Promise<void> {
    this.#watch.stop()
    const reason = isHandover
      ? new PilotError('ERR_ENGINE_LOST', 'the tab that ran the node gave it up')
      : new PilotError('ERR_NODE_CLOSED', 'the node is closed')
    this.#host.close(reason)
    this.#tabs.close()
    await this.#node.close(
      isHandover ? { timeoutMs: HANDOVER_MS, staysRegistered: true } : defined({ timeoutMs }),
    )
    this.#storage.close()
  }
}

function machineOptions(
  settings: EngineSettings,
  identity: NodeMachineOptions['identity'],
  trustStore: TrustStore,
  socket: RelaySocket,
): Omit<NodeMachineOptions, 'now'> {
  const { hostname, isPublic, owner, keepaliveMs, synRateLimit, maxConnections, autoApprove } =
    settings
  const { congestion } = settings
  return {
    ...defined({
      hostname,
      isPublic,
      owner,
      keepaliveMs,
      synRateLimit,
      maxConnections,
      autoApprove,
      congestion,
    }),
    crypto: withWebCrypto(browserCrypto),
    identity,
    trustStore,
    unixNow,
    localEndpoint: socket.localEndpoint,
    beacon: RELAY_ENDPOINT,
    relayOnly: true,
  }
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

/** A registry connection that can be given up before anybody notices that it is dead. */
class RenewableRegistry implements RegistryConnector {
  readonly endpoint: string
  readonly #connector: RegistryConnector
  #renew: () => void = () => {}

  constructor(connector: RegistryConnector) {
    this.#connector = connector
    this.endpoint = connector.endpoint
  }

  connect(
    handlers: Parameters<RegistryConnector['connect']>[0],
  ): ReturnType<RegistryConnector['connect']> {
    const stream = this.#connector.connect(handlers)
    this.#renew = () => {
      this.#renew = () => {}
      stream.close()
      handlers.onclose('the network changed')
    }
    return stream
  }

  renew(): void {
    this.#renew()
  }
}
