/** Raw UDP by `Bun.udpSocket`: everything sent in one go leaves by one `sendMany`. */
import { type Endpoint, formatEndpoint, StorageError } from '../../core/index.ts'
import { EndpointPool } from '../shared/endpoint-pool.ts'
import { parseListen } from '../shared/places.ts'
import type { DatagramSocket } from '../shared/transport.ts'
import { enlargeReceiveBuffer } from './receive-buffer.ts'

/** Datagrams that wait for the kernel; more are dropped. */
const WAITING_MAX = 1024
const MAPPED = '::ffff:'
/** What `sendMany` takes for one datagram: bytes, port, address. */
const MEMBERS = 3

type Socket = Bun.udp.Socket<'uint8array'>
type Packets = (Uint8Array | number | string)[]

export class UdpSocket implements DatagramSocket {
  readonly localEndpoint: Endpoint
  ondatagram: ((datagram: Uint8Array, from: Endpoint) => void) | undefined
  readonly drops: { 'udp-queue-full': number; 'udp-unsent': number } = {
    'udp-queue-full': 0,
    'udp-unsent': 0,
  }
  readonly #socket: Socket
  /** Of both families: IPv4 addresses come and go as `::ffff:a.b.c.d`. */
  readonly #isDualStack: boolean
  readonly #endpoints = new EndpointPool()
  #waiting: Packets = []
  #isFlushDue = false
  /** The kernel takes no more until it says so. */
  #isBlocked = false
  #isClosed = false

  private constructor({ socket, handlers }: Bound, address: string) {
    this.#socket = socket
    this.#isDualStack = socket.hostname === '::'
    this.localEndpoint = { address: address === '' ? '127.0.0.1' : address, port: socket.port }
    enlargeReceiveBuffer((socket as Socket & { readonly fd?: number }).fd ?? -1)
    handlers.socket = this
  }

  /**
   * Binds `host:port`, `:port` (every address, IPv6 too) or `[v6]:port`; port 0 picks a free one.
   *
   * @throws {UsageError} `ERR_INVALID_ARGUMENT`; {@link StorageError} `ERR_ADDRESS_IN_USE` when it cannot be had.
   */
  static async bind(listen: string): Promise<UdpSocket> {
    const { address, port } = parseListen(listen)
    if (address !== '') return new UdpSocket(await bind(address, port), address)
    // No IPv6 on this machine; any other reason is met again.
    const socket = await bind('::', port).catch(() => bind('0.0.0.0', port))
    return new UdpSocket(socket, address)
  }

  handleDatagram(datagram: Uint8Array, port: number, address: string): void {
    this.ondatagram?.(datagram, this.#endpoints.get(unmapped(address), port))
  }

  /** The kernel takes datagrams again. */
  handleDrain(): void {
    this.#isBlocked = false
    this.#flush()
  }

  send(datagram: Uint8Array, { address, port }: Endpoint): boolean {
    if (this.#isClosed) return true
    if (this.#waiting.length >= WAITING_MAX * MEMBERS) {
      this.drops['udp-queue-full']++
      return true
    }
    const isMapped = this.#isDualStack && !address.includes(':')
    this.#waiting.push(datagram, port, isMapped ? `${MAPPED}${address}` : address)
    if (!this.#isFlushDue && !this.#isBlocked) {
      this.#isFlushDue = true
      // Once the work that makes datagrams is done.
      queueMicrotask(this.#flush)
    }
    return false
  }

  async close(): Promise<void> {
    if (this.#isClosed) return
    this.#flush()
    this.#isClosed = true
    this.#socket.close()
  }

  readonly #flush = (): void => {
    this.#isFlushDue = false
    if (this.#isClosed || this.#isBlocked || this.#waiting.length === 0) return
    const packets = this.#waiting
    this.#waiting = []
    try {
      const sent = this.#socket.sendMany(packets) * MEMBERS
      if (sent >= packets.length) return
      this.#isBlocked = true
      this.#waiting = packets.slice(sent)
    } catch {
      // One of them cannot be sent, and how many were is not told; twice is harmless to who checks for replays.
      this.#sendEach(packets)
    }
  }

  #sendEach(packets: Packets): void {
    for (let i = 0; i < packets.length; i += MEMBERS) {
      const [datagram, port, address] = packets.slice(i, i + MEMBERS) as [
        Uint8Array,
        number,
        string,
      ]
      try {
        if (!this.#socket.send(datagram, port, address)) this.drops['udp-unsent']++
      } catch {
        this.drops['udp-unsent']++
      }
    }
  }
}

function unmapped(address: string): string {
  return address.startsWith(MAPPED) ? address.slice(MAPPED.length) : address
}

/** A socket, and whom its handlers tell: `reload` does not replace them, so they are made before there is anybody. */
interface Bound {
  readonly socket: Socket
  readonly handlers: { socket: UdpSocket | undefined }
}

async function bind(hostname: string, port: number): Promise<Bound> {
  const handlers: Bound['handlers'] = { socket: undefined }
  try {
    const socket = await Bun.udpSocket({
      hostname,
      port,
      binaryType: 'uint8array',
      socket: {
        data: (_socket, datagram, fromPort, from) =>
          handlers.socket?.handleDatagram(datagram, fromPort, from),
        drain: () => handlers.socket?.handleDrain(),
        // A peer that is gone is reported here (ICMP); that is its path's business, not ours.
        error: () => {},
      },
    })
    return { socket, handlers }
  } catch (error) {
    const where = formatEndpoint({ address: hostname, port })
    const { code, message } = error as { readonly code?: string; readonly message: string }
    const why = code === 'EADDRINUSE' ? 'is in use by another program' : message
    throw new StorageError('ERR_ADDRESS_IN_USE', `UDP ${where} ${why}`, { cause: error })
  }
}
