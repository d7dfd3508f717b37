/**
 * A node on a machine of its own, in Node, Deno or Bun: UDP or WebSockets, identity and trust kept between starts.
 * What differs between these runtimes comes as a {@link Host}.
 */
import {
  type CryptoProvider,
  type Endpoint,
  Identity,
  NetworkError,
  type NodeMachineOptions,
  TrustStore,
  UsageError,
  utf8,
} from '../../core/index.ts'
import { ipBytes } from '../../core/ip.ts'
import type { CallOptions } from './api.ts'
import { systemClock, unixNow } from './clock.ts'
import { type Kept, readIdentity, readTrust } from './kept-state.ts'
import { type PilotNodeOptions, SharedPilotNode } from './pilot-node.ts'
import { parseHostPort, requireEndpoint } from './places.ts'
import { relayTransport } from './relay-transport.ts'
import type { DatagramSocket, RegistryConnector } from './transport.ts'
import { udpReaches } from './udp-check.ts'
import { type OpenWebSocket, rendezvousUrls } from './web-socket.ts'

type MachineSettings = Pick<
  NodeMachineOptions,
  | 'hostname'
  | 'isPublic'
  | 'owner'
  | 'encrypt'
  | 'plaintextPeers'
  | 'keepaliveMs'
  | 'synRateLimit'
  | 'maxConnectionsPerPort'
  | 'maxConnections'
  | 'autoApprove'
  | 'congestion'
  | 'tuning'
  | 'details'
>

/** `compat`: no UDP, everything through WebSockets of the rendezvous (spec/09). */
export type Transport = 'udp' | 'compat' | 'auto'

export interface HostNodeOptions extends MachineSettings, CallOptions {
  /** `auto` is UDP where the beacon answers within three seconds, else `compat`. Default `udp`. */
  readonly transport?: Transport
  /**
   * URL of the rendezvous's WebSockets, e.g. `wss://example.org`; `compat` and `auto` need it. The registry is
   * reached there too then.
   */
  readonly rendezvousUrl?: string
  /** `host:port`. Default `127.0.0.1:9000`. */
  readonly registry?: string
  /** `host:port`, or `false` for none. Default: the registry's host, port 9001. */
  readonly beacon?: string | false
  /** `ip:port` or `:port` for UDP. Default `:0`. */
  readonly listen?: string
  /**
   * Largest UDP payload to try toward our own kind, in bytes. Default: what the interface carries, up to 32 768. With
   * 1232 or less nothing is tried, and nothing larger is ever sent.
   */
  readonly datagramBytesMax?: number
  /** Public `ip:port` to register instead of what the beacon sees. */
  readonly endpoint?: string
  /** A key, or the path of `identity.json`, which is made if it is missing. Default: a new key every time. */
  readonly identity?: Identity | string
  /** Path of the trust store. Default `trust.json` beside the identity file, or memory without one. */
  readonly trustPath?: string
  /** Pins the registry's TLS certificate: SHA-256 in hex. Without it the connection is plain TCP. */
  readonly registryFingerprint?: string
  /** Default 10 000. */
  readonly registrationTimeoutMs?: number
}

export interface RegistryPlace {
  readonly host: string
  readonly port: number
  readonly fingerprint?: string
}

type PathParts = Pick<PilotNodeOptions, 'createPeerConnection' | 'openWebSocket' | 'door' | 'parts'>

/** What a runtime brings. */
export interface Host {
  readonly crypto: CryptoProvider
  /** Where a path of the options lies. */
  kept(path: string): Promise<Kept>
  /** Path of another name in the same directory. */
  beside(path: string, name: string): string
  /** @throws {UsageError} `ERR_INVALID_ARGUMENT`; {@link StorageError} `ERR_ADDRESS_IN_USE`. */
  bindUdp(listen: string): Promise<DatagramSocket>
  connectRegistry(place: RegistryPlace): RegistryConnector
  /** First IP address of a host name. Rejects when there is none. */
  lookup(host: string): Promise<string>
  /** `ip:port` at which nodes of the same network reach a socket. */
  lanAddresses(local: Endpoint): readonly string[]
  /** Largest UDP payload worth trying toward an endpoint, in bytes. */
  datagramBytesTo(to: Endpoint): number
  /** For the relay and the registry; asked only when they are wanted. */
  relayWebSockets(): Promise<OpenWebSocket>
  /** Direct paths beside UDP, given the beacon in use. */
  paths?(beacon: Endpoint | undefined): PathParts
}

/**
 * Starts a node: reads or makes its identity, binds UDP or connects to the relay, registers.
 *
 * @throws {PilotError} `ERR_REGISTRY_UNAVAILABLE`, `ERR_REGISTRY`, `ERR_RELAY_UNAVAILABLE`,
 * `ERR_IDENTITY_INVALID`, `ERR_STORE_CORRUPT`, `ERR_STORE_IO`, `ERR_ADDRESS_IN_USE`, `ERR_INVALID_ARGUMENT`,
 * `ERR_ABORTED`.
 */
