/** What one of two recorded daemons did, stream by stream: when it dialed, wrote and closed, and what it had sent. */
import { decodeBeaconMessage, decodePacket, looksLikeSack, type Packet } from '../../core/index.ts'
import { hex, type VectorCase } from '../support.ts'

export type Role = 'A' | 'B'

export interface Recorded {
  readonly at: number
  readonly from: string
  readonly to: string
  readonly bytes: Uint8Array
  /** The packet inside, of streams and datagrams. */
  readonly packet: Packet | undefined
}

export const SYN = 1
export const ACK = 2
export const FIN = 4
export const RST = 8

/** Datagrams in the order of the capture, up to `until`. */
export function recordedOf(capture: VectorCase, until = Number.POSITIVE_INFINITY): Recorded[] {
  return capture.datagrams
    .filter((one: VectorCase) => one.t_ms < until)
    .map((one: VectorCase) => {
      const bytes = hex(one.hex)
      return {
        at: one.t_ms,
        from: one.from,
        to: one.to,
        bytes,
        packet: packetOf(bytes, one.decrypted_hex),
      }
    })
}

function packetOf(bytes: Uint8Array, decrypted: string | undefined): Packet | undefined {
  if (decrypted !== undefined) return decodePacket(hex(decrypted))
  let frame = bytes
  if (bytes[0]! < 0x10) {
    const message = decodeBeaconMessage(bytes)
    if (!('frame' in message)) return undefined
    frame = message.frame
  }
  const isPlain = Buffer.from(frame.subarray(0, 4)).toString() === 'PILT'
  return isPlain ? decodePacket(frame.subarray(4)) : undefined
}

/** All that one side said in one stream, whatever was lost or came twice. */
export class Said {
  isOpened = false
  isFinished = false
  isReset = false
  readonly #pieces = new Map<number, Uint8Array>()

  /** Of packets of references a SACK is told from data by its first bytes (spec/03 §4). */
  add({ flags, seq, payload }: Packet): void {
    if ((flags & SYN) !== 0) this.isOpened = true
    if ((flags & FIN) !== 0) this.isFinished = true
    if ((flags & RST) !== 0) this.isReset = true
    if (payload.length > 0 && !looksLikeSack(payload) && (flags & (SYN | RST)) === 0)
      this.#pieces.set(seq, payload)
  }

  get bytes(): string {
    const length = Math.max(0, ...[...this.#pieces].map(([seq, piece]) => seq - 1 + piece.length))
    const all = Buffer.alloc(length)
    for (const [seq, piece] of this.#pieces) all.set(piece, seq - 1)
    return all.toString('hex')
  }

  get end(): number {
    return 1 + this.bytes.length / 2
  }
}

/** `<own port>-<peer's port>` of a packet that this side sent. */
export function streamKey(packet: Packet): string {
  return `${packet.sourcePort}-${packet.destinationPort}`
}

/** By stream, from the side of who sent the packets. */
export function saidIn(packets: Iterable<Packet>): Map<string, Said> {
  const streams = new Map<string, Said>()
  for (const packet of packets) {
    if (packet.protocol !== 1) continue
    const key = streamKey(packet)
    let said = streams.get(key)
    if (said === undefined) {
      said = new Said()
      streams.set(key, said)
    }
    said.add(packet)
  }
  return streams
}

export function packetsOf(recorded: readonly Recorded[], from: string): Packet[] {
  return recorded.flatMap((one) =>
    one.from === from && one.packet !== undefined ? [one.packet] : [],
  )
}
