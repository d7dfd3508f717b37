/** STUN on the beacon's port (RFC 8489): vectors of RFC 5769, refusals, rates, and that no beacon message is taken for one. */
import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { toHex } from '../../core/bytes.ts'
import type { Endpoint } from '../../core/machine.ts'
import { type BeaconMessage, encodeBeaconMessage } from '../../core/wire/beacon-message.ts'
import { crc32 } from '../../core/wire/crc32.ts'
import { Beacon } from '../../signaling/beacon.ts'
import { answerStun } from '../../signaling/stun.ts'
import { hex } from '../support.ts'

/** RFC 5769 §2.1: a request with SOFTWARE, PRIORITY, ICE-CONTROLLED, USERNAME, MESSAGE-INTEGRITY, FINGERPRINT. */
const SAMPLE = hex(
  `000100582112a442b7e7a701bc34d686fa87dfae8022001053
   54554e207465737420636c69656e74002400046e0001ff80290008932f
   f9b151263b36000600096576746a3a68367659202020000800149aea
   a70cbfd8cb56781ef2b5b2d3f249c1b571a280280004e57a3bcf`.replace(/\s/g, ''),
)
const TRANSACTION = 'b7e7a701bc34d686fa87dfae'
/** RFC 5769 §2.2 and §2.3: the addresses and how they look under the transaction above. */
const V4: Endpoint = { address: '192.0.2.1', port: 32853 }
const V4_VALUE = '0001a147e112a643'
const V6: Endpoint = { address: '2001:db8:1234:5678:11:2233:4455:6677', port: 32853 }
const V6_VALUE = '0002a1470113a9faa5d3f179bc25f4b5bed2b9d9'
const SHORTEST = hex(`000100002112a442${TRANSACTION}`)

describe('a binding request', () => {
  it.each([
    [V4, V4_VALUE],
    [V6, V6_VALUE],
  ])('from $address is answered with it, XORed', (from, value) => {
    const length = value.length / 2
    const answer = answerStun(SHORTEST, from)!
    expect(toHex(answer)).toBe(
      `0101${(4 + length).toString(16).padStart(4, '0')}2112a442${TRANSACTION}0020${length
        .toString(16)
        .padStart(4, '0')}${value}`,
    )
    expect(answer.length).toBe(20 + 4 + length)
  })

  it('with a fingerprint is answered with one', () => {
    const answer = answerStun(SAMPLE, V4)!
    expect(toHex(answer.subarray(0, -8))).toBe(`010100142112a442${TRANSACTION}00200008${V4_VALUE}`)
    const sum = (crc32(answer.subarray(0, -8)) ^ 0x5354554e) >>> 0
    expect(toHex(answer.subarray(-8))).toBe(`80280004${sum.toString(16).padStart(8, '0')}`)
  })

  it('with a wrong fingerprint, or something after it, is not answered', () => {
    const wrong = SAMPLE.slice()
    wrong[wrong.length - 1]! ^= 1
    expect(answerStun(wrong, V4)).toBeUndefined()
    const more = new Uint8Array(SAMPLE.length + 4)
    more.set(SAMPLE)
    more[3]! += 4
    expect(answerStun(more, V4)).toBeUndefined()
  })

  it('with attributes it must understand and does not is refused, naming them', () => {
    // CHANGE-REQUEST (RFC 5780) and one of nobody.
    const request = hex(`000100102112a442${TRANSACTION}0003000400000006${'7f01000158000000'}`)
    expect(toHex(answerStun(request, V4)!)).toBe(
      `011100102112a442${TRANSACTION}0009000400000414000a000400037f01`,
    )
  })

  it('is never answered with more than 24 bytes beyond it', () => {
    const types = fc.array(fc.integer({ min: 0, max: 0x7fff }), { maxLength: 130 })
    fc.assert(
      fc.property(types, (unknown) => {
        const body = unknown.map((type) => `${type.toString(16).padStart(4, '0')}0000`).join('')
        const length = (4 * unknown.length).toString(16).padStart(4, '0')
        const request = hex(`0001${length}2112a442${TRANSACTION}${body}`)
        const answer = answerStun(request, V6)
        if (answer !== undefined) expect(answer.length).toBeLessThanOrEqual(request.length + 24)
      }),
    )
  })

  it.each([
    ['another method', hex(`000200002112a442${TRANSACTION}`)],
    ['a response', hex(`010100002112a442${TRANSACTION}`)],
    ['an indication', hex(`001100002112a442${TRANSACTION}`)],
    ['no magic cookie', hex(`000100002112a443${TRANSACTION}`)],
    ['too short', SHORTEST.subarray(0, 19)],
    ['a length of more than there is', hex(`000100042112a442${TRANSACTION}`)],
    ['a length of less than there is', hex(`000100002112a442${TRANSACTION}80220000`)],
    ['an attribute beyond the end', hex(`000100042112a442${TRANSACTION}80220004`)],
    ['a kilobyte', hex(`000103e82112a442${TRANSACTION}${'80220000'.repeat(250)}`)],
  ])('is not seen in %s', (_what, bytes) => {
    expect(answerStun(bytes, V4)).toBeUndefined()
  })

  it('is seen in no bytes at random, which never throw', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => {
        expect(answerStun(bytes, V4)).toBeUndefined()
      }),
    )
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 64 }), (tail) => {
        const bytes = new Uint8Array(20 + tail.length)
        bytes.set(SHORTEST)
        bytes[3] = tail.length
        bytes.set(tail, 20)
        answerStun(bytes, V4)
      }),
    )
  })
})

