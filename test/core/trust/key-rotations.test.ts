import fc from 'fast-check'
import { expect, it } from 'vitest'
import { toBase64 } from '../../../core/bytes.ts'
import { Identity } from '../../../core/identity/identity.ts'
import {
  formatRotations,
  KEY_ROTATIONS_MAX,
  type KeyRotation,
  parseRotations,
  provesRotation,
} from '../../../core/trust/key-rotations.ts'
import { rotateKeyChallenge } from '../../../core/wire/registry-challenge.ts'
import { crypto } from '../../support.ts'

const NODE = 42
const keys = [1, 2, 3, 4].map((fill) => Identity.fromSeed(crypto, new Uint8Array(32).fill(fill)))
const change = (from: Identity, to: Identity, nodeId = NODE): KeyRotation => ({
  publicKey: toBase64(from.publicKey),
  signature: from.signBase64(rotateKeyChallenge(nodeId, toBase64(to.publicKey))),
})
const [one, two, three, other] = keys as [Identity, Identity, Identity, Identity]
const chain = [change(one, two), change(two, three)]
const proves = (from: Identity, to: Identity, rotations: readonly KeyRotation[]): boolean =>
  provesRotation(crypto.ed25519Verify, NODE, from.publicKey, to.publicKey, rotations)

it('leads from any earlier key to the present one', () => {
  expect(proves(one, three, chain)).toBe(true)
  expect(proves(two, three, chain)).toBe(true)
  expect(proves(one, two, chain.slice(0, 1))).toBe(true)
})

it('proves nothing else', () => {
  expect(proves(other, three, chain)).toBe(false)
  expect(proves(one, other, chain)).toBe(false)
  expect(proves(one, three, [])).toBe(false)
  expect(proves(one, three, chain.slice(0, 1))).toBe(false)
  expect(proves(one, three, [...chain].reverse())).toBe(false)
  // Of another node, or by another key than the one before.
  expect(proves(one, two, [change(one, two, NODE + 1)])).toBe(false)
  const forged = { ...change(other, two), publicKey: toBase64(one.publicKey) }
  expect(proves(one, two, [forged])).toBe(false)
})

it('reads what it writes, and nothing of another form', () => {
  expect(parseRotations(formatRotations(chain))).toEqual(chain)
  expect(parseRotations(Array(20).fill(formatRotations(chain)[0]))).toHaveLength(KEY_ROTATIONS_MAX)
  fc.assert(
    fc.property(fc.jsonValue(), (value) => {
      for (const { publicKey, signature } of parseRotations(value))
        expect([typeof publicKey, typeof signature]).toEqual(['string', 'string'])
    }),
  )
  expect(parseRotations([null, {}, { public_key: 'AA==', signature: '' }, 7])).toEqual([])
})
