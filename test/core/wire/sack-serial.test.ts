import { describe, expect, it } from 'vitest'
import {
  decodeSack,
  encodeSack,
  serialAfter,
  serialAtOrAfter,
  WireError,
} from '../../../core/index.ts'
import { generated, hex, vectors } from '../../support.ts'

describe('SACK payloads', () => {
  it.each(vectors('sack', 'encode'))('encode $blocks', (one) => {
    const blocks = one.blocks.map(([left, right]: [number, number]) => ({ left, right }))
    if (one.hex === null) return expect(() => encodeSack(blocks)).toThrow(WireError)
    expect(Buffer.from(encodeSack(blocks)).toString('hex')).toBe(one.hex)
  })

  it.each(vectors('sack', 'decode'))('decode $name', (one) => {
    const payload =
      one.payload_hex !== undefined
        ? hex(one.payload_hex)
        : Uint8Array.from([
            ...hex(one.payload_head_hex ?? ''),
            ...generated(one.payload_len - hex(one.payload_head_hex ?? '').length),
          ])
    const blocks = decodeSack(payload)
    if (!one.is_sack) return expect(blocks).toBeUndefined()
    expect(blocks).toEqual(one.blocks.map(([left, right]: [number, number]) => ({ left, right })))
  })
})

it.each(vectors('seqarith', 'compare'))(
  'serial $a and $b',
  ({ a, b, after, after_or_equal: atOrAfter, diff_uint32: diff }) => {
    expect(serialAfter(a, b)).toBe(after)
    expect(serialAtOrAfter(a, b)).toBe(atOrAfter)
    expect((a - b) >>> 0).toBe(diff)
  },
)
