/**
 * Turns what a peer wants to send into datagrams, built in place in the caller's buffer: relay header,
 * frame header, packet, tag. Every packet stands at the same offset, so that nothing is ever moved.
 */
import type { SealJob } from '../crypto/provider.ts'
import type { Endpoint, Instant } from '../machine.ts'
import type { ArrivalPath, Route } from '../nat/path-selector.ts'
import { RELAY_OVERHEAD_BYTES, writeRelayHeader } from '../wire/beacon-message.ts'
import {
  PLAIN_HEADER_BYTES,
  SEAL_TAG_BYTES,
  SEALED_HEADER_BYTES,
  writePlainHeader,
} from '../wire/frame.ts'
import { FLAG, PACKET_HEADER_BYTES, PACKET_PAYLOAD_MAX, PROTOCOL } from '../wire/packet.ts'
import type { OutboxPacket, Peer } from './peer.ts'
import type { Stream } from './stream.ts'

/** Where frames and packets begin in the buffer. */
const FRAME_AT: number = RELAY_OVERHEAD_BYTES
const PACKET_AT: number = FRAME_AT + SEALED_HEADER_BYTES

/** A buffer of this size holds any datagram the node makes. */
export const TRANSMIT_BUFFER_BYTES: number =
  PACKET_AT + PACKET_HEADER_BYTES + PACKET_PAYLOAD_MAX + SEAL_TAG_BYTES

/** One datagram: `buffer[start..end)` goes to `to`. The node reuses the object: read it before the next poll. */
export interface Transmit {
  to: Endpoint
  start: number
  end: number
  /**
   * Where the AEAD answers later: `buffer[seal.start..end - 16)` is still in the clear. Seal it, tag
   * included, before anything is sent.
   */
  seal: (SealJob & { readonly start: number }) | undefined
}

/** Told when a stream's connection handed out a packet. */
export type StreamPolled = (stream: Stream, now: Instant) => void

interface FrameCopy {
  readonly peer: Peer
  readonly frame: Uint8Array
  readonly job: SealJob | undefined
}

