/** `createNode` for Node: raw UDP or a WebSocket, node:crypto, identity and trust in files. */
import { isIP } from 'node:net'
import { basename, dirname } from 'node:path'
import {
  type Endpoint,
  fromUtf8,
  Identity,
  NetworkError,
  type NodeMachineOptions,
  PilotError,
  parseEndpoint,
  StorageError,
  TrustStore,
  UsageError,
  utf8,
} from '../../core/index.ts'
import type { CallOptions } from '../shared/api.ts'
import { systemClock, unixNow } from '../shared/clock.ts'
import { isLoopback } from '../shared/paths/websocket-address.ts'
import { type PilotNodeOptions, SharedPilotNode } from '../shared/pilot-node.ts'
import { relayTransport } from '../shared/relay-transport.ts'
import { rendezvousUrls } from '../shared/web-socket.ts'
import { nodeCrypto } from './crypto.ts'
import type { FileStorage } from './file-storage.ts'
import { lanAddresses } from './lan-addresses.ts'
import { lazyWebSockets } from './lazy-web-socket.ts'
import { loadNativeLibrary, type NativeLibrary } from './native/library.ts'
import type { PathListener } from './path-listener.ts'
import { registryConnector } from './registry-socket.ts'
import { datagramBytesTo } from './route-mtu.ts'
import type { WebRtcChoice } from './rtc/backend.ts'
import { udpReaches } from './udp-check.ts'
import { UdpSocket } from './udp-socket.ts'
import type { WebRtcOptions } from './web-rtc.ts'
import type { WebSocketPathOptions } from './web-socket-options.ts'

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

export interface CreateNodeOptions extends MachineSettings, CallOptions {
  /** `auto` is UDP where the beacon answers within three seconds, else `compat`. Default `udp`. */
  readonly transport?: Transport
  /**
   * URL of the rendezvous's WebSockets, e.g. `wss://example.org`; `compat` and `auto` need it. The registry is
   * reached there too then, through the proxies that `HTTPS_PROXY` and `HTTP_PROXY` name.
   */
  readonly rendezvousUrl?: string
  /** PEM of the authorities to trust for `wss://` instead of Node's, e.g. a company's own. */
  readonly rendezvousCa?: string
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
  /**
   * Direct paths over WebRTC data channels to trusted peers that are only relayed, browsers above all. They live in a
   * process of their own, made when the first is wanted, with node-datachannel or werift, both optional packages.
   * True is `auto`: whichever is installed. Default `off`.
   */
  readonly webRtc?: boolean | WebRtcChoice | WebRtcOptions
  /**
   * WebSockets between this node and trusted peers that are only relayed: those of peers are dialed, and with
   * `listen` theirs are taken. True is `{}`. Default: dialed when there is WebRTC or the transport is `compat`.
   */
  readonly webSocket?: boolean | WebSocketPathOptions
  /**
   * Sealing by OpenSSL's own functions and datagrams in batches, by the optional package koffi: several times less work
   * per byte. Default: where it is installed and works. True: else the node does not start. False: never.
   */
  readonly native?: boolean
  /** Default 10 000. */
  readonly registrationTimeoutMs?: number
}

/**
 * Starts a node: reads or makes its identity, binds UDP or connects to the relay, registers.
 *
 * @throws {PilotError} `ERR_REGISTRY_UNAVAILABLE`, `ERR_REGISTRY`, `ERR_RELAY_UNAVAILABLE`,
 * `ERR_IDENTITY_INVALID`, `ERR_STORE_CORRUPT`, `ERR_STORE_IO`, `ERR_ADDRESS_IN_USE`, `ERR_INVALID_ARGUMENT`,
 * `ERR_ABORTED`.
 */
