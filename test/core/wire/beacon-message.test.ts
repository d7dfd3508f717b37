import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  decodeBeaconMessage,
  encodeBeaconMessage,
  formatEndpoint,
  formatIp,
  ipBytes,
  WireError,
} from '../../../core/index.ts'
import { hex, vectors } from '../../support.ts'

const toHex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex')

describe('beacon messages', () => {
  it.each(vectors('beacon', 'discover_reply'))('discover reply: $name', (one) => {
    if (one.error) {
      // Another type may decode as what it is; as a reply it must not.
      let type: string | undefined
      try {
        type = decodeBeaconMessage(hex(one.hex)).type
      } catch (error) {
        expect(error).toBeInstanceOf(WireError)
      }
      return expect(type).not.toBe('discover-reply')
    }
    const message = decodeBeaconMessage(hex(one.hex))
    if (message.type !== 'discover-reply') throw new Error(message.type)
    expect(formatEndpoint(message.endpoint)).toBe(one.endpoint)
  })

  it.each(vectors('beacon', 'client_send').filter((one) => hex(one.hex)[0]! < 0x10))(
    '$name',
    (one) => {
      expect(toHex(encodeBeaconMessage(decodeBeaconMessage(hex(one.hex))))).toBe(one.hex)
    },
  )

  const served = vectors('beacon', 'server').flatMap((one) =>
    one.steps.flatMap((step: { hex: string; sent?: { hex: string }[] }) =>
      (step.sent ?? []).map((sent) => sent.hex),
    ),
  )
  it.each([...new Set<string>(served)].filter((sent) => sent.length < 4000))(
    'what a beacon sends: %s',
    (sent) => {
      expect(toHex(encodeBeaconMessage(decodeBeaconMessage(hex(sent))))).toBe(sent)
    },
  )

  it('any bytes are a message or a typed error, and messages survive a round trip', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: 10 }),
        fc.uint8Array({ maxLength: 60 }),
        (type, rest) => {
          try {
            const message = decodeBeaconMessage(Uint8Array.from([type, ...rest]))
            expect(decodeBeaconMessage(encodeBeaconMessage(message))).toEqual(message)
          } catch (error) {
            expect(error).toBeInstanceOf(WireError)
          }
        },
      ),
      { numRuns: 500 },
    )
  })

  it('IP text and bytes agree', () => {
    fc.assert(
      fc.property(fc.oneof(fc.ipV4(), fc.ipV6()), (text) => {
        const bytes = ipBytes(text)
        expect(bytes).toBeDefined()
        expect(ipBytes(formatIp(bytes!))).toEqual(bytes)
      }),
    )
    expect(formatIp(ipBytes('::ffff:203.0.113.7')!)).toBe('203.0.113.7')
    expect(formatIp(ipBytes('2001:db8:0:0:1:0:0:1')!)).toBe('2001:db8::1:0:0:1')
    for (const bad of ['', '1.2.3', '1.2.3.256', '1::2::3', '12345::', 'x', '1:2:3:4:5:6:7'])
      expect(ipBytes(bad)).toBeUndefined()
  })
})
