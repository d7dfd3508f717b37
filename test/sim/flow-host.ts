/** A host of many streams at once that share its access link: bulk senders, each with its own controller, or a sink. */
import type { Endpoint, Instant } from '../../core/machine.ts'
import { Connection } from '../../core/stream/connection.ts'
import type { ConnectionTuning } from '../../core/stream/tuning.ts'
import { FLAG, PacketReader } from '../../core/wire/packet.ts'
import type { Random } from './random.ts'
import type { Host, Transmit } from './world.ts'

const SINK_PORT = 1000
const CHUNK: Uint8Array = new Uint8Array(60_000)

export interface FlowHostOptions {
  readonly node: number
  readonly endpoint: Endpoint
  readonly peer: { readonly node: number; readonly endpoint: Endpoint }
  readonly random: Random
  readonly tuning?: Partial<ConnectionTuning>
}

interface Flow {
  readonly connection: Connection
  /** Bytes still to write, and read so far. */
  left: number
  received: number
}

/** Flows are told apart by the dialer's port. */
export class FlowHost implements Host {
  readonly endpoint: Endpoint
  readonly flows: Map<number, Flow> = new Map()
  readonly #options: FlowHostOptions
  readonly #reader = new PacketReader()
  readonly #buffer = new Uint8Array(4096)
  #turn = 0

  constructor(options: FlowHostOptions) {
    this.#options = options
    this.endpoint = options.endpoint
  }

  /** Sends `bytes` from a port of its own. To be followed by `world.touch`. */
  dial(port: number, bytes: number, tuning: Partial<ConnectionTuning>, now: Instant): Connection {
    const connection = Connection.dial(this.#connectionOptions(port, SINK_PORT, tuning, now))
    const flow = { connection, left: bytes, received: 0 }
    this.flows.set(port, flow)
    this.#settle(flow, now)
    return connection
  }

  handleDatagram(datagram: Uint8Array, _from: Endpoint, now: Instant): void {
    const reader = this.#reader
    if (reader.read(datagram) !== undefined) throw new Error('malformed')
    const port = reader.sourcePort === SINK_PORT ? reader.destinationPort : reader.sourcePort
    let flow = this.flows.get(port)
    if (flow === undefined) {
      if (reader.flags !== FLAG.SYN) return
      const options = this.#connectionOptions(SINK_PORT, port, this.#options.tuning, now)
      const connection = Connection.accept(options, reader.seq, reader.window)
      flow = { connection, left: 0, received: 0 }
      this.flows.set(port, flow)
    } else {
      const { flags, seq, ack, window, payload } = reader
      flow.connection.handleSegment(flags, seq, ack, window, payload, now)
    }
    this.#settle(flow, now)
  }

  handleTimeout(now: Instant): void {
    for (const flow of this.flows.values()) {
      const at = flow.connection.pollTimeout()
      if (at === undefined || at > now) continue
      flow.connection.handleTimeout(now)
      this.#settle(flow, now)
    }
  }

  pollTimeout(): Instant | undefined {
    let earliest: Instant | undefined
    for (const { connection } of this.flows.values()) {
      const at = connection.pollTimeout()
      if (at !== undefined && (earliest === undefined || at < earliest)) earliest = at
    }
    return earliest
  }

  /** A packet of each flow in turn. */
  pollTransmit(now: Instant): Transmit | undefined {
    const flows = [...this.flows.values()]
    for (let i = 0; i < flows.length; i++) {
      const { connection } = flows[(this.#turn + i) % flows.length]!
      const length = connection.pollTransmit(this.#buffer, 0, now)
      if (length === 0) continue
      this.#turn = (this.#turn + i + 1) % flows.length
      return { to: this.#options.peer.endpoint, datagram: this.#buffer.subarray(0, length) }
    }
    return undefined
  }

  #settle(flow: Flow, now: Instant): void {
    const { connection } = flow
    while (flow.left > 0) {
      const taken = connection.write(CHUNK.subarray(0, Math.min(flow.left, CHUNK.length)), now)
      flow.left -= taken
      if (taken < CHUNK.length) break
    }
    for (let part = connection.read(now); part !== undefined; part = connection.read(now))
      flow.received += part.length
  }

  #connectionOptions(
    localPort: number,
    remotePort: number,
    tuning: Partial<ConnectionTuning> | undefined,
    now: Instant,
  ): Parameters<typeof Connection.dial>[0] {
    const { node, peer, random } = this.#options
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
