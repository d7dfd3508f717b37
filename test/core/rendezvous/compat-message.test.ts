/** Authentication on the WebSocket to a beacon (spec/09): texts by hand from the sheet, signatures by node:crypto. */
import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { toBase64 } from '../../../core/bytes.ts'
import { PilotError, WireError } from '../../../core/errors.ts'
import { Identity } from '../../../core/identity/identity.ts'
import {
  type CompatMessage,
  compatChallenge,
  decodeCompatMessage,
  encodeCompatMessage,
} from '../../../core/rendezvous/compat-message.ts'
import { nodeCrypto } from '../../../runtimes/node/crypto.ts'
import { crypto, hex } from '../../support.ts'

const SEED = hex('03883f11812267d7c71301b9450f19964e6f8d0a338060291704345be953846b')
const PUBLIC_KEY = 'ZJdbql6DvOkQzsrSFz2DF1Xd+j7yWwGg89zBgMFNqWk='
const NONCE = '00112233445566778899aabbccddeeff0123456789abcdeffedcba9876543210'

describe('vectors', () => {
  it.each([
    [
      4294967294,
      1748000000,
      `compat_auth:4294967294:1748000000:${NONCE}`,
      'NQFzWpbrHgkbIbRl++9LaJMH8OJmUc3PkrhU2126E6tjkSxvU428Qni4dIHmhziLJz2RtUBgga0JtPHHa/FQCg==',
    ],
    [
      7,
      undefined,
      `compat_auth:7:${NONCE}`,
      'OpnzzO9y+Idfiuur1XrUs8PsN/DaF5b1YZWcK9L+o2g4bmyTxIputgbEL8BbospPkVVtFIFnzf0sC5PRZrDTDQ==',
    ],
  ])('node %d signs with time %s', (nodeId, ts, text, signature) => {
    expect(compatChallenge(nodeId, NONCE, ts)).toBe(text)
    for (const provider of [crypto, nodeCrypto]) {
      const identity = Identity.fromSeed(provider, SEED)
      expect(toBase64(identity.publicKey)).toBe(PUBLIC_KEY)
      expect(identity.signBase64(text)).toBe(signature)
    }
    const reply = `{"type":"auth_reply","node_id":${nodeId},"public_key":"${PUBLIC_KEY}","sig":"${signature}"}`
    const message = decodeCompatMessage(reply)
    expect(message).toMatchObject({ type: 'auth_reply', nodeId, publicKey: PUBLIC_KEY })
    expect(encodeCompatMessage(message)).toBe(reply)
  })

  it('reads and writes the challenge and the end of it', () => {
    const challenge = `{"type":"auth_challenge","nonce":"${NONCE}","ts":1748000000}`
    expect(decodeCompatMessage(challenge)).toEqual({
      type: 'auth_challenge',
      nonce: NONCE,
      ts: 1748000000,
    })
    expect(encodeCompatMessage(decodeCompatMessage(challenge))).toBe(challenge)
    expect(decodeCompatMessage(`{"nonce":"${NONCE}","type":"auth_challenge"}`)).toEqual({
      type: 'auth_challenge',
      nonce: NONCE,
    })
    expect(encodeCompatMessage({ type: 'auth_ok' })).toBe('{"type":"auth_ok"}')
    expect(decodeCompatMessage(' {"type":"auth_ok","more":[1]} ')).toEqual({ type: 'auth_ok' })
    expect(decodeCompatMessage('{"type":"auth_ok","alive":true}')).toEqual({
      type: 'auth_ok',
      alive: true,
    })
    expect(decodeCompatMessage('{"type":"auth_ok","alive":1}')).toEqual({ type: 'auth_ok' })
  })
})

describe('what is refused', () => {
  const reply = (members: object): string =>
    JSON.stringify({
      type: 'auth_reply',
      node_id: 7,
      public_key: '',
      sig: toBase64(new Uint8Array(64)),
      ...members,
    })
  const challenge = (members: object): string =>
    JSON.stringify({ type: 'auth_challenge', nonce: NONCE, ts: 1, ...members })

  it.each([
    ['', 'ERR_WIRE_VALUE'],
    ['null', 'ERR_WIRE_VALUE'],
    ['[]', 'ERR_WIRE_VALUE'],
    ['{}', 'ERR_WIRE_TYPE'],
    ['{"type":"AUTH_OK"}', 'ERR_WIRE_TYPE'],
    [`{"type":"auth_ok","x":"${'x'.repeat(4096)}"}`, 'ERR_WIRE_LENGTH'],
    // Anything but hex could make the signed text mean something else.
    [challenge({ nonce: `${NONCE.slice(1)}:` }), 'ERR_WIRE_VALUE'],
    [challenge({ nonce: NONCE.slice(2) }), 'ERR_WIRE_VALUE'],
    [challenge({ ts: 1.5 }), 'ERR_WIRE_VALUE'],
    [challenge({ ts: '1' }), 'ERR_WIRE_VALUE'],
    [challenge({ ts: -1 }), 'ERR_WIRE_VALUE'],
    [challenge({ ts: 1e300 }), 'ERR_WIRE_VALUE'],
    [reply({ node_id: 0 }), 'ERR_WIRE_VALUE'],
    [reply({ node_id: 2 ** 32 }), 'ERR_WIRE_VALUE'],
    [reply({ node_id: 1.5 }), 'ERR_WIRE_VALUE'],
    [reply({ node_id: '7' }), 'ERR_WIRE_VALUE'],
    [reply({ sig: toBase64(new Uint8Array(63)) }), 'ERR_WIRE_VALUE'],
    [reply({ sig: '!' }), 'ERR_WIRE_VALUE'],
    [reply({ sig: 5 }), 'ERR_WIRE_VALUE'],
  ])('%s', (text, code) => {
    expect(() => decodeCompatMessage(text)).toThrow(expect.objectContaining({ code }))
  })

  it('takes a reply without a public key: the registered one counts', () => {
    expect(decodeCompatMessage(reply({ public_key: undefined }))).toMatchObject({ publicKey: '' })
  })

  it('gives a message or a WireError for any text', () => {
    const any = fc.oneof(
      fc.string(),
      fc.json(),
      fc.object().map((one) => JSON.stringify(one)),
    )
    fc.assert(
      fc.property(any, (text) => {
        try {
          decodeCompatMessage(text)
        } catch (error) {
          expect(error).toBeInstanceOf(WireError)
          expect(error).toBeInstanceOf(PilotError)
        }
      }),
    )
  })
})

it('gives back every message it wrote', () => {
  const nonce = fc
    .uint8Array({ minLength: 32, maxLength: 32 })
    .map((one) => Buffer.from(one).toString('hex'))
  const message: fc.Arbitrary<CompatMessage> = fc.oneof(
    fc.constant({ type: 'auth_ok' } as const),
    fc.record({ type: fc.constant('auth_challenge' as const), nonce, ts: fc.maxSafeNat() }),
    fc.record({ type: fc.constant('auth_challenge' as const), nonce }),
    fc.record({
      type: fc.constant('auth_reply' as const),
      nodeId: fc.integer({ min: 1, max: 0xffffffff }),
      publicKey: fc.base64String(),
      signature: fc.uint8Array({ minLength: 64, maxLength: 64 }),
    }),
  )
  fc.assert(
    fc.property(message, (one) => {
      expect(decodeCompatMessage(encodeCompatMessage(one))).toEqual(one)
    }),
  )
})
