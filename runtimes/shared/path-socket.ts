/**
 * One datagram socket over several: the runtime's own, and paths made for single peers, e.g. data channels.
 * A path stands for an endpoint of its own that no packet of the network can claim.
 */
import type { Endpoint } from '../../core/index.ts'
import type { DatagramSocket } from './transport.ts'

/** True when the datagram was taken; false when it was dropped. */
export type PathSend = (datagram: Uint8Array) => boolean

export type MadePathKind = 'webrtc' | 'websocket'

export class PathSocket implements DatagramSocket {
  ondatagram: ((datagram: Uint8Array, from: Endpoint) => void) | undefined
  #dropped = 0
  #foreign = 0
  readonly #base: DatagramSocket
  readonly #paths = new Map<string, PathSend>()
  #next = 1

  constructor(base: DatagramSocket) {
    this.#base = base
    base.ondatagram = (datagram, from) => this.ondatagram?.(datagram, from)
  }

  /** Those of the socket below, and what paths could not take. */
  get drops(): Readonly<Record<string, number>> {
    return { ...this.#base.drops, 'path-queue': this.#dropped, 'path-foreign': this.#foreign }
  }

  get localEndpoint(): Endpoint {
    return this.#base.localEndpoint
  }

  /** The endpoint that datagrams of this path come from and go to. */
  addPath(kind: MadePathKind, send: PathSend): Endpoint {
    const endpoint = { address: `${kind}-${this.#next++}`, port: 1 }
    this.#paths.set(endpoint.address, send)
    return endpoint
  }

  removePath(endpoint: Endpoint): void {
    this.#paths.delete(endpoint.address)
  }

  /** A datagram came by a path. The bytes are the socket's from now on. */
  deliver(datagram: Uint8Array, endpoint: Endpoint): void {
    if (this.#paths.has(endpoint.address)) this.ondatagram?.(datagram, endpoint)
  }

  /** Something came by a path that is no frame of the peer behind it. */
  dropForeign(): void {
    this.#foreign++
  }

  send(datagram: Uint8Array, to: Endpoint): void {
    const path = this.#paths.get(to.address)
    if (path === undefined) this.#base.send(datagram, to)
    else if (!path(datagram)) this.#dropped++
  }

  close(): Promise<void> {
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