export class FrameWriter {
  readonly #nodeId: number
  readonly #beacon: Endpoint | undefined
  readonly #isPaused: (peer: Peer) => boolean
  readonly #transmit: Transmit = {
    to: { address: '', port: 0 },
    start: 0,
    end: 0,
    seal: undefined,
  }
  /** The frame just sent directly, to be sent through the relay as well. */
  #copy: FrameCopy | undefined

  constructor(
    nodeId: number,
    beacon: Endpoint | undefined,
    isPaused: (peer: Peer) => boolean = () => false,
  ) {
    this.#nodeId = nodeId
    this.#beacon = beacon
    this.#isPaused = isPaused
  }

  /** A finished datagram, copied into the buffer. */
  writeRaw(to: Endpoint, datagram: Uint8Array, buffer: Uint8Array): Transmit {
    buffer.set(datagram)
    return this.#result(to, 0, datagram.length)
  }

  /** A frame for a node that need not be a peer, on the path given. */
  writeFrameVia(
    nodeId: number,
    via: ArrivalPath,
    frame: Uint8Array,
    buffer: Uint8Array,
  ): Transmit | undefined {
    buffer.set(frame, FRAME_AT)
    return this.#send(nodeId, via, buffer, FRAME_AT, FRAME_AT + frame.length)
  }

  /** The next datagram of this peer, or `undefined` when it has none that can leave now. */
  write(peer: Peer, buffer: Uint8Array, now: Instant, polled: StreamPolled): Transmit | undefined {
    if (this.#copy !== undefined) {
      const { peer: other, frame, job } = this.#copy
      this.#copy = undefined
      const sent = withSeal(this.writeFrameVia(other.id, 'relay', frame, buffer), job)
      if (sent !== undefined) return counted(sent, other)
    }
    const sent =
      this.#writeKeyExchange(peer, buffer, now) ?? this.#writePacket(peer, buffer, now, polled)
    return counted(sent, peer)
  }

  get hasCopy(): boolean {
    return this.#copy !== undefined
  }

  #writeKeyExchange(peer: Peer, buffer: Uint8Array, now: Instant): Transmit | undefined {
    if (peer.isPlaintext || !peer.tunnel.wantsTransmit) return undefined
    const via = peer.keyExchangeVia
    // Nowhere to send it yet: keep it due until the registry has answered.
    if (via === undefined && peer.paths.route(now) === 'none') return undefined
    const frame = peer.tunnel.pollKeyExchange(now)
    if (frame === undefined) return undefined
    peer.keyExchangeVia = undefined
    if (via !== undefined && (via !== 'relay' || peer.paths.endpoint === undefined))
      return this.writeFrameVia(peer.id, via, frame, buffer)
    buffer.set(frame, FRAME_AT)
    // G1 takes key exchanges only the way the first one came, yet sends its own the other way (spec/01 §12 a).
    const route = via === 'relay' ? 'both' : peer.paths.keyExchangeRoute(now)
    return this.#route(peer, route, buffer, FRAME_AT, FRAME_AT + frame.length, undefined)
  }

  #writePacket(
    peer: Peer,
    buffer: Uint8Array,
    now: Instant,
    polled: StreamPolled,
  ): Transmit | undefined {
    if (!peer.canTransmit) return undefined
    for (;;) {
      if (this.#isPaused(peer)) return undefined
      const queued = peer.shift()
      if (queued !== undefined) {
        buffer.set(queued.packet, PACKET_AT)
        const sent = this.#seal(peer, queued, buffer, queued.packet.length, now)
        if (sent !== undefined) return sent
        continue
      }
      const stream = peer.ready.shift()
      if (stream === undefined) return undefined
      const length = stream.connection.pollTransmit(buffer, PACKET_AT, now)
      stream.isReady = false
      polled(stream, now) // queues it again, behind the others, while it has more
      if (length === 0) continue
      const sent = this.#seal(peer, undefined, buffer, length, now)
      if (sent !== undefined) return sent
    }
  }

  #seal(
    peer: Peer,
    queued: OutboxPacket | undefined,
    buffer: Uint8Array,
    packetBytes: number,
    now: Instant,
  ): Transmit | undefined {
    const expectsAnswer = wantsAnswer(buffer, PACKET_AT)
    let start = FRAME_AT
    let end: number
    let job: SealJob | undefined
    if (peer.isPlaintext) {
      start = PACKET_AT - PLAIN_HEADER_BYTES
      writePlainHeader(buffer, start)
      end = PACKET_AT + packetBytes
    } else {
      const isProbe = queued?.isProbe === true
      if (queued?.profile === undefined && peer.tunnel.sealsTwice(isProbe)) {
        const packet = buffer.slice(PACKET_AT, PACKET_AT + packetBytes)
        peer.pushFirst({ ...queued, packet, profile: 1 })
      }
      end = start + peer.tunnel.seal(buffer, start, packetBytes, now, isProbe, queued?.profile)
      job = peer.tunnel.sealJob
    }
    if (queued?.via !== undefined)
      return withSeal(this.#send(peer.id, queued.via, buffer, start, end), job)
    // Probes are no use: they would keep an idle path alive for the sake of probing it.
    peer.lastUseAt = now
    if (expectsAnswer) peer.paths.handleSent(now)
    return this.#route(peer, peer.paths.route(now), buffer, start, end, job)
  }

  #route(
    peer: Peer,
    route: Route,
    buffer: Uint8Array,
    start: number,
    end: number,
    job: SealJob | undefined,
  ): Transmit | undefined {
    if (route === 'none') return undefined
    if (route === 'relay') return withSeal(this.#send(peer.id, 'relay', buffer, start, end), job)
    if (route === 'both') this.#copy = { peer, frame: buffer.slice(start, end), job }
    return withSeal(this.#result(peer.paths.endpoint!, start, end), job)
  }

  #send(
    nodeId: number,
    via: ArrivalPath,
    buffer: Uint8Array,
    start: number,
    end: number,
  ): Transmit | undefined {
    if (via !== 'relay') return this.#result(via, start, end)
    if (this.#beacon === undefined) return undefined
    const at = start - RELAY_OVERHEAD_BYTES
    writeRelayHeader(buffer, at, this.#nodeId, nodeId)
    return this.#result(this.#beacon, at, end)
  }

  #result(to: Endpoint, start: number, end: number): Transmit {
    const transmit = this.#transmit
    transmit.to = to
    transmit.start = start
    transmit.end = end
    transmit.seal = undefined
    return transmit
  }
}

function counted(transmit: Transmit | undefined, peer: Peer): Transmit | undefined {
  if (transmit !== undefined) peer.bytesSent += transmit.end - transmit.start
  return transmit
}

/** Packets always stand at the same place, so that is where sealing begins. */
function withSeal(transmit: Transmit | undefined, job: SealJob | undefined): Transmit | undefined {
  if (transmit !== undefined && job !== undefined) transmit.seal = { ...job, start: PACKET_AT }
  return transmit
}

/**
 * Whether the peer will answer the packet that stands at `at`: silence after it means something. Not so
 * after bare acknowledgements, resets and pongs, or two idle nodes would keep asking each other.
 */
function wantsAnswer(buffer: Uint8Array, at: number): boolean {
  const flags = buffer[at]! & 15
  if (buffer[at + 1] === PROTOCOL.control) return (flags & FLAG.ACK) === 0
  const hasPayload = buffer[at + 2] !== 0 || buffer[at + 3] !== 0
  return hasPayload || (flags & (FLAG.SYN | FLAG.FIN)) !== 0
}