export async function createNode(options: CreateNodeOptions = {}): Promise<SharedPilotNode> {
  const transport = options.transport ?? 'udp'
  checkAddresses(options, transport)
  const identity =
    options.identity instanceof Identity
      ? options.identity
      : options.identity === undefined
        ? Identity.generate(nodeCrypto)
        : await loadIdentity(options.identity)
  const trustPath =
    options.trustPath ??
    (typeof options.identity === 'string' ? `${dirname(options.identity)}/trust.json` : undefined)
  const trustStore = trustPath === undefined ? new TrustStore() : await loadTrust(trustPath)
  const { webRtc = 'off' } = options
  const rtcChoice = typeof webRtc === 'boolean' ? (webRtc ? 'auto' : 'off') : webRtc
  // A module of its own, as those below: what is not wanted takes no memory.
  const webRtcModule = rtcChoice === 'off' ? undefined : await import('./web-rtc.ts')
  const hasRtc = webRtcModule?.hasWebRtc(rtcChoice) === true
  const { webSocket = hasRtc || transport === 'compat' } = options
  const door = await pathListener(webSocket)
  try {
    const native = await nativeLibrary(options.native)
    const udp =
      transport === 'compat' ? undefined : await udpParts(options, transport === 'auto', native)
    const { machine, ...parts } = udp ?? (await compatParts(options, identity))
    const rtc = webRtcModule?.webRtcProcess(rtcChoice, udp?.machine.beacon)
    return await SharedPilotNode.start(
      {
        machine: {
          ...pickSettings(options),
          crypto: native?.aead === undefined ? nodeCrypto : { ...nodeCrypto, aead: native.aead },
          identity,
          trustStore,
          unixNow,
          ...machine,
        },
        ...parts,
        clock: systemClock,
        ...(rtc === undefined ? {} : { createPeerConnection: () => rtc.create() }),
        ...(webSocket === false
          ? {}
          : { openWebSocket: lazyWebSockets({ ...authorities(options), isDirect: isLoopback }) }),
        ...(door === undefined ? {} : { door }),
        parts: [rtc, door].filter((part) => part !== undefined),
        ...(trustPath === undefined
          ? {}
          : { saveTrust: async (text) => saveText(trustPath, text) }),
        ...(options.registrationTimeoutMs === undefined
          ? {}
          : { registrationTimeoutMs: options.registrationTimeoutMs }),
      },
      options,
    )
  } catch (error) {
    await door?.close()
    throw error
  }
}

/** Before anything is made. @throws {UsageError} `ERR_INVALID_ARGUMENT`. */
function checkAddresses(options: CreateNodeOptions, transport: Transport): void {
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
  options: CreateNodeOptions,
  isOptional: boolean,
  native: NativeLibrary | undefined,
): Promise<TransportParts | undefined> {
  const { registryFingerprint: fingerprint, signal } = options
  const registryAddress = parseHostPort(options.registry ?? '127.0.0.1:9000', 'registry')
  const beaconAddress = options.beacon ?? `${bracket(registryAddress.host)}:9001`
  const beacon = await resolveBeacon(beaconAddress).catch((error: unknown) => {
    if (isOptional && error instanceof NetworkError) return undefined
    throw error
  })
  if (isOptional && beacon === undefined) return undefined
  const fixedEndpoint =
    options.endpoint === undefined ? undefined : requireEndpoint(options.endpoint)
  const registry = registryConnector({
    ...registryAddress,
    ...(fingerprint === undefined ? {} : { fingerprint }),
  })
  const { datagramBytesMax: largest = Number.POSITIVE_INFINITY } = options
  const socket = await UdpSocket.bind(options.listen ?? ':0', native)
  if (isOptional && beacon !== undefined && !(await udpReaches(socket, beacon, signal))) {
    await socket.close()
    return undefined
  }
  return {
    socket,
    registry,
    machine: {
      localEndpoint: socket.localEndpoint,
      lanAddresses: () => lanAddresses(socket.localEndpoint),
      datagramBytesMax: (to) => Math.min(largest, datagramBytesTo(to)),
      ...(beacon === undefined ? {} : { beacon }),
      ...(fixedEndpoint === undefined ? {} : { fixedEndpoint }),
    },
  }
}

/** Where they are trusted from, instead of Node's own list. */
function authorities({ rendezvousCa: ca }: CreateNodeOptions): { readonly ca?: string } {
  return ca === undefined ? {} : { ca }
}

async function pathListener(
  options: boolean | WebSocketPathOptions,
): Promise<PathListener | undefined> {
  const wanted = typeof options === 'boolean' || options.listen === undefined ? undefined : options
  if (wanted === undefined) return undefined
  const { PathListener } = await import('./path-listener.ts')
  return PathListener.listen({ ...wanted, listen: wanted.listen ?? '' })
}

async function nativeLibrary(choice: boolean | undefined): Promise<NativeLibrary | undefined> {
  if (choice === false) return undefined
  const native = await loadNativeLibrary()
  if (choice === true && native?.aead === undefined)
    throw new UsageError(
      'ERR_INVALID_ARGUMENT',
      'native speed-ups need the package koffi, which is not installed or does not run here; npm install koffi',
    )
  return native
}

