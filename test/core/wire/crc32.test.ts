import { crc32 as native } from 'node:zlib'
import fc from 'fast-check'
import { expect, it } from 'vitest'
import { accelerateCrc32, crc32 } from '../../../core/wire/crc32.ts'

const agrees = (): void =>
  fc.assert(
    fc.property(
      fc.uint8Array({ maxLength: 3000, size: 'max' }),
      fc.nat(700),
      fc.nat(700),
      (bytes, from, to) => {
        const start = Math.min(from, bytes.length)
        const end = Math.max(start, bytes.length - to)
        const middle = start + ((end - start) >>> 1)
        const whole = native(bytes.subarray(start, end))
        expect(crc32(bytes, start, end)).toBe(whole)
        expect(crc32(bytes, middle, end, crc32(bytes, start, middle))).toBe(whole)
      },
    ),
  )

it('is the same in JavaScript, and by what a runtime lends', () => {
  agrees()
  let calls = 0
  accelerateCrc32((bytes, crc) => {
    calls++
    return native(bytes, crc)
  })
  agrees()
  expect(calls).toBeGreaterThan(0)
  // Short runs are not worth a call.
  calls = 0
  crc32(new Uint8Array(511))
  expect(calls).toBe(0)
})
