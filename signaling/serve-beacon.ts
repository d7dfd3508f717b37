/** The beacon's UDP socket: one for IPv6 and IPv4 unless an address is named. */
import { createSocket, type Socket, type SocketOptions } from 'node:dgram'
import { isIP } from 'node:net'
import type { Endpoint } from '../core/machine.ts'
import type { Beacon } from './beacon.ts'
import type { Log } from './log.ts'
import { canonicalIp, type ListenAddress } from './serve-address.ts'
import { listenError } from './serve-listen.ts'
import type { SocketCounters } from './statistics.ts'

const SOCKET_BUFFER_BYTES = 4 * 1024 * 1024
/** Bytes that wait in the process for the socket; more are dropped. */
const SEND_QUEUE_BYTES_MAX = 8 * 1024 * 1024
const ENDPOINTS_MAX = 100_000
const TICK_MS = 250

export interface BeaconServerOptions {
  readonly beacon: Beacon
  readonly counters: SocketCounters
  readonly log: Log
  /** Sends what the beacon has for WebSockets; called whenever it may have something. */
  readonly drainCompat?: () => void
}

/** An endpoint with the text the socket takes for it. */
interface SocketEndpoint extends Endpoint {
  readonly sendTo: string
}

export class BeaconServer {
  readonly #options: BeaconServerOptions
  #socket: Socket | undefined
  #isDualStack = false
  /** One object per endpoint, by address as the socket reports it and port. */
  #endpoints = new Map<string, Map<number, SocketEndpoint>>()
  #endpointCount = 0
  #ticker: NodeJS.Timeout | undefined

  constructor(options: BeaconServerOptions) {
    this.#options = options
  }

  /** @throws {NetworkError} `ERR_ADDRESS_IN_USE`, `ERR_INVALID_ARGUMENT`. */
  async listen({ host, port }: ListenAddress): Promise<{ address: string; port: number }> {
    const text = `${host ?? ''}:${port}`
    try {
      this.#socket = await this.#bind(host, port)
    } catch (error) {
      throw listenError(error as NodeJS.ErrnoException, text, 'beacon', '-beacon-addr')
    }
    const socket = this.#socket
    const { beacon, log } = this.#options
    socket.on('error', (error) => log.warn('beacon socket error', { reason: error.message }))
    socket.on('message', (datagram, { address, port: fromPort }) => {
      if (fromPort === 0) return
      beacon.handleDatagram(datagram, this.#intern(address, fromPort), performance.now())
      this.drain()
    })
    this.#ticker = setInterval(() => {
      const at = performance.now()
      if (at < beacon.pollTimeout()) return
      beacon.handleTimeout(at)
      this.drain()
    }, TICK_MS)
    const bound = socket.address()
    return { address: canonicalIp(bound.address) ?? bound.address, port: bound.port }
  }

  /** Sends what the beacon has to send, by UDP and to WebSockets. */
  drain(): void {
    if (this.#socket !== undefined) this.#drain(this.#socket)
    this.#options.drainCompat?.()
  }

  async close(): Promise<void> {
    clearInterval(this.#ticker)
    const socket = this.#socket
    this.#socket = undefined
    if (socket !== undefined) await new Promise<void>((resolve) => socket.close(() => resolve()))
  }

  async #bind(host: string | undefined, port: number): Promise<Socket> {
    if (host !== undefined) return bindSocket(host.includes(':') ? 'udp6' : 'udp4', host, port)
    try {
      const socket = await bindSocket('udp6', '::', port)
      this.#isDualStack = true
      return socket
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException
      if (code !== 'EAFNOSUPPORT' && code !== 'EADDRNOTAVAIL') throw error
      return bindSocket('udp4', '0.0.0.0', port)
    }
  }

  #drain(socket: Socket): void {
    const { beacon, counters } = this.#options
    for (;;) {
      const transmit = beacon.pollTransmit()
      if (transmit === undefined) return
      if (socket.getSendQueueSize() > SEND_QUEUE_BYTES_MAX) {
        counters.datagramsUnsent++
        continue
      }
      const { to, datagram } = transmit
      const address = 'sendTo' in to ? (to as SocketEndpoint).sendTo : this.#sendTo(to.address)
      socket.send(datagram, to.port, address, this.#onSent)
    }
  }

  readonly #onSent = (error: Error | null): void => {
    if (error !== null) this.#options.counters.datagramsUnsent++
  }

  #sendTo(address: string): string {
    return this.#isDualStack && !address.includes(':') ? `::ffff:${address}` : address
  }

  #intern(address: string, port: number): SocketEndpoint {
    let ports = this.#endpoints.get(address)
    const known = ports?.get(port)
    if (known !== undefined) return known
    if (this.#endpointCount >= ENDPOINTS_MAX) {
      // Objects in use stay alive where they are used; equal endpoints compare by value.
      this.#endpoints = new Map()
      this.#endpointCount = 0
      ports = undefined
    }
    if (ports === undefined) {
      ports = new Map()
      this.#endpoints.set(address, ports)
    }
    const endpoint = { address: canonicalIp(address) ?? address, port, sendTo: address }
    ports.set(port, endpoint)
    this.#endpointCount++
    return endpoint
  }
}

function bindSocket(type: 'udp4' | 'udp6', address: string, port: number): Promise<Socket> {
  const options: SocketOptions = {
    type,
    recvBufferSize: SOCKET_BUFFER_BYTES,
    sendBufferSize: SOCKET_BUFFER_BYTES,
  }
  // Datagrams go to IP addresses only: no resolver, no detour through the next tick.
  if (isIP(address) !== 0)
    options.lookup = (host, _options, callback) => callback(null, host, type === 'udp6' ? 6 : 4)
  const socket = createSocket(options)
  return new Promise((resolve, reject) => {
    socket.once('error', (error) => {
      socket.close()
      reject(error)
    })
    socket.bind({ port, address }, () => {
      socket.removeAllListeners('error')
      resolve(socket)
    })
  })
}
