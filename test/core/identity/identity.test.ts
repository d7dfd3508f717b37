import { describe, expect, it } from 'vitest'
import { Identity, SecurityError } from '../../../core/index.ts'
import { crypto, hex, vectors } from '../../support.ts'

describe('identity.json', () => {
  const written = vectors('identity-files', 'write').filter((one) => one.file === 'identity.json')
  it.each(written)('is written as the reference writes it: $name', (one) => {
    const identity = Identity.fromSeed(crypto, hex(one.seed_hex))
    expect(Buffer.from(identity.publicKey).toString('hex')).toBe(one.public_hex)
    expect(identity.format()).toBe(one.text)
    expect(Identity.parse(crypto, one.text).publicKey).toEqual(identity.publicKey)
  })

  const loads = vectors('identity-files', 'load_identity').filter((one) => one.text !== null)
  it.each(loads)('is read: $name', (one) => {
    // Deviation: the reference does not compare the halves of the private key with each other.
    const isInconsistent = one.name.startsWith('public half of the private key replaced')
    if (one.error || isInconsistent) {
      expect(() => Identity.parse(crypto, one.text)).toThrow(SecurityError)
      return
    }
    expect(Buffer.from(Identity.parse(crypto, one.text).publicKey).toString('hex')).toBe(
      one.public_hex,
    )
  })

  it('never puts key material into an error', () => {
    const { text } = written[0]
    const secret = JSON.parse(text).private_key as string
    for (const broken of [
      text.replace('"public_key"', '"x"'),
      text.slice(0, -4),
      text.replace('=', ''),
    ])
      try {
        Identity.parse(crypto, broken)
        expect.unreachable()
      } catch (error) {
        expect(String(error)).not.toContain(secret.slice(0, 12))
      }
  })
})
