/**
 * How a beacon of its own finds the others (spec/02 §3): every 30 s it announces itself at the registry and asks which
 * there are. The answer replaces the list it had; without one the former list stays.
 */
import { connect, type Socket } from 'node:net'
import { type Endpoint, formatEndpoint, sameEndpoint } from '../core/machine.ts'
import {
  encodeRegistryFrame,
  RegistryFrameDecoder,
  type RegistryMessage,
} from '../core/wire/registry-message.ts'
import type { Log } from './log.ts'
import { parseEndpoint } from './request-fields.ts'
import { canonicalIp } from './serve-address.ts'

export interface BeaconLinkOptions {
  readonly registry: { readonly host: string; readonly port: number }
  /** Above 0. */
  readonly beaconId: number
  /** What the socket is bound to; a wildcard is announced as the address that reaches the registry. */
  readonly endpoint: Endpoint
  readonly onPeers: (peers: readonly Endpoint[]) => void
  readonly log: Log
  /** Default 30 000. */
  readonly intervalMs?: number
}

const INTERVAL_MS = 30_000
const EXCHANGE_MS = 10_000

export class BeaconLink {
  readonly #options: BeaconLinkOptions
  readonly #timer: NodeJS.Timeout
  #socket: Socket | undefined
  #lastProblem = ''

  constructor(options: BeaconLinkOptions) {
    this.#options = options
    this.#timer = setInterval(() => this.#exchange(), options.intervalMs ?? INTERVAL_MS)
    this.#exchange()
  }

  close(): void {
    clearInterval(this.#timer)
    this.#socket?.destroy()
  }

  #exchange(): void {
    this.#socket?.destroy()
    const socket = connect(this.#options.registry)
    this.#socket = socket
    const decoder = new RegistryFrameDecoder()
    let problem = 'the registry closed the connection'
    let isDone = false
    socket.setTimeout(EXCHANGE_MS, () => socket.destroy(new Error('the registry is silent')))
    socket.once('connect', () => {
      const { beaconId } = this.#options
      const message = { type: 'beacon_register', beacon_id: beaconId, addr: this.#own(socket) }
      socket.write(encodeRegistryFrame(message))
      socket.write(encodeRegistryFrame({ type: 'beacon_list' }))
    })
    socket.on('data', (chunk) => {
      try {
        decoder.push(chunk)
        for (let message = decoder.next(); message !== undefined; message = decoder.next()) {
          if (typeof message.error === 'string') problem = message.error
          if (message.type !== 'beacon_list_ok') continue
          isDone = true
          this.#handleList(message, this.#own(socket))
          socket.end()
        }
      } catch (error) {
        socket.destroy(error instanceof Error ? error : new Error(String(error)))
      }
    })
    socket.on('error', (error) => {
      problem = error.message
    })
    socket.once('close', () => {
      const told = isDone && problem.startsWith('the registry closed') ? '' : problem
      if (told !== '' && told !== this.#lastProblem)
        this.#options.log.warn('not announced at the registry', { reason: told })
      this.#lastProblem = told
    })
  }

  #own(socket: Socket): string {
    const { address, port } = this.#options.endpoint
    const isWildcard = address === '::' || address === '0.0.0.0'
    const own = isWildcard ? (canonicalIp(socket.localAddress) ?? address) : address
    return formatEndpoint({ address: own, port })
  }

  #handleList(message: RegistryMessage, own: string): void {
    if (!Array.isArray(message.beacons)) return
    const self = parseEndpoint(own)
    const peers = message.beacons.flatMap((one: unknown) => {
      const { id, addr } = (one ?? {}) as { id?: unknown; addr?: unknown }
      const endpoint = typeof addr === 'string' ? parseEndpoint(addr) : undefined
      const isOwn = id === this.#options.beaconId || sameEndpoint(endpoint, self)
      return endpoint === undefined || isOwn ? [] : [endpoint]
    })
    this.#options.onPeers(peers)
  }
}
