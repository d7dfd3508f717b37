/** One text for every crypto provider: the vectors, and each provider against the other. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { CryptoProvider } from '../../../core/index.ts'
import { nodeCrypto } from '../../../runtimes/node/crypto.ts'
import { hex, crypto as noble, vectors } from '../../support.ts'

const toHex = (bytes: Uint8Array | undefined): string | undefined =>
  bytes && Buffer.from(bytes).toString('hex')

describe.each([
  ['noble', noble],
  ['node', nodeCrypto],
] as [string, CryptoProvider][])('%s', (_name, provider) => {
  it.each(vectors('crypto', 'ed25519'))('signs as $name', (one) => {
    expect(toHex(provider.ed25519PublicKey(hex(one.seed_hex)))).toBe(one.public_hex)
    expect(toHex(provider.ed25519Sign(hex(one.seed_hex), hex(one.message_hex)))).toBe(
      one.signature_hex,
    )
  })

  it.each(vectors('crypto', 'ed25519_verify'))('verifies: $name', (one) => {
    const isValid = provider.ed25519Verify(
      hex(one.public_hex),
      hex(one.message_hex),
      hex(one.signature_hex),
    )
    expect(isValid).toBe(one.verdict === 'accept')
  })

  it.each(vectors('crypto', 'x25519'))('agrees: $a, $b', (one) => {
    expect(toHex(provider.x25519PublicKey(hex(one.a_private_hex)))).toBe(one.a_public_hex)
    expect(toHex(provider.x25519(hex(one.a_private_hex), hex(one.b_public_hex)))).toBe(
      one.shared_hex,
    )
  })

  it.each(vectors('crypto', 'x25519_peer_key').filter((one) => one.verdict !== 'accept'))(
    'refuses: $name',
    (one) => {
      expect(provider.x25519(hex(one.a_private_hex), hex(one.b_public_hex))).toBeUndefined()
    },
  )

  it('refuses malformed keys and signatures without throwing', () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ maxLength: 70 }),
        fc.uint8Array({ maxLength: 70 }),
        (key, signature) => {
          expect(provider.ed25519Verify(key, new Uint8Array(4), signature)).toBe(false)
        },
      ),
      { numRuns: 50 },
    )
  })

  it('seals what it opens, and nothing that was touched', () => {
    const aead = provider.aead(new Uint8Array(32).fill(7))
    const other = noble.aead(new Uint8Array(32).fill(7))
    fc.assert(
      fc.property(
        fc.uint8Array({ maxLength: 300 }),
        fc.uint8Array({ maxLength: 8 }),
        fc.nat(),
        (plaintext, aad, bit) => {
          const nonce = provider.random(12)
          const buffer = new Uint8Array(plaintext.length + 26)
          buffer.set(plaintext, 10)
          aead.sealInPlace(nonce, aad, buffer, 10, 10 + plaintext.length)
          const sealed = buffer.subarray(10)
          expect(other.open(nonce, aad, sealed)).toEqual(plaintext)
          const touched = sealed.slice()
          touched[(bit >> 3) % touched.length]! ^= 1 << (bit & 7)
          expect(aead.open(nonce, aad, touched)).toBeUndefined()
          expect(aead.open(nonce, Uint8Array.of(...aad, 1), sealed)).toBeUndefined()
        },
      ),
      { numRuns: 60 },
    )
  })
})
