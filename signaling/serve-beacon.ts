/** The beacon's UDP socket: one for IPv6 and IPv4 unless an address is named. */
import { PilotError } from '../core/errors.ts'
import type { Endpoint } from '../core/machine.ts'
import type { Beacon } from './beacon.ts'
import type { BeaconSocket, BindBeaconSocket } from './beacon-socket.ts'
import type { Log } from './log.ts'
import { canonicalIp, type ListenAddress } from './serve-address.ts'
import { listenError } from './serve-listen.ts'
import type { SocketCounters } from './statistics.ts'

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
  #socket: BeaconSocket | undefined
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
    let socket: BeaconSocket
    try {
      const bind = await bindOfRuntime()
      socket = await bind(host, port)
    } catch (error) {
      if (error instanceof PilotError) throw error
      throw listenError(error as NodeJS.ErrnoException, text, 'beacon', '-beacon-addr')
    }
    this.#socket = socket
    const { beacon, log } = this.#options
    socket.onerror = (reason) => log.warn('beacon socket error', { reason })
    socket.onmessage = (datagram, address, fromPort) => {
      if (fromPort === 0) return
      beacon.handleDatagram(datagram, this.#intern(address, fromPort), performance.now())
      this.drain()
    }
    this.#ticker = setInterval(() => {
      const at = performance.now()
      if (at < beacon.pollTimeout()) return
      beacon.handleTimeout(at)
      this.drain()
    }, TICK_MS)
    return { address: canonicalIp(socket.address) ?? socket.address, port: socket.port }
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
    await socket?.close()
  }

  #drain(socket: BeaconSocket): void {
    const { beacon, counters } = this.#options
    for (;;) {
      const transmit = beacon.pollTransmit()
      if (transmit === undefined) return
      if (socket.queuedBytes > SEND_QUEUE_BYTES_MAX) {
        counters.datagramsUnsent++
        continue
      }
      const { to, datagram } = transmit
      const address = 'sendTo' in to ? (to as SocketEndpoint).sendTo : sendTo(socket, to.address)
      socket.send(datagram, to.port, address, this.#onSent)
    }
  }

  readonly #onSent = (error: Error | null): void => {
    if (error !== null) this.#options.counters.datagramsUnsent++
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

function sendTo({ isDualStack }: BeaconSocket, address: string): string {
  return isDualStack && !address.includes(':') ? `::ffff:${address}` : address
}

async function bindOfRuntime(): Promise<BindBeaconSocket> {
  if ('Deno' in globalThis) return (await import('./serve-deno.ts')).bindDenoSocket
  return (await import('./serve-beacon-socket.ts')).bindNodeSocket
}
