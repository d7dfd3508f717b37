import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  classifyFrame,
  decodeAnonymousKeyExchangeFrame,
  decodeKeyExchangeFrame,
  decodePlainFrame,
  decodeSealedFrame,
  encodeAnonymousKeyExchangeFrame,
  encodeKeyExchangeFrame,
  keyExchangeSigningBytes,
  WireError,
} from '../../../core/index.ts'
import { crypto, hex, vectors } from '../../support.ts'

const toHex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex')

describe('key exchange frames', () => {
  it.each(vectors('crypto', 'pila'))('PILA $name', (one) => {
    const signed = keyExchangeSigningBytes(one.node_id, hex(one.x25519_public_hex))
    expect(toHex(signed)).toBe(one.signed_message_hex)
    expect(toHex(crypto.ed25519Sign(hex(one.ed25519_seed_hex), signed))).toBe(one.signature_hex)
    const frame = {
      sender: one.node_id,
      publicKey: hex(one.x25519_public_hex),
      identityKey: hex(one.ed25519_public_hex),
      signature: hex(one.signature_hex),
    }
    expect(toHex(encodeKeyExchangeFrame(frame))).toBe(one.frame_hex)
    expect(decodeKeyExchangeFrame(hex(one.frame_hex))).toEqual(frame)
    for (let length = 0; length < 136; length++)
      expect(() => decodeKeyExchangeFrame(hex(one.frame_hex).subarray(0, length))).toThrow(
        WireError,
      )
  })

  it.each(vectors('crypto-v19', 'pila_trailer'))('PILA trailer $name', (one) => {
    // A trailer is a hint: whatever it says, the frame is read.
    expect(one.verdict).toBe('accept')
    const { trailer } = decodeKeyExchangeFrame(hex(one.frame_hex))
    if (one.capabilities !== '0' && Number(one.capabilities) < 2 ** 49)
      expect(trailer?.capabilities).toBe(Number(one.capabilities))
    if (one.request_flag_seen) expect((trailer?.flags ?? 0) & 1).toBe(1)
  })

  it.each(vectors('crypto-v19', 'pila'))('PILA with trailer, $name', (one) => {
    const frame = decodeKeyExchangeFrame(hex(one.frame_hex))
    expect(toHex(encodeKeyExchangeFrame(frame))).toBe(one.frame_hex)
    const signed = keyExchangeSigningBytes(frame.sender, frame.publicKey)
    expect(crypto.ed25519Verify(frame.identityKey, signed, frame.signature)).toBe(true)
  })

  it.each([...vectors('crypto', 'pilk'), ...vectors('crypto-v19', 'pilk')])('PILK $name', (one) => {
    const frame = { sender: one.node_id, publicKey: hex(one.x25519_public_hex) }
    expect(toHex(encodeAnonymousKeyExchangeFrame(frame))).toBe(one.frame_hex)
    expect(decodeAnonymousKeyExchangeFrame(hex(one.frame_hex))).toEqual(frame)
  })
})

it('classification reads the leading bytes only, and no decoder does more than throw', () => {
  fc.assert(
    fc.property(
      fc.constantFrom('', 'PILS', 'PILA', 'PILK', 'PILT', 'PILP', '\u0005'),
      fc.uint8Array({ maxLength: 200 }),
      (magic, rest) => {
        const bytes = Uint8Array.from([...Buffer.from(magic), ...rest])
        classifyFrame(bytes)
        for (const decode of [
          decodeSealedFrame,
          decodeKeyExchangeFrame,
          decodeAnonymousKeyExchangeFrame,
          decodePlainFrame,
        ])
          try {
            decode(bytes)
          } catch (error) {
            expect(error).toBeInstanceOf(WireError)
          }
      },
    ),
  )
})
