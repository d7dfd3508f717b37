/** What a node is made of: identity, clocks, limits. */
import type { CryptoProvider } from '../crypto/provider.ts'
import type { Signer } from '../identity/signer.ts'
import type { Endpoint, Instant } from '../machine.ts'
import type { CongestionName } from '../stream/controllers.ts'
import type { ConnectionTuning } from '../stream/tuning.ts'
import type { TrustStore } from '../trust/trust-store.ts'

export interface NodeMachineOptions {
  readonly crypto: CryptoProvider
  readonly identity: Signer
  readonly trustStore: TrustStore
  /** Wall clock in Unix seconds, for the timestamps that trust messages sign; never for timers. */
  readonly unixNow: () => number
  readonly now: Instant
  /** Our UDP socket, registered when no beacon tells how others see it. */
  readonly localEndpoint: Endpoint
  /** Registered instead of what the beacon sees; the registry takes the port of it (spec/02 §4.1). */
  readonly fixedEndpoint?: Endpoint
  readonly beacon?: Endpoint
  /**
   * This node has no UDP: `beacon` is a WebSocket, every frame goes through it (spec/09), and peers are told so.
   * Paths made for single peers may come beside it. Default false.
   */
  readonly relayOnly?: boolean
  /**
   * Largest UDP payload that the interface takes which leads to an endpoint: path MTU discovery ends there (RFC 8899).
   * Default: every path is taken to carry 1232 bytes and no more.
   */
  readonly datagramBytesMax?: (to: Endpoint) => number
  /** `ip:port` of this node inside of its own network, asked at every registration (spec/05 §5.1). */
  readonly lanAddresses?: () => readonly string[]
  readonly hostname?: string
  readonly isPublic?: boolean
  readonly owner?: string
  /** Default true. False: no keys at all, everything in the clear (spec/01 §5). */
  readonly encrypt?: boolean
  /** Peers talked to in the clear although `encrypt` is on. */
  readonly plaintextPeers?: ReadonlySet<number>
  /** Registry heartbeat, default 30 000. */
  readonly keepaliveMs?: number
  /** SYNs per second taken from peers that are not trusted, default 100. */
  readonly synRateLimit?: number
  /** Default 1024 and 4096; TIME_WAIT does not count. */
  readonly maxConnectionsPerPort?: number
  readonly maxConnections?: number
  /** Trust whoever asks. Default false. */
  readonly autoApprove?: boolean
  /** What was received and not yet read, of all streams, in bytes. Default 256 MiB. */
  readonly receiveMemoryBytes?: number
  /** How streams find their pace; `auto` by default. A `congestion` of `tuning` goes before it. */
  readonly congestion?: CongestionName
  readonly tuning?: Partial<ConnectionTuning>
  /** Tell of every stream, rekey and refused packet too (`NodeDetail`). Default false. */
  readonly details?: boolean
}
