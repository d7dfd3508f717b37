/** Which packet of a connection leaves next, and its bytes (spec/03 §1): RST, handshake, ACK with blocks, data, ACK, FIN, keepalive. */
import type { Instant } from '../machine.ts'
import type { SocketAddress } from '../wire/address.ts'
import { FLAG, PACKET_HEADER_BYTES, PROTOCOL, writePacketHeader } from '../wire/packet.ts'
import type { Closing } from './closing.ts'
import type { Liveness } from './liveness.ts'
import type { Opening } from './opening.ts'
import type { Receiver } from './receiver.ts'
import type { Sender } from './sender.ts'

const { SYN, ACK, FIN, RST } = FLAG

/** What a connection consists of, as far as packets tell of it. */
export interface OutgoingParts {
  readonly local: SocketAddress
  readonly remote: SocketAddress
  readonly isn: number
  readonly opening: Opening
  readonly sender: Sender
  readonly receiver: Receiver
  readonly closing: Closing
  readonly liveness: Liveness
  /** What is written before the SYN leaves goes with it, up to so much. */
  readonly earlyDataMax: number
}

export class Outgoing {
  readonly #parts: OutgoingParts
  #rstDue = false
  #rstSeq = 0

  constructor(parts: OutgoingParts) {
    this.#parts = parts
  }

  /** RST leaves before anything else. */
  requestRst(seq: number): void {
    this.#rstDue = true
    this.#rstSeq = seq
  }

  /** No RST is wanted. */
  forgetRst(): void {
    this.#rstDue = false
  }

  /**
   * Writes the next packet at `out[offset..]` and returns its length, 0 when none is due. `phase` is how much of a
   * connection there is: none any more, a handshake, or an open one.
   */
  next(phase: 'over' | 'opening' | 'open', out: Uint8Array, offset: number, now: Instant): number {
    if (this.#rstDue) {
      this.#rstDue = false
      return this.#packet(out, offset, RST, this.#rstSeq, 0, 0, 0)
    }
    if (phase === 'over') return 0
    const { opening, receiver, sender, closing, liveness } = this.#parts
    const slots = receiver.windowSlots
    if (opening.isDue || (opening.isHeld && (sender.hasUnsent || closing.isDue)))
      return this.#handshake(out, offset, slots, now)
    if (phase === 'opening' || opening.isHeld) return 0
    if (receiver.isAckDue && receiver.isSackDue) return this.#ackPacket(out, offset, slots)
    const length = sender.next(out, offset + PACKET_HEADER_BYTES, now)
    if (length > 0) {
      receiver.handleAckSent(slots)
      const { segmentSeq } = sender
      return this.#packet(out, offset, ACK, segmentSeq, receiver.ackNumber, slots, length)
    }
    if (receiver.isAckDue) return this.#ackPacket(out, offset, slots)
    if (closing.isDue) {
      closing.handleSent(now)
      return this.#packet(out, offset, FIN, sender.nextSeq, 0, 0, 0)
    }
    if (!liveness.isKeepaliveDue) return 0
    receiver.handleAckSent(slots)
    return this.#packet(out, offset, ACK, sender.nextSeq, receiver.ackNumber, slots, 0)
  }

  /** SYN or SYN-ACK, toward our own kind with what there is to say already (spec/10 §20). */
  #handshake(out: Uint8Array, offset: number, slots: number, now: Instant): number {
    const { isn, opening, receiver, sender, earlyDataMax } = this.#parts
    const at = offset + PACKET_HEADER_BYTES
    const isFirst = !opening.isSent
    opening.handleSent(now)
    receiver.handleAckSent(slots)
    if (opening.isDialer) {
      const early = earlyDataMax === 0 ? 0 : sender.copyFirst(out, at, earlyDataMax)
      opening.noteEarly(early)
      return this.#packet(out, offset, SYN, isn, 0, slots, early)
    }
    const length = isFirst && opening.earlyBytes > 0 ? sender.next(out, at, now) : 0
    return this.#packet(out, offset, SYN | ACK, isn, receiver.ackNumber, slots, length)
  }

  /** A pure ACK, with blocks where they tell more. */
  #ackPacket(out: Uint8Array, offset: number, slots: number): number {
    const { receiver, sender } = this.#parts
    const length = receiver.writeSack(out, offset + PACKET_HEADER_BYTES)
    receiver.handleAckSent(slots)
    return this.#packet(out, offset, ACK, sender.nextSeq, receiver.ackNumber, slots, length)
  }

  #packet(
    out: Uint8Array,
    offset: number,
    flags: number,
    seq: number,
    ack: number,
    window: number,
    payloadLength: number,
  ): number {
    const { local, remote } = this.#parts
    return writePacketHeader(
      out,
      offset,
      PROTOCOL.stream,
      flags,
      local.address,
      local.port,
      remote.address,
      remote.port,
      seq,
      ack,
      window,
      payloadLength,
    )
  }
}
