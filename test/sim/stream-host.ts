/** A host that is nothing but streams: it dials or accepts, and its datagrams are bare packets. */
import type { Endpoint, Instant } from '../../core/machine.ts'
import { Connection } from '../../core/stream/connection.ts'
import type { ConnectionTuning } from '../../core/stream/tuning.ts'
import { FLAG, PacketReader } from '../../core/wire/packet.ts'
import type { Random } from './random.ts'
import type { Host, Transmit } from './world.ts'

export interface StreamHostOptions {
  readonly node: number
  readonly endpoint: Endpoint
  readonly peer: { readonly node: number; readonly endpoint: Endpoint }
  readonly random: Random
  readonly tuning?: Partial<ConnectionTuning>
  /** Called when anything happened to a connection. */
  readonly onActivity: (connection: Connection, now: Instant) => void
}

/** One stream at a time, between port 49152 of the dialer and port 1000. */
export class StreamHost implements Host {
  readonly endpoint: Endpoint
  readonly #options: StreamHostOptions
  readonly #reader = new PacketReader()
  readonly #buffer = new Uint8Array(4096)
  connection: Connection | undefined
  malformed = 0

  constructor(options: StreamHostOptions) {
    this.#options = options
    this.endpoint = options.endpoint
  }

  dial(now: Instant): Connection {
    this.connection = Connection.dial(this.#connectionOptions(49152, 1000, now))
    return this.connection
  }

  handleDatagram(datagram: Uint8Array, _from: Endpoint, now: Instant): void {
    const reader = this.#reader
    if (reader.read(datagram) !== undefined) {
      this.malformed++
      return
    }
    if (this.connection === undefined) {
      if (reader.flags !== FLAG.SYN) return
      const options = this.#connectionOptions(1000, reader.sourcePort, now)
      this.connection = Connection.accept(options, reader.seq, reader.window)
    } else {
      const { flags, seq, ack, window, payload } = reader
      this.connection.handleSegment(flags, seq, ack, window, payload, now)
    }
    this.#settle(now)
  }

  handleTimeout(now: Instant): void {
    this.connection?.handleTimeout(now)
    this.#settle(now)
  }

  pollTimeout(): Instant | undefined {
    return this.connection?.pollTimeout()
  }

  pollTransmit(now: Instant): Transmit | undefined {
    const length = this.connection?.pollTransmit(this.#buffer, 0, now) ?? 0
    if (length === 0) return undefined
    return { to: this.#options.peer.endpoint, datagram: this.#buffer.subarray(0, length) }
  }

  #settle(now: Instant): void {
    if (this.connection !== undefined) this.#options.onActivity(this.connection, now)
  }

  #connectionOptions(
    localPort: number,
    remotePort: number,
    now: Instant,
  ): Parameters<typeof Connection.dial>[0] {
    const { node, peer, random, tuning } = this.#options
    return {
      id: 1,
      local: { address: { network: 0, node }, port: localPort },
      remote: { address: { network: 0, node: peer.node }, port: remotePort },
      isn: random.int(0, 0x7fffffff),
      now,
      ...(tuning === undefined ? {} : { tuning }),
    }
  }
}
