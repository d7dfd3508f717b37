/** Raw UDP as a datagram socket: IPv4, and IPv6 beside it on the same port where the machine has it. */
import { createSocket, type Socket } from 'node:dgram'
import { isIPv6 } from 'node:net'
import { type Endpoint, formatEndpoint, StorageError } from '../../core/index.ts'
import { EndpointPool } from '../shared/endpoint-pool.ts'
import { parseListen } from '../shared/places.ts'
import type { DatagramSocket } from '../shared/transport.ts'
import { bytesOf } from './crypto.ts'
import type { DatagramBatch } from './native/datagram-batch.ts'
import type { NativeLibrary } from './native/library.ts'
import { splitDatagrams } from './native/split-datagrams.ts'

/** Too small a receive buffer loses bursts (spec/03 §8.2). The kernel grants up to its `rmem_max`. */
const BUFFER_BYTES = 4 << 20

export class UdpSocket implements DatagramSocket {
  readonly localEndpoint: Endpoint
  ondatagram: ((datagram: Uint8Array, from: Endpoint) => void) | undefined
  readonly #v4: Socket | undefined
  readonly #v6: Socket | undefined
  readonly #endpoints = new EndpointPool()
  #isClosed = false
  #isFlushDue = false
  readonly #batches: {
    readonly v4: DatagramBatch | undefined
    readonly v6: DatagramBatch | undefined
  }

  private constructor(
    v4: Socket | undefined,
    v6: Socket | undefined,
    listen: Endpoint,
    native: NativeLibrary | undefined,
  ) {
    this.#v4 = v4
    this.#v6 = v6
    this.localEndpoint = { address: listen.address, port: (v4 ?? v6)!.address().port }
    const batches = [v4, v6].map((socket) => socket && batchOf(socket, native))
    this.#batches = { v4: batches[0], v6: batches[1] }
    for (const [i, socket] of [v4, v6].entries()) {
      const isJoined = batches[i]?.receiveBatches() === true
      socket?.on('message', (data, info) => {
        const from = this.#endpoints.get(info.address, info.port)
        if (!isJoined) this.ondatagram?.(bytesOf(data), from)
        else for (const datagram of splitDatagrams(data)) this.ondatagram?.(datagram, from)
      })
      // A peer that is gone may be reported here (ICMP); that is its path's business, not ours.
      socket?.on('error', () => {})
    }
  }

  /**
   * Binds `host:port`, `:port` (every address, IPv6 too) or `[v6]:port`; port 0 picks a free one. With `native`
   * datagrams go to the kernel in batches where it takes them.
   *
   * @throws {UsageError} `ERR_INVALID_ARGUMENT`; {@link StorageError} `ERR_ADDRESS_IN_USE` when it cannot be had.
   */
  static async bind(listen: string, native?: NativeLibrary): Promise<UdpSocket> {
    const { address, port } = parseListen(listen)
    const isWildcard = address === ''
    if (!isWildcard && isIPv6(address)) {
      const v6 = await bind('udp6', port, address, listen)
      return new UdpSocket(undefined, v6, { address, port }, native)
    }
    const v4 = await bind('udp4', port, isWildcard ? '0.0.0.0' : address, listen)
    const v6 = isWildcard
      ? await bind('udp6', v4.address().port, '::', listen).catch(() => undefined)
      : undefined
    const shown = { address: isWildcard ? '127.0.0.1' : address, port }
    return new UdpSocket(v4, v6, shown, native)
  }

  send(datagram: Uint8Array, to: Endpoint): boolean {
    if (this.#isClosed) return true
    const batch = to.address.includes(':') ? this.#batches.v6 : this.#batches.v4
    if (batch === undefined) return this.#sendAlone(datagram, to)
    const isFree = batch.send(datagram, to, this.#sendAlone)
    if (!this.#isFlushDue && !batch.isEmpty) {
      this.#isFlushDue = true
      // Once the work that makes datagrams is done.
      queueMicrotask(this.#flush)
    }
    return isFree
  }

  readonly #sendAlone = (datagram: Uint8Array, { address, port }: Endpoint): boolean => {
    const socket = address.includes(':') ? this.#v6 : this.#v4
    if (socket === undefined) return true
    // Without a callback an error is nobody's: this datagram is lost, as any may be.
    socket.send(datagram, 0, datagram.length, port, address)
    return socket.getSendQueueCount() === 0
  }

  readonly #flush = (): void => {
    this.#isFlushDue = false
    if (this.#isClosed) return
    this.#batches.v4?.flush(this.#sendAlone)
    this.#batches.v6?.flush(this.#sendAlone)
  }

  async close(): Promise<void> {
    if (this.#isClosed) return
    this.#flush()
    this.#isClosed = true
    this.#batches.v4?.close()
    this.#batches.v6?.close()
    await Promise.all(
      [this.#v4, this.#v6].map(
        (socket) => socket && new Promise<void>((resolve) => socket.close(() => resolve())),
      ),
    )
  }
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

/** The descriptor is nothing that Node documents: where it is not found there are no batches. */
function batchOf(socket: Socket, native: NativeLibrary | undefined): DatagramBatch | undefined {
  const symbol = Object.getOwnPropertySymbols(socket).find(
    ({ description }) => description === 'state symbol',
  )
  const state = symbol && (socket as unknown as Record<symbol, SocketState | undefined>)[symbol]
  const descriptor = state?.handle?.fd
  return typeof descriptor === 'number' && descriptor >= 0 ? native?.batch?.(descriptor) : undefined
}

interface SocketState {
  readonly handle?: { readonly fd?: number } | null
}
