/**
 * What a rendezvous does otherwise on Deno: the beacon's socket is Deno's own. Its `node:dgram` loses bursts and lacks
 * what the beacon asks of it; the registry's TCP and TLS, HTTP, WebSockets and SQLite are those of Node, which Deno has.
 */
import { PilotError } from '../core/errors.ts'
import type { BeaconSocket, BindBeaconSocket } from './beacon-socket.ts'

const RECEIVE_BYTES = 65_536
/** After an error that is not the end, so that a broken socket is no busy loop. */
const PAUSE_MS = 20

/** @throws {PilotError} `ERR_PERMISSION` without `--unstable-net` or `--allow-net`. */
export const bindDenoSocket: BindBeaconSocket = async (host, port) => {
  if (typeof Deno.listenDatagram !== 'function') throw missing('--unstable-net')
  try {
    if (host !== undefined) return new DenoBeaconSocket(open(host, port), false)
    try {
      return new DenoBeaconSocket(open('::', port), true)
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException
      if (code !== 'EAFNOSUPPORT' && code !== 'EADDRNOTAVAIL') throw error
      return new DenoBeaconSocket(open('0.0.0.0', port), false)
    }
  } catch (error) {
    if (error instanceof Deno.errors.NotCapable) throw missing('--allow-net')
    throw error
  }
}

class DenoBeaconSocket implements BeaconSocket {
  readonly address: string
  readonly port: number
  readonly isDualStack: boolean
  onmessage: BeaconSocket['onmessage']
  onerror: BeaconSocket['onerror']
  queuedBytes = 0
  readonly #socket: Deno.DatagramConn
  readonly #received: Promise<void>
  #isClosed = false

  constructor(socket: Deno.DatagramConn, isDualStack: boolean) {
    const { hostname, port } = socket.addr as Deno.NetAddr
    this.address = hostname
    this.port = port
    this.isDualStack = isDualStack
    this.#socket = socket
    this.#received = this.#receive()
  }

  send(
    datagram: Uint8Array,
    port: number,
    hostname: string,
    onsent: (error: Error | null) => void,
  ): void {
    if (this.#isClosed) return
    this.queuedBytes += datagram.length
    const over = (error: Error | null): void => {
      this.queuedBytes -= datagram.length
      onsent(error)
    }
    this.#socket.send(datagram, { transport: 'udp', hostname, port }).then(() => over(null), over)
  }

  async close(): Promise<void> {
    if (this.#isClosed) return
    this.#isClosed = true
    this.#socket.close()
    await this.#received
  }

  async #receive(): Promise<void> {
    const buffer = new Uint8Array(RECEIVE_BYTES)
    while (!this.#isClosed) {
      let arrived: [Uint8Array, Deno.Addr]
      try {
        arrived = await this.#socket.receive(buffer)
      } catch (error) {
        if (this.#isClosed) return
        this.onerror?.(error instanceof Error ? error.message : String(error))
        await new Promise((resolve) => setTimeout(resolve, PAUSE_MS))
        continue
      }
      const { hostname, port } = arrived[1] as Deno.NetAddr
      // In memory of its own: the beacon may pass it on later than the next one arrives.
      this.onmessage?.(arrived[0].slice(), hostname, port)
    }
  }
}

function open(hostname: string, port: number): Deno.DatagramConn {
  return Deno.listenDatagram({ hostname, port, transport: 'udp' })
}

function missing(flag: string): PilotError {
  return new PilotError('ERR_PERMISSION', `the beacon needs ${flag} on the command line of deno`)
}