describe('on one port with the beacon', () => {
  const messages: readonly BeaconMessage[] = [
    { type: 'discover', nodeId: 7 },
    { type: 'discover', nodeId: 7, publicKey: new Uint8Array(32) },
    { type: 'discover', nodeId: 7, extended: true },
    { type: 'discover-reply', endpoint: V4 },
    { type: 'punch-request', requesterId: 7, targetId: 8 },
    { type: 'punch-command', endpoint: V4 },
    // A frame that is a STUN request itself.
    { type: 'relay', senderId: 7, destinationId: 8, frame: SHORTEST },
    { type: 'relay-deliver', senderId: 7, frame: SHORTEST },
    { type: 'relay-deliver', senderId: 7, destinationId: 8, frame: SHORTEST },
    { type: 'sync', beaconId: 1, nodeIds: [1, 2, 3, 4] },
  ]

  it.each(messages)('a beacon message $type is none of STUN', (message) => {
    const bytes = encodeBeaconMessage(message)
    expect(bytes[0]).toBeGreaterThan(0)
    expect(answerStun(bytes, V4)).toBeUndefined()
    const beacon = new Beacon({}, 0)
    beacon.handleDatagram(bytes, V4, 0)
    expect(beacon.counters.stunBindings).toBe(0)
  })

  it('both are answered, each in its way', () => {
    const beacon = new Beacon({}, 0)
    beacon.handleDatagram(SHORTEST.slice(), V4, 0)
    beacon.handleDatagram(hex('0100000007'), V4, 0)
    beacon.handleDatagram(hex('00'), V4, 0)
    expect(toHex(beacon.pollTransmit()!.datagram)).toContain(V4_VALUE)
    expect(toHex(beacon.pollTransmit()!.datagram)).toBe('0204c00002018055')
    expect(beacon.pollTransmit()).toBeUndefined()
    expect(beacon.counters).toMatchObject({
      stunBindings: 1,
      discovers: 1,
      drops: { malformed: 1 },
    })
  })

  it('STUN registers nothing', () => {
    const beacon = new Beacon({}, 0)
    beacon.handleDatagram(SHORTEST.slice(), V4, 0)
    expect(beacon.nodeCount).toBe(0)
  })

  it('20 requests are answered at once, then 5 a second per address', () => {
    const beacon = new Beacon({}, 0)
    const ask = (count: number, now: number): void => {
      for (let i = 0; i < count; i++) beacon.handleDatagram(SHORTEST.slice(), V4, now)
    }
    ask(100, 0)
    expect(beacon.counters).toMatchObject({ stunBindings: 20, drops: { rateLimited: 80 } })
    ask(100, 1000)
    expect(beacon.counters.stunBindings).toBe(25)
    beacon.handleDatagram(SHORTEST.slice(), V6, 1000)
    expect(beacon.counters.stunBindings).toBe(26)
  })
})
