import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  decodePacket,
  encodePacket,
  type Packet,
  PacketReader,
  WireError,
} from '../../../core/index.ts'
import { crc32 } from '../../../core/wire/crc32.ts'
import { generated, hex, sha256Hex, type VectorCase, vectors } from '../../support.ts'

function packetOf(fields: VectorCase, payload: Uint8Array): Packet {
  return {
    flags: fields.flags,
    protocol: fields.protocol,
    source: { network: fields.src_network, node: fields.src_node },
    destination: { network: fields.dst_network, node: fields.dst_node },
    sourcePort: fields.src_port,
    destinationPort: fields.dst_port,
    seq: fields.seq,
    ack: fields.ack,
    window: fields.window,
    payload,
  }
}

const payloadOf = (one: VectorCase): Uint8Array =>
  one.payload_hex === undefined ? generated(one.payload_len) : hex(one.payload_hex)

describe('packets, byte for byte', () => {
  const encodable = vectors('packet', 'encode').filter(
    (one) => !one.error && one.fields.version === 1,
  )
  it.each(encodable)('encode $name', (one) => {
    const bytes = encodePacket(packetOf(one.fields, payloadOf(one)))
    expect(bytes.length).toBe(one.frame_len)
    if (one.frame_hex !== undefined) expect(Buffer.from(bytes).toString('hex')).toBe(one.frame_hex)
    else {
      expect(Buffer.from(bytes.subarray(0, 34)).toString('hex')).toBe(one.header_hex)
      expect(sha256Hex(bytes)).toBe(one.frame_sha256)
    }
  })

  it.each(vectors('packet', 'encode').filter((one) => one.error))(
    'refuses to encode $name',
    (one) => {
      expect(() => encodePacket(packetOf(one.fields, payloadOf(one)))).toThrow(WireError)
    },
  )

  it.each(vectors('packet', 'decode'))('decode $name', (one) => {
    const base = hex(one.hex)
    // From the middle of a larger buffer: views must keep their offset.
    const padded = new Uint8Array(base.length + 20)
    padded.set(base, 11)
    const bytes = padded.subarray(11, 11 + base.length)
    // Deviation: versions other than 1 are dropped, as in the later generations.
    const isOtherVersion = base.length > 0 && base[0]! >> 4 !== 1
    if (one.verdict !== 'accept' || isOtherVersion)
      return expect(() => decodePacket(bytes)).toThrow(WireError)
    const packet = decodePacket(bytes)
    expect(packet).toEqual(packetOf(one.fields, payloadOf(one)))
  })

  it.each(vectors('packet', 'crc32'))('crc $crc32_hex', (one) => {
    const data = one.data_hex === undefined ? generated(one.data_len) : hex(one.data_hex)
    expect(crc32(data).toString(16).padStart(8, '0')).toBe(one.crc32_hex)
  })

  it('refuses every truncation', () => {
    const [one] = encodable.filter(
      (candidate) => candidate.frame_len < 80 && candidate.payload_len > 4,
    )
    const bytes = hex(one.frame_hex)
    for (let length = 0; length < bytes.length; length++)
      expect(() => decodePacket(bytes.subarray(0, length))).toThrow(WireError)
  })

  it('refuses every flipped bit', () => {
    const bytes = hex(
      '12010005000000000001000000000002c00003e8000000010000000101f65ee872c868656c6c6f',
    )
    for (let bit = 0; bit < bytes.length * 8; bit++) {
      const flipped = bytes.slice()
      flipped[bit >> 3]! ^= 1 << (bit & 7)
      expect(new PacketReader().read(flipped)).toBeDefined()
    }
  })

  it('any bytes are a packet or a typed error', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 100 }), (bytes) => {
        expect(['undefined', 'string']).toContain(typeof new PacketReader().read(bytes))
      }),
    )
  })
})
