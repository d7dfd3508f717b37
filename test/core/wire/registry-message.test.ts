import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { concat } from '../../../core/bytes.ts'
import { WireError } from '../../../core/errors.ts'
import {
  encodeRegistryFrame,
  REGISTRY_FRAME_MAX,
  RegistryFrameDecoder,
  type RegistryMessage,
} from '../../../core/wire/registry-message.ts'

const text = (value: string): Uint8Array => new Uint8Array(Buffer.from(value))

function frame(body: Uint8Array): Uint8Array {
  const prefix = new Uint8Array(4)
  new DataView(prefix.buffer).setUint32(0, body.length)
  return concat(prefix, body)
}

function decodeAll(...chunks: readonly Uint8Array[]): RegistryMessage[] {
  const decoder = new RegistryFrameDecoder()
  const out: RegistryMessage[] = []
  for (const chunk of chunks) {
    decoder.push(chunk)
    for (let one = decoder.next(); one !== undefined; one = decoder.next()) out.push(one)
  }
  return out
}

const object = fc.dictionary(fc.string({ unit: 'binary' }), fc.jsonValue())

describe('registry frames', () => {
  it('puts the body length in front, big-endian, in the same buffer', () => {
    expect(
      Buffer.from(encodeRegistryFrame({ type: 'lookup', node_id: 1 })).toString('latin1'),
    ).toBe('\0\0\0\x1d{"type":"lookup","node_id":1}')
  })

  it('encodes as UTF-8 exactly as the platform does', () => {
    fc.assert(
      fc.property(object, (message) => {
        const body = Buffer.from(JSON.stringify(message))
        expect(Buffer.from(encodeRegistryFrame(message)).equals(frame(body))).toBe(true)
      }),
    )
  })

  it('gives back what was encoded, however the stream is cut', () => {
    fc.assert(
      fc.property(
        fc.array(object, { maxLength: 4 }),
        fc.array(fc.nat(), { maxLength: 9 }),
        (messages, cuts) => {
          const wire = concat(...messages.map(encodeRegistryFrame))
          const at = [
            0,
            ...cuts.map((cut) => cut % (wire.length + 1)).sort((a, b) => a - b),
            wire.length,
          ]
          const chunks = at.slice(1).map((end, i) => wire.subarray(at[i], end))
          expect(decodeAll(...chunks)).toEqual(
            messages.map((one) => JSON.parse(JSON.stringify(one))),
          )
        },
      ),
    )
  })

  it('any bytes are messages or a WireError, and the error stays', () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 64 })), (chunks) => {
        const decoder = new RegistryFrameDecoder()
        let error: unknown
        for (const chunk of chunks) {
          decoder.push(chunk)
          try {
            while (decoder.next() !== undefined);
            expect(error).toBeUndefined()
          } catch (caught) {
            expect(caught).toBeInstanceOf(WireError)
            expect(error === undefined || error === caught).toBe(true)
            error = caught
          }
        }
      }),
    )
  })

  it('any body is a message or a WireError', () => {
    fc.assert(
      fc.property(fc.oneof(fc.json().map(text), fc.uint8Array()), (body) => {
        try {
          expect(decodeAll(frame(body))).toHaveLength(1)
        } catch (error) {
          if (!(error instanceof WireError)) throw error
        }
      }),
    )
  })

  it.each([
    ['no body', ''],
    ['array', '[]'],
    ['string', '"x"'],
    ['number', '1'],
    ['trailing garbage', '{}x'],
    ['byte-order mark', '\ufeff{}'],
    ['truncated JSON', '{"a":'],
  ])('refuses %s', (_name, body) => {
    expect(() => decodeAll(frame(text(body)))).toThrow(WireError)
  })

  it('takes null as a message without members, and surrounding white space', () => {
    expect(decodeAll(frame(text('null')), frame(text(' \r\n\t{"a":1} ')))).toEqual([{}, { a: 1 }])
  })

  it('lets the last of duplicate keys win and keeps "__proto__" a plain member', () => {
    const [message] = decodeAll(frame(text('{"a":1,"a":2,"__proto__":{"b":1}}')))
    expect(Object.entries(message!)).toEqual([
      ['a', 2],
      ['__proto__', { b: 1 }],
    ])
    expect(message!.b).toBeUndefined()
  })

  it('replaces invalid UTF-8 by U+FFFD and reads on', () => {
    const body = concat(text('{"a":"x'), Uint8Array.of(0xff, 0xed, 0xa0, 0x80, 0xc3), text('é"}'))
    expect(decodeAll(frame(body))).toEqual([{ a: 'x\ufffd\ufffd\ufffd\ufffd\ufffdé' }])
  })

  it('refuses an announced length above 2^20 at once and takes one of 2^20', () => {
    const decoder = new RegistryFrameDecoder()
    decoder.push(Uint8Array.of(0, 0x10, 0, 1))
    expect(() => decoder.next()).toThrow(expect.objectContaining({ code: 'ERR_WIRE_LENGTH' }))
    const value = 'x'.repeat(REGISTRY_FRAME_MAX - 8)
    expect(decodeAll(encodeRegistryFrame({ a: value }))).toEqual([{ a: value }])
    expect(() => encodeRegistryFrame({ a: `${value}x` })).toThrow(WireError)
  })

  it('refuses nesting deeper than 10 000', () => {
    const nested = (depth: number): Uint8Array =>
      frame(text(`{"s":"[[\\"[","a":${'['.repeat(depth - 1)}${']'.repeat(depth - 1)}}`))
    expect(decodeAll(nested(10_000))).toHaveLength(1)
    expect(() => decodeAll(nested(10_001))).toThrow(WireError)
  })

  it('holds no more memory than has arrived', () => {
    const decoder = new RegistryFrameDecoder()
    decoder.push(Uint8Array.of(0, 0x10, 0, 0, 0x7b))
    expect(decoder.next()).toBeUndefined()
    expect(decoder.pendingBytes).toBe(5)
  })
})
