/**
 * Virtual packets: a 34-byte header and its payload (spec/01 §2). Encoding writes in place, so that a
 * packet can be built where it is sealed; decoding gives views.
 */
import { WireError } from '../errors.ts'
import type { Address } from './address.ts'
import { crc32 } from './crc32.ts'

export const PACKET_HEADER_BYTES = 34
export const PACKET_PAYLOAD_MAX = 0xffff
export const PACKET_VERSION = 1

export const FLAG = { SYN: 1, ACK: 2, FIN: 4, RST: 8 } as const
export const PROTOCOL = { stream: 1, datagram: 2, control: 3 } as const

/** Header fields. Numbers are unsigned and within their field's width. */
export interface PacketHeader {
  readonly flags: number // low nibble of byte 0
  readonly protocol: number // uint8
  readonly source: Address
  readonly destination: Address
  readonly sourcePort: number
  readonly destinationPort: number
  readonly seq: number
  readonly ack: number
  readonly window: number
}

export interface Packet extends PacketHeader {
  readonly payload: Uint8Array // after decoding, a view into the input: copy it to keep it
}

const AT = {
  versionFlags: 0,
  protocol: 1,
  payloadLength: 2,
  sourceNetwork: 4,
  sourceNode: 6,
  destinationNetwork: 10,
  destinationNode: 12,
  sourcePort: 16,
  destinationPort: 18,
  seq: 20,
  ack: 24,
  window: 28,
  checksum: 30,
  payload: 34,
} as const

/**
 * Writes the header at `offset` for a payload of `payloadLength` bytes that already stands at
 * `offset + 34`, checksum included, and returns the packet's length.
 *
 * The hot path of every stream: no object is made.
 */
export function writePacketHeader(
  out: Uint8Array,
  offset: number,
  protocol: number,
  flags: number,
  source: Address,
  sourcePort: number,
  destination: Address,
  destinationPort: number,
  seq: number,
  ack: number,
  window: number,
  payloadLength: number,
): number {
  out[offset] = (PACKET_VERSION << 4) | flags
  out[offset + AT.protocol] = protocol
  put16(out, offset + AT.payloadLength, payloadLength)
  put16(out, offset + AT.sourceNetwork, source.network)
  put32(out, offset + AT.sourceNode, source.node)
  put16(out, offset + AT.destinationNetwork, destination.network)
  put32(out, offset + AT.destinationNode, destination.node)
  put16(out, offset + AT.sourcePort, sourcePort)
  put16(out, offset + AT.destinationPort, destinationPort)
  put32(out, offset + AT.seq, seq)
  put32(out, offset + AT.ack, ack)
  put16(out, offset + AT.window, window)
  put32(out, offset + AT.checksum, 0)
  const length = PACKET_HEADER_BYTES + payloadLength
  put32(out, offset + AT.checksum, crc32(out, offset, offset + length))
  return length
}

/** @throws {WireError} `ERR_WIRE_LENGTH` when the payload exceeds 65535 bytes. */
export function encodePacket(packet: Packet): Uint8Array {
  const { payload } = packet
  if (payload.length > PACKET_PAYLOAD_MAX)
    throw new WireError(
      'ERR_WIRE_LENGTH',
      `payload of ${payload.length} bytes exceeds ${PACKET_PAYLOAD_MAX}`,
    )
  const out = new Uint8Array(PACKET_HEADER_BYTES + payload.length)
  out.set(payload, PACKET_HEADER_BYTES)
  writePacketHeader(
    out,
    0,
    packet.protocol,
    packet.flags & 15,
    packet.source,
    packet.sourcePort,
    packet.destination,
    packet.destinationPort,
    packet.seq,
    packet.ack,
    packet.window,
    payload.length,
  )
  return out
}

/**
 * A packet read field by field from the bytes that hold it. One reader can serve every packet a node
 * receives: `read` replaces what it looks at, and a getter costs no object.
 */
export class PacketReader {
  #bytes: Uint8Array = new Uint8Array(0)

