/** `createNode` for Node: raw UDP or a WebSocket, node:crypto, identity and trust in files. */
import { basename, dirname, join } from 'node:path'
import { type Identity, UsageError } from '../../core/index.ts'
import { type HostNodeOptions, startHostNode } from '../shared/host-node.ts'
import { type Kept, readIdentity } from '../shared/kept-state.ts'
import { isLoopback } from '../shared/paths/websocket-address.ts'
import type { SharedPilotNode } from '../shared/pilot-node.ts'
import { nodeCrypto } from './crypto.ts'
import { lanAddresses } from './lan-addresses.ts'
import { lazyWebSockets } from './lazy-web-socket.ts'
import { loadNativeLibrary, type NativeLibrary } from './native/library.ts'
import type { PathListener } from './path-listener.ts'
import { registryConnector } from './registry-socket.ts'
import { datagramBytesTo } from './route-mtu.ts'
import type { WebRtcChoice } from './rtc/backend.ts'
import { UdpSocket } from './udp-socket.ts'
import type { WebRtcOptions } from './web-rtc.ts'
import type { WebSocketPathOptions } from './web-socket-options.ts'

export { parseHostPort } from '../shared/places.ts'

/** WebSockets go through the proxies that `HTTPS_PROXY` and `HTTP_PROXY` name. */
export interface CreateNodeOptions extends HostNodeOptions {
  /** PEM of the authorities to trust for `wss://` instead of Node's, e.g. a company's own. */
  readonly rendezvousCa?: string
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
}

/**
 * Starts a node: reads or makes its identity, binds UDP or connects to the relay, registers.
 *
 * @throws {PilotError} `ERR_REGISTRY_UNAVAILABLE`, `ERR_REGISTRY`, `ERR_RELAY_UNAVAILABLE`,
 * `ERR_IDENTITY_INVALID`, `ERR_STORE_CORRUPT`, `ERR_STORE_IO`, `ERR_ADDRESS_IN_USE`, `ERR_INVALID_ARGUMENT`,
 * `ERR_ABORTED`.
 */
export async function createNode(options: CreateNodeOptions = {}): Promise<SharedPilotNode> {
  const { webRtc = 'off' } = options
  const rtcChoice = typeof webRtc === 'boolean' ? (webRtc ? 'auto' : 'off') : webRtc
  // A module of its own, as those below: what is not wanted takes no memory.
  const webRtcModule = rtcChoice === 'off' ? undefined : await import('./web-rtc.ts')
  const hasRtc = webRtcModule?.hasWebRtc(rtcChoice) === true
  const { webSocket = hasRtc || options.transport === 'compat' } = options
  const door = await pathListener(webSocket)
  try {
    const native = await nativeLibrary(options.native)
    return await startHostNode(options, {
      crypto: native?.aead === undefined ? nodeCrypto : { ...nodeCrypto, aead: native.aead },
      kept,
      beside: (path, name) => join(dirname(path), name),
      bindUdp: (listen) => UdpSocket.bind(listen, native),
      connectRegistry: registryConnector,
      lookup: async (host) => {
        const { lookup } = await import('node:dns/promises')
        return (await lookup(host, { family: 0 })).address
      },
      lanAddresses,
      datagramBytesTo,
      relayWebSockets: async () => {
        const { nodeWebSockets } = await import('./web-socket.ts')
        return nodeWebSockets(authorities(options))
      },
      paths: (beacon) => {
        const rtc = webRtcModule?.webRtcProcess(rtcChoice, beacon)
        return {
          ...(rtc === undefined ? {} : { createPeerConnection: () => rtc.create() }),
          ...(webSocket === false
            ? {}
            : { openWebSocket: lazyWebSockets({ ...authorities(options), isDirect: isLoopback }) }),
          ...(door === undefined ? {} : { door }),
          parts: [rtc, door].filter((part) => part !== undefined),
        }
      },
    })
  } catch (error) {
    await door?.close()
    throw error
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

/**
 * Reads `identity.json`, or makes it (mode 0600) when it is missing. A file that cannot be understood is
 * refused by name and left alone.
 *
 * @throws {PilotError} `ERR_IDENTITY_INVALID`, `ERR_STORE_IO`.
 */
export async function loadIdentity(path: string): Promise<Identity> {
  return readIdentity(await kept(path), nodeCrypto)
}

async function kept(path: string): Promise<Kept> {
  const { FileStorage } = await import('./file-storage.ts')
  return { storage: new FileStorage(dirname(path)), name: basename(path) }
}