async function compatParts(
  options: CreateNodeOptions,
  identity: Identity,
): Promise<TransportParts> {
  const { nodeWebSockets } = await import('./web-socket.ts')
  return relayTransport({
    url: options.rendezvousUrl ?? '',
    identity,
    clock: systemClock,
    openWebSocket: nodeWebSockets(authorities(options)),
  })
}

/**
 * Reads `identity.json`, or makes it (mode 0600) when it is missing. A file that cannot be understood is
 * refused by name and left alone.
 *
 * @throws {PilotError} `ERR_IDENTITY_INVALID`, `ERR_STORE_IO`.
 */
export async function loadIdentity(path: string): Promise<Identity> {
  const storage = await storageOf(path)
  const bytes = await storage.read(basename(path))
  if (bytes !== undefined) {
    try {
      return Identity.parse(nodeCrypto, fromUtf8(bytes) ?? '')
    } catch (error) {
      if (!(error instanceof PilotError)) throw error
      throw new StorageError(
        'ERR_IDENTITY_INVALID',
        `${path}: ${error.message}; restore it from a backup, or move it away to start as a new node`,
        { cause: error },
      )
    }
  }
  const identity = Identity.generate(nodeCrypto)
  await storage.write(basename(path), utf8(identity.format()))
  return identity
}

async function loadTrust(path: string): Promise<TrustStore> {
  const storage = await storageOf(path)
  const bytes = await storage.read(basename(path))
  if (bytes === undefined) return new TrustStore()
  try {
    return TrustStore.parse(fromUtf8(bytes) ?? '')
  } catch (error) {
    if (!(error instanceof PilotError)) throw error
    throw new StorageError(
      'ERR_STORE_CORRUPT',
      `${path}: ${error.message}; restore it from a backup, or move it away to start without trust`,
      { cause: error },
    )
  }
}

async function saveText(path: string, text: string): Promise<void> {
  const storage = await storageOf(path)
  await storage.write(basename(path), utf8(text))
}

async function storageOf(path: string): Promise<FileStorage> {
  const { FileStorage } = await import('./file-storage.ts')
  return new FileStorage(dirname(path))
}

function pickSettings(options: CreateNodeOptions): MachineSettings {
  const {
    transport: _transport,
    rendezvousUrl: _rendezvousUrl,
    rendezvousCa: _rendezvousCa,
    registry: _registry,
    beacon: _beacon,
    listen: _listen,
    endpoint: _endpoint,
    identity: _identity,
    trustPath: _trustPath,
    registryFingerprint: _fingerprint,
    webRtc: _webRtc,
    webSocket: _webSocket,
    native: _native,
    datagramBytesMax: _datagramBytesMax,
    registrationTimeoutMs: _timeout,
    signal: _signal,
    ...settings
  } = options
  return settings
}

async function resolveBeacon(text: string | false): Promise<Endpoint | undefined> {
  if (text === false || text === '') return undefined
  const { host, port } = parseHostPort(text, 'beacon')
  if (isIP(host) !== 0) return { address: host, port }
  try {
    const { lookup } = await import('node:dns/promises')
    const { address } = await lookup(host, { family: 0 })
    return { address, port }
  } catch (cause) {
    throw new NetworkError('ERR_INVALID_ARGUMENT', `the beacon's host ${host} has no address`, {
      cause,
    })
  }
}

/** @throws {UsageError} `ERR_INVALID_ARGUMENT` unless the text is `host:port` with a port of 1 to 65535. */
export function parseHostPort(text: string, what: string): { host: string; port: number } {
  const match = /^(?:\[([^\]]+)\]|([^:[\]]+)):(\d{1,5})$/.exec(text)
  const host = match?.[1] ?? match?.[2]
  const port = Number(match?.[3])
  if (host === undefined || port < 1 || port > 0xffff)
    throw new UsageError(
      'ERR_INVALID_ARGUMENT',
      `the ${what} is host:port, got ${JSON.stringify(text)}`,
    )
  return { host, port }
}

function requireEndpoint(text: string): Endpoint {
  const endpoint = parseEndpoint(text)
  if (endpoint === undefined)
    throw new UsageError(
      'ERR_INVALID_ARGUMENT',
      `the endpoint is ip:port, got ${JSON.stringify(text)}`,
    )
  return endpoint
}

function bracket(host: string): string {
  return host.includes(':') ? `[${host}]` : host
}
