/** Composition root on Node: store, machines, sockets and HTTP of one rendezvous server. */
import { createPublicKey, randomBytes, verify } from 'node:crypto'
import type { CryptoProvider } from '../core/crypto/provider.ts'
import { type Endpoint, formatEndpoint } from '../core/machine.ts'
import { Beacon } from './beacon.ts'
import { CompatRelay } from './compat-relay.ts'
import { CompatWires } from './compat-wires.ts'
import {
  type BeaconLimits,
  type CompatLimits,
  DEFAULT_COMPAT_LIMITS,
  type RegistryLimits,
} from './limits.ts'
import { type Log, SILENT_LOG } from './log.ts'
import { Registry } from './registry.ts'
import {
  type ConnectionLimits,
  DEFAULT_CONNECTION_LIMITS,
  RegistrySessions,
} from './registry-sessions.ts'
import { MemoryStore, type RegistryStore } from './registry-store.ts'
import { viewOf } from './rendezvous-view.ts'
import { ReplicationFeed } from './replication-feed.ts'
import { RequestMetrics } from './request-metrics.ts'
import { canonicalIp, parseListenAddress } from './serve-address.ts'
import { AuditSender, exportUrlProblem } from './serve-audit-export.ts'
import { BeaconServer } from './serve-beacon.ts'
import { now } from './serve-clock.ts'
import { CompatDoor, RegistryDoor } from './serve-compat.ts'
import { HttpServer } from './serve-http.ts'
import { RegistryServer, type TlsKeyPair } from './serve-registry.ts'
import { StandbyLink, type StandbyOptions } from './serve-standby.ts'
import { SqliteStore } from './sqlite-store.ts'
import type { RegistryStats, SocketCounters } from './statistics.ts'
import { TrustedProxies } from './trusted-proxies.ts'

export interface RendezvousOptions {
  /** `host:port` or `:port`; port 0 takes a free one. */
  readonly registryAddress: string
  readonly beaconAddress: string
  /** The beacon runs elsewhere: nodes are told this one, and none is bound here. */
  readonly beaconElsewhere?: Endpoint
  /** Without it there is no HTTP, and so no WebSocket. */
  readonly httpAddress?: string
  /** Origins of pages that may open WebSockets, e.g. `https://example.org`. Default any. */
  readonly origins?: readonly string[]
  /** Addresses and CIDR blocks of reverse proxies whose `X-Forwarded-For` names the client. Default none. */
  readonly trustedProxies?: readonly string[]
  /** SQLite file; without it nothing outlives the process. */
  readonly storePath?: string
  /** PEM texts; without them the registry speaks plain TCP. */
  readonly tls?: TlsKeyPair
  /** With `tls`: clients without TLS are served on the same port, by what they say first. Default false. */
  readonly plainToo?: boolean
  readonly log?: Log
  readonly limits?: Partial<RegistryLimits>
  readonly beaconLimits?: Partial<BeaconLimits>
  readonly compatLimits?: Partial<CompatLimits>
  readonly connectionLimits?: Partial<ConnectionLimits>
  /** Own id in gossip and the beacons to gossip with. */
  readonly beaconId?: number
  readonly beaconPeers?: readonly Endpoint[]
  readonly allowOwnerRecovery?: boolean
  readonly allowUnboundRotation?: boolean
  readonly trustLocalBeacons?: boolean
  /** Opens custom networks, policies and the audit log to who knows it (spec/05 §11). */
  readonly adminToken?: string
  /** What standbys of this registry say to follow it (spec/04 §16). Without one it has none. */
  readonly replicationToken?: string
  /** Follows this primary, and only answers questions. */
  readonly standby?: StandbyOptions
}

export interface Rendezvous extends AsyncDisposable {
  /** What the sockets are bound to; `0.0.0.0` or `::` when to every address. */
  readonly registryEndpoint: Endpoint
  /** Or where the beacon is that runs elsewhere. */
  readonly beaconEndpoint: Endpoint
  readonly httpEndpoint: Endpoint | undefined
  /** `http://host:port`, `undefined` without HTTP. */
  readonly httpUrl: string | undefined
  /** Where the console is, `undefined` without HTTP or when it was not built. */
  readonly consoleUrl: string | undefined
  stats(): RegistryStats
  /** Answers what was read, closes the sockets, then the store. Idempotent. */
  close(): Promise<void>
}

/**
 * Starts everything or nothing.
 *
 * @throws {PilotError} `ERR_ADDRESS_IN_USE`, `ERR_INVALID_ARGUMENT`, `ERR_STORE_CORRUPT`, `ERR_STORE_IO`; one
 * line that says what to do.
 */
