/**
 * One datagram socket over several: the runtime's own, and paths made for single peers, e.g. data channels.
 * A path stands for an endpoint of its own that no packet of the network can claim.
 */
import type { Endpoint } from '../../core/index.ts'
import { SendGauge } from './send-gauge.ts'
import type { DatagramSocket } from './transport.ts'

/** What datagrams of one path go into. */
export interface PathOutlet {
  /** Bytes that wait in it. */
  readonly bufferedAmount: number
  /** Set here; called when it has drained, where it can tell. */
  ondrained?: (() => void) | undefined
  /** True when the datagram was taken; false when it was dropped. */
  send(datagram: Uint8Array): boolean
}

interface Path {
  readonly outlet: PathOutlet
  readonly gauge: SendGauge
}

export type MadePathKind = 'webrtc' | 'websocket'

/** Enough to keep it busy while the event loop is elsewhere, and no more: what waits here cannot change its way. */
const WAITING_BYTES = {
  webrtc: { highBytes: 512 << 10, lowBytes: 256 << 10 },
  websocket: { highBytes: 2 << 20, lowBytes: 1 << 20 },
} as const

export class PathSocket implements DatagramSocket {
  ondatagram: ((datagram: Uint8Array, from: Endpoint) => void) | undefined
  onpressure: ((endpoint: Endpoint, isFull: boolean) => void) | undefined
  #dropped = 0
  #foreign = 0
  readonly #base: DatagramSocket
  readonly #paths = new Map<string, Path>()
  #next = 1

  constructor(base: DatagramSocket) {
    this.#base = base
    base.ondatagram = (datagram, from) => this.ondatagram?.(datagram, from)
    base.onpressure = (endpoint, isFull) => this.onpressure?.(endpoint, isFull)
  }

  /** Those of the socket below, and what paths could not take. */
  get drops(): Readonly<Record<string, number>> {
    return { ...this.#base.drops, 'path-queue': this.#dropped, 'path-foreign': this.#foreign }
  }

  get localEndpoint(): Endpoint {
    return this.#base.localEndpoint
  }

  /** The endpoint that datagrams of this path come from and go to. */
  addPath(kind: MadePathKind, outlet: PathOutlet): Endpoint {
    const endpoint = { address: `${kind}-${this.#next++}`, port: 1 }
    const gauge = new SendGauge({
      ...WAITING_BYTES[kind],
      buffered: () => outlet.bufferedAmount,
      onchange: (isFull) => this.onpressure?.(endpoint, isFull),
    })
    outlet.ondrained = () => gauge.check()
    this.#paths.set(endpoint.address, { outlet, gauge })
    return endpoint
  }

  removePath(endpoint: Endpoint): void {
    this.#paths.get(endpoint.address)?.gauge.reset()
    this.#paths.delete(endpoint.address)
  }

  announce(to: Endpoint, bytes: number): void {
    const path = this.#paths.get(to.address)
    if (path !== undefined) path.gauge.announce(bytes)
    else this.#base.announce?.(to, bytes)
  }

  /** A datagram came by a path. The bytes are the socket's from now on. */
  deliver(datagram: Uint8Array, endpoint: Endpoint): void {
    if (this.#paths.has(endpoint.address)) this.ondatagram?.(datagram, endpoint)
  }

  /** Something came by a path that is no frame of the peer behind it. */
  dropForeign(): void {
    this.#foreign++
  }

  send(datagram: Uint8Array, to: Endpoint): boolean {
    const path = this.#paths.get(to.address)
    if (path === undefined) return this.#base.send(datagram, to)
    if (!path.outlet.send(datagram)) this.#dropped++
    path.gauge.sent(datagram.length)
    return false
  }

  close(): Promise<void> {
    for (const { gauge } of this.#paths.values()) gauge.reset()
    this.#paths.clear()
    return this.#base.close()
  }
}

/** The kind of a path that was added; `undefined` for an endpoint of the network, whose address is an IP. */
export function madePathKind({ address }: Endpoint): MadePathKind | undefined {
  if (address.startsWith('webrtc-')) return 'webrtc'
  return address.startsWith('websocket-') ? 'websocket' : undefined
}

export function isMadePath(endpoint: Endpoint): boolean {
  return madePathKind(endpoint) !== undefined
}