export async function startHostNode(
  options: HostNodeOptions,
  host: Host,
): Promise<SharedPilotNode> {
  const transport = options.transport ?? 'udp'
  checkPlaces(options, transport)
  const { identity: wanted, rendezvousUrl: url = '', registrationTimeoutMs } = options
  const trustPath =
    options.trustPath ??
    (typeof wanted === 'string' ? host.beside(wanted, 'trust.json') : undefined)
  const identity = await identityOf(wanted, host)
  const trust = trustPath === undefined ? undefined : await host.kept(trustPath)
  const trustStore = trust === undefined ? new TrustStore() : await readTrust(trust)
  const udp =
    transport === 'compat' ? undefined : await udpParts(options, transport === 'auto', host)
  const { machine, ...parts } =
    udp ??
    relayTransport({
      url,
      identity,
      clock: systemClock,
      openWebSocket: await host.relayWebSockets(),
    })
  return SharedPilotNode.start(
    {
      machine: {
        ...machineSettings(options),
        crypto: host.crypto,
        identity,
        trustStore,
        unixNow,
        ...machine,
      },
      ...parts,
      clock: systemClock,
      ...host.paths?.(udp?.machine.beacon),
      ...(trust === undefined
        ? {}
        : { saveTrust: (text) => trust.storage.write(trust.name, utf8(text)) }),
      ...(registrationTimeoutMs === undefined ? {} : { registrationTimeoutMs }),
    },
    options,
  )
}

async function identityOf(
  wanted: Identity | string | undefined,
  { crypto, kept }: Host,
): Promise<Identity> {
  if (wanted === undefined) return Identity.generate(crypto)
  return wanted instanceof Identity ? wanted : readIdentity(await kept(wanted), crypto)
}

/** Before anything is made. @throws {UsageError} `ERR_INVALID_ARGUMENT`. */
function checkPlaces(options: HostNodeOptions, transport: Transport): void {
  if (transport !== 'udp') {
    if (options.rendezvousUrl === undefined)
      throw new UsageError('ERR_INVALID_ARGUMENT', `transport ${transport} needs a rendezvous URL`)
    rendezvousUrls(options.rendezvousUrl)
  }
  if (transport === 'compat') return
  if (options.registry !== undefined) parseHostPort(options.registry, 'registry')
  if (options.endpoint !== undefined) requireEndpoint(options.endpoint)
}

type TransportParts = Pick<PilotNodeOptions, 'socket' | 'registry'> & {
  readonly machine: Pick<
    NodeMachineOptions,
    'localEndpoint' | 'fixedEndpoint' | 'beacon' | 'relayOnly' | 'lanAddresses' | 'datagramBytesMax'
  >
}

/** `undefined` when `isOptional` and UDP does not reach the beacon. */
async function udpParts(
  options: HostNodeOptions,
  isOptional: boolean,
  host: Host,
): Promise<TransportParts | undefined> {
  const { registryFingerprint: fingerprint, signal } = options
  const { registry: place, beacon: beaconPlace } = udpPlaces(options)
  const beacon = await resolveBeacon(beaconPlace, host).catch((error: unknown) => {
    if (isOptional && error instanceof NetworkError) return undefined
    throw error
  })
  if (isOptional && beacon === undefined) return undefined
  const fixedEndpoint =
    options.endpoint === undefined ? undefined : requireEndpoint(options.endpoint)
  const registry = host.connectRegistry({
    ...place,
    ...(fingerprint === undefined ? {} : { fingerprint }),
  })
  const { datagramBytesMax: largest = Number.POSITIVE_INFINITY } = options
  const socket = await host.bindUdp(options.listen ?? ':0')
  if (isOptional && beacon !== undefined && !(await udpReaches(socket, beacon, signal))) {
    await socket.close()
    return undefined
  }
  return {
    socket,
    registry,
    machine: {
      localEndpoint: socket.localEndpoint,
      lanAddresses: () => host.lanAddresses(socket.localEndpoint),
      datagramBytesMax: (to) => Math.min(largest, host.datagramBytesTo(to)),
      ...(beacon === undefined ? {} : { beacon }),
      ...(fixedEndpoint === undefined ? {} : { fixedEndpoint }),
    },
  }
}

/** Where UDP's registry and beacon are, defaults included. @throws {UsageError} `ERR_INVALID_ARGUMENT`. */
export function udpPlaces({ registry, beacon }: HostNodeOptions): {
  readonly registry: { readonly host: string; readonly port: number }
  readonly beacon: { readonly host: string; readonly port: number } | undefined
} {
  const place = parseHostPort(registry ?? '127.0.0.1:9000', 'registry')
  if (beacon === undefined) return { registry: place, beacon: { host: place.host, port: 9001 } }
  return {
    registry: place,
    beacon: beacon === false || beacon === '' ? undefined : parseHostPort(beacon, 'beacon'),
  }
}

async function resolveBeacon(
  place: { readonly host: string; readonly port: number } | undefined,
  { lookup }: Host,
): Promise<Endpoint | undefined> {
  if (place === undefined) return undefined
  const { host, port } = place
  if (ipBytes(host) !== undefined) return { address: host, port }
  try {
    return { address: await lookup(host), port }
  } catch (cause) {
    throw new NetworkError('ERR_INVALID_ARGUMENT', `the beacon's host ${host} has no address`, {
      cause,
    })
  }
}

const MACHINE_SETTINGS: Readonly<Record<keyof MachineSettings, true>> = {
  hostname: true,
  isPublic: true,
  owner: true,
  encrypt: true,
  plaintextPeers: true,
  keepaliveMs: true,
  synRateLimit: true,
  maxConnectionsPerPort: true,
  maxConnections: true,
  autoApprove: true,
  congestion: true,
  tuning: true,
  details: true,
}

function machineSettings(options: HostNodeOptions): MachineSettings {
  const entries = Object.entries(options).filter(
    ([name, value]) => name in MACHINE_SETTINGS && value !== undefined,
  )
  return Object.fromEntries(entries)
}