export async function createRendezvous(options: RendezvousOptions): Promise<Rendezvous> {
  const registryAddress = parseListenAddress(options.registryAddress)
  const beaconAddress = parseListenAddress(options.beaconAddress)
  const httpAddress =
    options.httpAddress === undefined ? undefined : parseListenAddress(options.httpAddress)
  const log = options.log ?? SILENT_LOG
  const store: RegistryStore =
    options.storePath === undefined ? new MemoryStore() : new SqliteStore(options.storePath)
  const opened: (() => Promise<void> | void)[] = [() => store.close()]
  const closeAll = async (): Promise<void> => {
    let failure: unknown
    for (const close of opened.splice(0).reverse())
      try {
        await close()
      } catch (error) {
        failure ??= error
      }
    if (failure !== undefined) throw failure
  }

  try {
    const clock = now()
    let beaconEndpoint: Endpoint | undefined
    const beaconAt = (localAddress: string | undefined): string | undefined =>
      beaconEndpoint && namedEndpoint(beaconEndpoint, localAddress)
    const registry = new Registry(
      {
        ...options,
        store,
        verify: ed25519Verify,
        beaconAt,
        isStandby: options.standby !== undefined,
        exportUrlProblem,
      },
      clock,
    )
    const sender = new AuditSender(registry.desk.exports, log)
    opened.push(() => sender.close())
    const relay = new CompatRelay(
      {
        ...(options.compatLimits === undefined ? {} : { limits: options.compatLimits }),
        random: randomBytes,
        verify: ed25519Verify,
        registeredKey: (nodeId) => registry.desk.nodes.live(nodeId)?.keyBytes,
      },
      clock.at,
    )
    const beacon = new Beacon(
      {
        beaconId: options.beaconId ?? 0,
        peers: options.beaconPeers ?? [],
        ...(options.beaconLimits === undefined ? {} : { limits: options.beaconLimits }),
        registeredAt: (nodeId) => registry.desk.nodes.place(nodeId),
        compat: relay,
      },
      clock.at,
    )
    const requests = new RequestMetrics()
    const sockets: SocketCounters = {
      connections: 0,
      connectionsRefused: 0,
      framesRefused: 0,
      datagramsUnsent: 0,
    }
    const limits = { ...DEFAULT_CONNECTION_LIMITS, ...options.connectionLimits }
    const sessions = new RegistrySessions({
      registry,
      store,
      metrics: requests,
      counters: sockets,
      log,
      limits,
      now,
      // After the present turn of the event loop, when every socket that had data was read.
      later: setImmediate,
      onCommit: () => sender.wake(),
      feed: new ReplicationFeed(() => registry.desk.state(), log),
    })
    const registryServer = new RegistryServer({
      sessions,
      log,
      tls: options.tls,
      plainToo: options.plainToo === true,
      limits,
    })
    const drain = (): void => beaconServer.drain()
    const wires = new CompatWires({ beacon, relay, drain, now })
    const beaconServer = new BeaconServer({
      beacon,
      counters: sockets,
      log,
      drainCompat: () => wires.drain(),
    })
    const compatLimits = { ...DEFAULT_COMPAT_LIMITS, ...options.compatLimits }
    const doors = [new CompatDoor(wires, log), new RegistryDoor(sessions, compatLimits)]
    const view = viewOf(
      { registry, beacon, requests, sockets, startedAt: clock.at },
      () => performance.now(),
      () => sessions.isHealthy,
    )
    const proxies = new TrustedProxies(options.trustedProxies ?? [])

    const registryEndpoint = await registryServer.listen(registryAddress)
    opened.push(() => registryServer.close())
    if (options.beaconElsewhere === undefined) {
      beaconEndpoint = await beaconServer.listen(beaconAddress)
      opened.push(() => beaconServer.close())
    } else beaconEndpoint = options.beaconElsewhere
    let httpEndpoint: Endpoint | undefined
    let hasConsole = false
    if (httpAddress !== undefined) {
      const server = new HttpServer({ view, doors, proxies, origins: options.origins, log })
      httpEndpoint = await server.listen(httpAddress)
      hasConsole = server.hasConsole
      opened.push(() => server.close())
    }
    if (options.standby !== undefined) {
      const link = new StandbyLink(options.standby, { registry, store, log })
      opened.push(() => link.close())
    }
    const httpUrl = httpEndpoint === undefined ? undefined : urlOf(httpEndpoint)
    return {
      registryEndpoint,
      beaconEndpoint,
      httpEndpoint,
      httpUrl,
      consoleUrl: hasConsole ? `${httpUrl}/console/` : undefined,
      stats: () => view.stats(),
      close: closeAll,
      [Symbol.asyncDispose]: closeAll,
    }
  } catch (error) {
    await closeAll().catch(() => {})
    throw error
  }
}

/** Where clients that reached us at `localAddress` find an endpoint of ours; `undefined` when that is not known. */
function namedEndpoint(
  { address, port }: Endpoint,
  localAddress: string | undefined,
): string | undefined {
  const isWildcard = address === '::' || address === '0.0.0.0'
  const named = isWildcard ? canonicalIp(localAddress) : address
  return named === undefined ? undefined : formatEndpoint({ address: named, port })
}

function urlOf({ address, port }: Endpoint): string {
  const isWildcard = address === '::' || address === '0.0.0.0'
  return `http://${formatEndpoint({ address: isWildcard ? 'localhost' : address, port })}`
}

/** DER in front of the 32 raw bytes of an Ed25519 public key (RFC 8410). */
const SPKI_PREFIX = Buffer.from('302a300506032b6570032100', 'hex')

/** Native: about ten times as fast as in JavaScript. */
const ed25519Verify: CryptoProvider['ed25519Verify'] = (publicKey, message, signature) => {
  if (publicKey.length !== 32 || signature.length !== 64) return false
  try {
    const key = createPublicKey({
      key: Buffer.concat([SPKI_PREFIX, publicKey]),
      format: 'der',
      type: 'spki',
    })
    return verify(null, message, key, signature)
  } catch {
    return false
  }
}
