import { randomBytes } from 'node:crypto'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { splitDatagrams } from '../../../../runtimes/node/native/split-datagrams.ts'

function frame(bytes: number, sender = 0x01020304, magic = 'PILS'): Buffer {
  const out = randomBytes(bytes)
  out.write(magic)
  out.writeUInt32BE(sender, 4)
  return out
}

function delivery(bytes: number, sender: number): Buffer {
  const head = Buffer.from([6, 0, 0, 0, 0])
  head.writeUInt32BE(sender, 1)
  return Buffer.concat([head, frame(bytes, sender)])
}

const split = (...parts: Buffer[]): Buffer[] =>
  splitDatagrams(Buffer.concat(parts)).map((part) => Buffer.from(part))

describe('what the kernel joined', () => {
  it('is taken apart: datagrams of one size, the last perhaps shorter', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 36, max: 1500 }),
        fc.integer({ min: 1, max: 40 }),
        fc.integer({ min: 8, max: 1500 }),
        (size, count, last) => {
          const parts = [
            ...Array.from({ length: count }, () => frame(size)),
            frame(Math.min(size, last)),
          ]
          expect(split(...parts)).toEqual(parts)
        },
      ),
    )
  })

  it('may end with a key exchange', () => {
    const parts = [frame(200), frame(200), frame(136, 0x01020304, 'PILA')]
    expect(split(...parts)).toEqual(parts)
  })

  it('may be relayed, from several peers', () => {
    const parts = [delivery(100, 5), delivery(100, 6), delivery(100, 5), delivery(60, 7)]
    expect(split(...parts)).toEqual(parts)
  })

  it.each([
    ['one frame', frame(1222)],
    ['one delivery', delivery(1222, 9)],
    ['nothing', Buffer.alloc(0)],
    ['a byte', Buffer.of(0x50)],
    ['the beginning of a magic', Buffer.from('PIL')],
    ['a beacon message', Buffer.from([2, 4, 127, 0, 0, 1, 0, 80])],
    ['junk', randomBytes(3000)],
  ])('stays whole: %s', (_, data) => {
    expect(split(data)).toEqual([data])
  })

  it('is not taken apart at the magic of another sender, or inside of a header', () => {
    const whole = frame(300)
    whole.write('PILS', 100)
    whole.writeUInt32BE(0x01020305, 104)
    expect(split(whole)).toEqual([whole])
    whole.writeUInt32BE(0x01020304, 30)
    whole.write('PILS', 26) // closer than any frame is long
    expect(split(whole)).toEqual([whole])
  })

  it('loses no byte, whatever comes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 500 }), (bytes) => {
        const parts = splitDatagrams(Buffer.from(bytes))
        expect(Buffer.concat(parts)).toEqual(Buffer.from(bytes))
      }),
    )
  })
})
