/**
 * Raw UDP by `Deno.listenDatagram`. Not `node:dgram`, which Deno has as well and without a flag: its echo is 30 times
 * as slow, and of a burst most is lost.
 */
import { type Endpoint, formatEndpoint, StorageError } from '../../core/index.ts'
import { EndpointPool } from '../shared/endpoint-pool.ts'
import { parseListen } from '../shared/places.ts'
import type { DatagramSocket } from '../shared/transport.ts'
import { missing, requireNet } from './permission.ts'

/** Deno cannot ask for a larger receive buffer than the system's default: what is beyond is lost there. */
const RECEIVE_BYTES = 65_536
/** Datagrams that wait for the kernel; more are dropped. */
const PENDING_MAX = 1024
/** After an error that is not the end, so that a broken socket is no busy loop. */
const PAUSE_MS = 20
const MAPPED = '::ffff:'

export class UdpSocket implements DatagramSocket {
  readonly localEndpoint: Endpoint
  ondatagram: ((datagram: Uint8Array, from: Endpoint) => void) | undefined
  readonly drops: { 'udp-queue-full': number; 'udp-not-permitted': number; 'udp-unsent': number } =
    { 'udp-queue-full': 0, 'udp-not-permitted': 0, 'udp-unsent': 0 }
  readonly #socket: Deno.DatagramConn
  /** Of both families: IPv4 addresses come and go as `::ffff:a.b.c.d`. */
  readonly #isDualStack: boolean
  readonly #endpoints = new EndpointPool()
  readonly #addresses = new WeakMap<Endpoint, Deno.NetAddr>()
  readonly #received: Promise<void>
  #pending = 0
  #isClosed = false

  private constructor(socket: Deno.DatagramConn, address: string) {
    const { hostname, port } = socket.addr as Deno.NetAddr
    this.#socket = socket
    this.#isDualStack = hostname === '::'
    this.localEndpoint = { address: address === '' ? '127.0.0.1' : address, port }
    this.#received = this.#receive()
  }

  /**
   * Binds `host:port`, `:port` (every address, IPv6 too) or `[v6]:port`; port 0 picks a free one.
   *
   * @throws {UsageError} `ERR_INVALID_ARGUMENT`; {@link StorageError} `ERR_ADDRESS_IN_USE` when it cannot be had;
   * {@link PilotError} `ERR_PERMISSION` without `--unstable-net` or `--allow-net`.
   */
  static async bind(listen: string): Promise<UdpSocket> {
    const { address, port } = parseListen(listen)
    if (typeof Deno.listenDatagram !== 'function') throw missing('UDP', '--unstable-net')
    if (address !== '') return new UdpSocket(await bind(address, port), address)
    const socket = await bind('::', port).catch((error: unknown) => {
      // No IPv6 on this machine; any other reason is met again.
      if (error instanceof StorageError) return bind('0.0.0.0', port)
      throw error
    })
    return new UdpSocket(socket, address)
  }

  send(datagram: Uint8Array, to: Endpoint): boolean {
    if (this.#isClosed) return true
    if (this.#pending >= PENDING_MAX) {
      this.drops['udp-queue-full']++
      return true
    }
    this.#pending++
    this.#socket.send(datagram, this.#addressOf(to)).then(this.#onSent, this.#onUnsent)
    return false
  }

  async close(): Promise<void> {
    if (this.#isClosed) return
    this.#isClosed = true
    this.#socket.close()
    await this.#received
  }

  readonly #onSent = (): void => {
    this.#pending--
  }

  readonly #onUnsent = (error: unknown): void => {
    this.#pending--
    this.drops[error instanceof Deno.errors.NotCapable ? 'udp-not-permitted' : 'udp-unsent']++
  }

  async #receive(): Promise<void> {
    const buffer = new Uint8Array(RECEIVE_BYTES)
    while (!this.#isClosed) {
      let arrived: [Uint8Array, Deno.Addr]
      try {
        arrived = await this.#socket.receive(buffer)
      } catch {
        // A peer that is gone may be reported here (ICMP); that is its path's business, not ours.
        if (!this.#isClosed) await new Promise((resolve) => setTimeout(resolve, PAUSE_MS))
        continue
      }
      const { hostname, port } = arrived[1] as Deno.NetAddr
      const address = hostname.startsWith(MAPPED) ? hostname.slice(MAPPED.length) : hostname
      this.ondatagram?.(arrived[0].slice(), this.#endpoints.get(address, port))
    }
  }

  #addressOf(to: Endpoint): Deno.NetAddr {
    let address = this.#addresses.get(to)
    if (address === undefined) {
      const isMapped = this.#isDualStack && !to.address.includes(':')
      const hostname = isMapped ? `${MAPPED}${to.address}` : to.address
      address = { transport: 'udp', hostname, port: to.port }
      this.#addresses.set(to, address)
    }
    return address
  }
}

async function bind(hostname: string, port: number): Promise<Deno.DatagramConn> {
  const where = formatEndpoint({ address: hostname, port })
  await requireNet(where, `UDP on ${where}`)
  try {
    return Deno.listenDatagram({ hostname, port, transport: 'udp' })
  } catch (cause) {
    const why =
      cause instanceof Deno.errors.AddrInUse
        ? 'is in use by another program'
        : cause instanceof Error
          ? cause.message
          : String(cause)
    throw new StorageError('ERR_ADDRESS_IN_USE', `UDP ${where} ${why}`, { cause })
  }
}
