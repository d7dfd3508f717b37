import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  decodeAddress,
  encodeAddress,
  formatAddress,
  formatSocketAddress,
  PilotError,
  parseAddress,
  parseSocketAddress,
} from '../../../core/index.ts'
import { hex, vectors } from '../../support.ts'

describe('addresses, as the reference reads and writes them', () => {
  it.each(vectors('address', 'addr'))('parse $input', (one) => {
    if (one.error) return expect(() => parseAddress(one.input)).toThrow(PilotError)
    const address = parseAddress(one.input)
    expect(address).toEqual({ network: one.network, node: one.node })
    expect(formatAddress(address)).toBe(one.canonical)
  })

  it.each(vectors('address', 'socket'))('parse socket $input', (one) => {
    if (one.error) return expect(() => parseSocketAddress(one.input)).toThrow(PilotError)
    const { address, port } = parseSocketAddress(one.input)
    expect({ ...address, port }).toEqual({ network: one.network, node: one.node, port: one.port })
    expect(formatSocketAddress({ address, port })).toBe(one.canonical)
  })

  it.each(vectors('address', 'format'))('format $canonical', (one) => {
    const address = { network: one.network, node: one.node }
    const bytes = new Uint8Array(10)
    encodeAddress(address, new DataView(bytes.buffer), 2)
    expect(Buffer.from(bytes.subarray(2, 8)).toString('hex')).toBe(one.marshal_hex)
    expect(formatAddress(address)).toBe(one.canonical)
    expect(decodeAddress(bytes, 2)).toEqual(address)
  })

  it.each(vectors('address', 'unmarshal'))('decode $hex', (one) => {
    const bytes = hex(one.hex)
    // The reference's later library reads a short address as zero; ours refuses it (spec/01 §1.2).
    if (bytes.length < 6) return expect(() => decodeAddress(bytes)).toThrow(/need 6/)
    expect(decodeAddress(bytes)).toEqual({ network: one.network, node: one.node })
  })

  it('any text is an address or a typed error', () => {
    fc.assert(
      fc.property(fc.string(), (text) => {
        try {
          const address = parseAddress(text)
          expect(parseAddress(formatAddress(address))).toEqual(address)
        } catch (error) {
          expect(error).toMatchObject({ code: 'ERR_ADDRESS_SYNTAX' })
        }
      }),
    )
  })
})
