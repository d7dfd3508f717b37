/** Raw UDP as a datagram socket: IPv4, and IPv6 beside it on the same port where the machine has it. */
import { createSocket, type RemoteInfo, type Socket } from 'node:dgram'
import { isIP, isIPv6 } from 'node:net'
import { type Endpoint, formatEndpoint, StorageError, UsageError } from '../../core/index.ts'
import type { DatagramSocket } from '../shared/transport.ts'

/** Too small a receive buffer loses bursts (spec/03 §8.2). The kernel grants up to its `rmem_max`. */
const BUFFER_BYTES = 4 << 20
const ENDPOINTS_MAX = 65_536

export class UdpSocket implements DatagramSocket {
  readonly localEndpoint: Endpoint
  ondatagram: ((datagram: Uint8Array, from: Endpoint) => void) | undefined
  readonly #v4: Socket | undefined
  readonly #v6: Socket | undefined
  #endpoints = new Map<string, Map<number, Endpoint>>()
  #endpointCount = 0
  #isClosed = false

  private constructor(v4: Socket | undefined, v6: Socket | undefined, listen: Endpoint) {
    this.#v4 = v4
    this.#v6 = v6
    this.localEndpoint = { address: listen.address, port: (v4 ?? v6)!.address().port }
    for (const socket of [v4, v6]) {
      socket?.on('message', (datagram, info) => this.ondatagram?.(datagram, this.#intern(info)))
      // A peer that is gone may be reported here (ICMP); that is its path's business, not ours.
      socket?.on('error', () => {})
    }
  }

  /**
   * Binds `host:port`, `:port` (every address, IPv6 too) or `[v6]:port`; port 0 picks a free one.
   *
   * @throws {UsageError} `ERR_INVALID_ARGUMENT`; {@link StorageError} `ERR_ADDRESS_IN_USE` when it cannot be had.
   */
  static async bind(listen: string): Promise<UdpSocket> {
    const { address, port } = parseListen(listen)
    const isWildcard = address === ''
    if (!isWildcard && isIPv6(address)) {
      const v6 = await bind('udp6', port, address, listen)
      return new UdpSocket(undefined, v6, { address, port })
    }
    const v4 = await bind('udp4', port, isWildcard ? '0.0.0.0' : address, listen)
    const v6 = isWildcard
      ? await bind('udp6', v4.address().port, '::', listen).catch(() => undefined)
      : undefined
    return new UdpSocket(v4, v6, { address: isWildcard ? '127.0.0.1' : address, port })
  }

  send(datagram: Uint8Array, { address, port }: Endpoint): void {
    if (this.#isClosed) return
    const socket = address.includes(':') ? this.#v6 : this.#v4
    // Without a callback an error is nobody's: this datagram is lost, as any may be.
    socket?.send(datagram, 0, datagram.length, port, address)
  }

  async close(): Promise<void> {
    if (this.#isClosed) return
    this.#isClosed = true
    await Promise.all(
      [this.#v4, this.#v6].map(
        (socket) => socket && new Promise<void>((resolve) => socket.close(() => resolve())),
      ),
    )
  }

  #intern({ address, port }: RemoteInfo): Endpoint {
    let ports = this.#endpoints.get(address)
    let endpoint = ports?.get(port)
    if (endpoint !== undefined) return endpoint
    if (++this.#endpointCount > ENDPOINTS_MAX) {
      this.#endpoints = new Map()
      this.#endpointCount = 1
      ports = undefined
    }
    if (ports === undefined) {
      ports = new Map()
      this.#endpoints.set(address, ports)
    }
    endpoint = { address, port }
    ports.set(port, endpoint)
    return endpoint
  }
}

/** `''` is every address. @throws {UsageError} `ERR_INVALID_ARGUMENT`. */
export function parseListen(text: string): Endpoint {
  const match = /^(?:\[([^\]]*)\]|([^:]*)):(\d{1,5})$/.exec(text)
  const host = match?.[1] ?? match?.[2] ?? ''
  const port = Number(match?.[3])
  const address =
    host === 'localhost' ? '127.0.0.1' : host === '0.0.0.0' || host === '::' ? '' : host
  if (match === null || port > 0xffff || (address !== '' && isIP(address) === 0))
    throw new UsageError(
      'ERR_INVALID_ARGUMENT',
      `expected an address to listen on as ip:port or :port, got ${JSON.stringify(text)}`,
    )
  return { address, port }
}

function bind(
  type: 'udp4' | 'udp6',
  port: number,
  address: string,
  listen: string,
): Promise<Socket> {
  const socket = createSocket({
    type,
    ...(type === 'udp6' ? { ipv6Only: true } : {}),
    recvBufferSize: BUFFER_BYTES,
    sendBufferSize: BUFFER_BYTES,
    // Endpoints are numeric: no resolver on the way out.
    lookup: (host, _options, callback) => callback(null, host, type === 'udp6' ? 6 : 4),
  })
  return new Promise((resolve, reject) => {
    socket.once('error', (cause: NodeJS.ErrnoException) => {
      socket.close()
      const where = port === 0 ? listen : formatEndpoint({ address, port })
      const why = cause.code === 'EADDRINUSE' ? 'is in use by another program' : cause.message
      reject(new StorageError('ERR_ADDRESS_IN_USE', `UDP ${where} ${why}`, { cause }))
    })
    socket.bind({ port, address, exclusive: true }, () => {
      socket.removeAllListeners('error')
      resolve(socket)
    })
  })
}
