/** What arrives in authenticated packets: segments, SYNs, datagrams and pings (spec/03 parts A to C). */
import { PORT } from '../constants.ts'
import type { Instant } from '../machine.ts'
import type { PortTable } from '../port/port-table.ts'
import { Connection } from '../stream/connection.ts'
import { FLAG, type PacketReader, PROTOCOL } from '../wire/packet.ts'
import type { Admission } from './admission.ts'
import type { LoosePacket, NodeContext } from './context.ts'
import type { Peer } from './peer.ts'
import type { Prober } from './prober.ts'
import type { Scheduler } from './scheduler.ts'
import { detailOf, Stream, streamKey } from './stream.ts'
import type { StreamTable } from './stream-table.ts'

/** Datagrams that wait for the application. */
const DATAGRAMS_MAX = 1024

export interface PacketReceiverParts {
  readonly context: NodeContext
  readonly admission: Admission
  readonly ports: PortTable
  readonly prober: Prober
  readonly scheduler: Scheduler
  readonly streams: StreamTable
}

export class PacketReceiver {
  readonly #parts: PacketReceiverParts
  #waitingDatagrams = 0

  constructor(parts: PacketReceiverParts) {
    this.#parts = parts
  }

  /** `reader` holds an authentic packet of `peer`. */
  handle(peer: Peer, reader: PacketReader, now: Instant): void {
    switch (reader.protocol) {
      case PROTOCOL.stream:
        return this.#handleSegment(peer, reader, now)
      case PROTOCOL.datagram:
        return this.#handleDatagram(peer, reader, now)
      case PROTOCOL.control:
        return this.#handleControl(peer, reader, now)
      default:
        return this.#parts.context.drop('unknown-protocol')
    }
  }

  /** The application took a datagram event. */
  handleDatagramTaken(): void {
    this.#waitingDatagrams--
  }

  #handleSegment(peer: Peer, reader: PacketReader, now: Instant): void {
    const { flags } = reader
    let stream = peer.streams.get(streamKey(reader.destinationPort, reader.sourcePort))
    const isSyn = (flags & FLAG.SYN) !== 0 && (flags & FLAG.ACK) === 0
    if (isSyn && stream?.connection.isSupersededBy(reader.seq, now) === true) {
      // The peer restarted and dials from a port of its former life (spec/03 §6).
      stream.connection.abort('reset', now)
      this.#parts.scheduler.touchStream(stream)
      stream = undefined
    }
    if (stream !== undefined) {
      const { seq, ack, window, payload } = reader
      if (stream.connection.peerIsModern) peer.isModern = true
      const wasOpen = stream.connection.state !== 'CLOSED'
      stream.connection.handleSegment(flags, seq, ack, window, payload, now)
      if ((flags & FLAG.RST) !== 0 && wasOpen && stream.connection.state === 'CLOSED')
        this.#parts.context.emitDetail({ type: 'stream-reset', ...detailOf(stream) })
      this.#parts.scheduler.touchStream(stream)
    } else if (isSyn) this.#handleSyn(peer, reader, now)
    else if (flags === FLAG.ACK) this.#refuse(peer, reader, now)
  }

  #handleSyn(peer: Peer, reader: PacketReader, now: Instant): void {
    const { context, admission, ports, streams, scheduler } = this.#parts
    const port = reader.destinationPort
    if (port !== PORT.trust && !admission.admits(peer, now)) return context.drop('untrusted')
    if (!ports.isListening(port)) return this.#refuse(peer, reader, now)
    if (!admission.takeSyn(peer, now)) {
      const address = { network: reader.sourceNetwork, node: peer.id }
      context.emitDetail({ type: 'syn-limited', source: { address, port: reader.sourcePort } })
      return context.drop('syn-rate')
    }
    if (context.isClosing || !streams.hasRoomOn(port)) return this.#refuse(peer, reader, now)
    const { sourceNetwork, sourcePort, destinationNetwork, seq, window, payload } = reader
    const connection = Connection.accept(
      streams.connectionOptions(
        peer,
        // Answers come from the address the peer used, so that its lookup matches (spec/03 §2.3).
        { address: { network: destinationNetwork, node: context.nodeId }, port },
        { address: { network: sourceNetwork, node: peer.id }, port: sourcePort },
        now,
      ),
      seq,
      window,
      payload,
    )
    ports.countConnection(port, 1)
    const owner = port === PORT.trust ? 'trust-inbound' : 'application'
    const stream = new Stream(connection, peer, owner, true)
    context.emitDetail({ type: 'stream-requested', ...detailOf(stream) })
    scheduler.addStream(stream)
  }

  /** RST for what nothing is behind; never for an RST, never more than a few. */
  #refuse(peer: Peer, reader: PacketReader, now: Instant): void {
    const { context, admission } = this.#parts
    if (!admission.takeReset(now)) return context.drop('reset-rate')
    const packet = context.encode({
      protocol: PROTOCOL.stream,
      flags: FLAG.RST,
      ...returnAddress(peer, reader),
      sourcePort: reader.destinationPort,
    })
    peer.push({ packet })
  }

  #handleDatagram(peer: Peer, reader: PacketReader, now: Instant): void {
    const { context, admission } = this.#parts
    if (!admission.admits(peer, now)) return context.drop('untrusted')
    if (reader.payloadLength === 0) return context.drop('malformed')
    if (this.#waitingDatagrams >= DATAGRAMS_MAX) return context.drop('datagram-queue')
    this.#waitingDatagrams++
    const address = { network: reader.sourceNetwork, node: peer.id }
    context.emit({
      type: 'datagram',
      source: { address, port: reader.sourcePort },
      destinationPort: reader.destinationPort,
      data: reader.payload,
    })
  }

  #handleControl(peer: Peer, reader: PacketReader, now: Instant): void {
    const { context, admission, prober } = this.#parts
    const { seq, payload } = reader
    if ((reader.flags & FLAG.ACK) !== 0) {
      if (reader.destinationPort === PORT.control) prober.handlePong(peer, seq, payload, now)
      return
    }
    if (reader.destinationPort !== PORT.ping) return
    if (reader.sourcePort === 0 && reader.payloadLength === 0) return // keepalive
    if (!admission.admits(peer, now)) return context.drop('untrusted')
    if (!admission.takePong(peer, now)) return context.drop('pong-rate')
    const packet = context.encode({
      protocol: PROTOCOL.control,
      flags: FLAG.ACK,
      ...returnAddress(peer, reader),
      sourcePort: PORT.ping,
      seq,
      ack: (seq + 1) >>> 0,
      payload,
    })
    peer.push({ packet })
  }
}

/** Where an answer goes, and the network it comes from: the one the peer addressed. */
function returnAddress(
  peer: Peer,
  reader: PacketReader,
): Pick<LoosePacket, 'sourceNetwork' | 'destination' | 'destinationPort'> {
  return {
    sourceNetwork: reader.destinationNetwork,
    destination: { network: reader.sourceNetwork, node: peer.id },
    destinationPort: reader.sourcePort,
  }
}