  /**
   * Looks at `bytes` and returns `undefined` when they are a sound packet, else why not. Bytes after
   * header and payload are ignored, as everywhere (spec/01 §2).
   */
  read(bytes: Uint8Array): PacketFault | undefined {
    if (bytes.length < PACKET_HEADER_BYTES) return 'ERR_WIRE_TRUNCATED'
    this.#bytes = bytes
    const end = PACKET_HEADER_BYTES + this.payloadLength
    if (bytes.length < end) return 'ERR_WIRE_TRUNCATED'
    let crc = crc32(bytes, 0, AT.checksum)
    crc = crc32(ZEROES, 0, 4, crc)
    crc = crc32(bytes, AT.payload, end, crc)
    if (crc !== get32(bytes, AT.checksum)) return 'ERR_WIRE_CHECKSUM'
    // Deviation: G1 and G2 process any version; the protocol has only ever had version 1.
    if (bytes[0]! >> 4 !== PACKET_VERSION) return 'ERR_WIRE_TYPE'
    return undefined
  }

  get flags(): number {
    return this.#bytes[0]! & 15
  }
  get protocol(): number {
    return this.#bytes[AT.protocol]!
  }
  get payloadLength(): number {
    return get16(this.#bytes, AT.payloadLength)
  }
  get sourceNetwork(): number {
    return get16(this.#bytes, AT.sourceNetwork)
  }
  get sourceNode(): number {
    return get32(this.#bytes, AT.sourceNode)
  }
  get destinationNetwork(): number {
    return get16(this.#bytes, AT.destinationNetwork)
  }
  get destinationNode(): number {
    return get32(this.#bytes, AT.destinationNode)
  }
  get sourcePort(): number {
    return get16(this.#bytes, AT.sourcePort)
  }
  get destinationPort(): number {
    return get16(this.#bytes, AT.destinationPort)
  }
  get seq(): number {
    return get32(this.#bytes, AT.seq)
  }
  get ack(): number {
    return get32(this.#bytes, AT.ack)
  }
  get window(): number {
    return get16(this.#bytes, AT.window)
  }
  /** A view into the bytes read. */
  get payload(): Uint8Array {
    return this.#bytes.subarray(AT.payload, AT.payload + this.payloadLength)
  }
}

export type PacketFault = 'ERR_WIRE_TRUNCATED' | 'ERR_WIRE_CHECKSUM' | 'ERR_WIRE_TYPE'

/** @throws {WireError} `ERR_WIRE_TRUNCATED`, `ERR_WIRE_CHECKSUM`, or `ERR_WIRE_TYPE` for a version other than 1. */
export function decodePacket(bytes: Uint8Array): Packet {
  const reader = new PacketReader()
  const fault = reader.read(bytes)
  if (fault !== undefined)
    throw new WireError(fault, `${FAULT_TEXT[fault]} (${bytes.length} bytes)`)
  return {
    flags: reader.flags,
    protocol: reader.protocol,
    source: { network: reader.sourceNetwork, node: reader.sourceNode },
    destination: { network: reader.destinationNetwork, node: reader.destinationNode },
    sourcePort: reader.sourcePort,
    destinationPort: reader.destinationPort,
    seq: reader.seq,
    ack: reader.ack,
    window: reader.window,
    payload: reader.payload,
  }
}

const FAULT_TEXT: Record<PacketFault, string> = {
  ERR_WIRE_TRUNCATED: 'packet shorter than its header and payload length',
  ERR_WIRE_CHECKSUM: 'packet checksum does not match',
  ERR_WIRE_TYPE: 'packet version is not 1',
}

const ZEROES = new Uint8Array(4)

function put16(out: Uint8Array, at: number, value: number): void {
  out[at] = value >>> 8
  out[at + 1] = value
}
function put32(out: Uint8Array, at: number, value: number): void {
  out[at] = value >>> 24
  out[at + 1] = value >>> 16
  out[at + 2] = value >>> 8
  out[at + 3] = value
}
function get16(bytes: Uint8Array, at: number): number {
  return (bytes[at]! << 8) | bytes[at + 1]!
}
function get32(bytes: Uint8Array, at: number): number {
  return (
    ((bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!) >>> 0
  )
}
