import { randomBytes } from 'node:crypto'
import fc from 'fast-check'
import { beforeAll, describe, expect, it } from 'vitest'
import type { Aead } from '../../../../core/index.ts'
import { nodeCrypto } from '../../../../runtimes/node/crypto.ts'
import { loadNativeLibrary } from '../../../../runtimes/node/native/library.ts'
import { OpenSslAead, type OpenSslCalls } from '../../../../runtimes/node/native/openssl-aead.ts'

const key = randomBytes(32)
let native: Aead

beforeAll(async () => {
  const library = await loadNativeLibrary()
  // A development dependency: where the tests run it is there.
  native = library!.aead!(key)
})

const bytes = (maxLength: number): fc.Arbitrary<Uint8Array> =>
  fc.uint8Array({ minLength: 0, maxLength })
const nonces = fc.uint8Array({ minLength: 12, maxLength: 12 })

describe('AES-256-GCM by OpenSSL itself', () => {
  it("makes what Node's does, in place, and nothing around it", () => {
    const reference = nodeCrypto.aead(key)
    fc.assert(
      fc.property(nonces, bytes(8), bytes(5000), fc.nat(40), (nonce, aad, plaintext, start) => {
        const end = start + plaintext.length
        const [ours, theirs] = [native, reference].map((aead) => {
          const buffer = new Uint8Array(end + 30).fill(0xaa)
          buffer.set(plaintext, start)
          aead.sealInPlace(nonce, aad, buffer, start, end)
          return buffer
        })
        expect(ours).toEqual(theirs)
        const opened = native.open(nonce, aad, ours!.subarray(start, end + 16))
        expect(Uint8Array.from(opened!)).toEqual(plaintext)
      }),
    )
  })

  it('opens nothing that was changed anywhere, and leaves it as it is', () => {
    fc.assert(
      fc.property(nonces, bytes(200), fc.nat(), (nonce, plaintext, at) => {
        const aad = Uint8Array.of(1, 2, 3, 4)
        const sealed = new Uint8Array(plaintext.length + 16)
        sealed.set(plaintext)
        native.sealInPlace(nonce, aad, sealed, 0, plaintext.length)
        const changed = sealed.slice()
        changed[at % changed.length]! ^= 1 + (at % 255)
        const before = changed.slice()
        expect(native.open(nonce, aad, changed)).toBeUndefined()
        expect(changed).toEqual(before)
        expect(native.open(nonce, aad.subarray(1), sealed)).toBeUndefined()
        expect(native.open(randomBytes(12), aad, sealed)).toBeUndefined()
        // A failure says nothing of the next one.
        expect(native.open(nonce, aad, sealed)).toBeDefined()
      }),
    )
  })

  it.each([0, 1, 15])('is given %i bytes and says no', (length) => {
    expect(native.open(randomBytes(12), new Uint8Array(0), new Uint8Array(length))).toBeUndefined()
  })

  it('keeps keys apart, and its copy of the key', async () => {
    const library = await loadNativeLibrary()
    const secret = new Uint8Array(32).fill(7)
    const other = library!.aead!(secret)
    secret.fill(0)
    const nonce = new Uint8Array(12)
    const sealed = new Uint8Array(20)
    other.sealInPlace(nonce, nonce, sealed, 0, 4)
    // Wrong keys leave it as it was: another may be the right one.
    expect(native.open(nonce, nonce, sealed)).toBeUndefined()
    expect(nodeCrypto.aead(new Uint8Array(32).fill(7)).open(nonce, nonce, sealed)).toBeDefined()
  })

  it('is not taken where it does not do what it should', () => {
    const nothing = (): number => 1
    const calls: OpenSslCalls = {
      newContext: () => ({}),
      freeContext: () => {},
      aes256Gcm: () => ({}),
      control: nothing,
      encryptInit: nothing,
      encryptUpdate: nothing,
      encryptFinal: nothing,
      decryptInit: nothing,
      decryptUpdate: nothing,
      decryptFinal: nothing,
    }
    expect(OpenSslAead.isSound(calls)).toBe(false)
    expect(OpenSslAead.isSound({ ...calls, newContext: () => null })).toBe(false)
    const failing = new OpenSslAead({ ...calls, encryptFinal: () => 0 }, key)
    expect(() => failing.sealInPlace(new Uint8Array(12), key, new Uint8Array(20), 0, 4)).toThrow()
  })
})
