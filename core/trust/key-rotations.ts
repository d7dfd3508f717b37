/**
 * A node's changes of key, each signed with the key before (spec/10 §16). Whoever holds an earlier key of the node gets
 * from there to the present one without believing the registry that tells them.
 */
import { fromBase64, toBase64, utf8 } from '../bytes.ts'
import type { CryptoProvider } from '../crypto/provider.ts'
import { rotateKeyChallenge } from '../wire/registry-challenge.ts'

/** One change: the key before, and its signature over `rotate:<node id>:<next key>`. All base64. */
export interface KeyRotation {
  readonly publicKey: string
  readonly signature: string
}

/** Changes that are kept and looked at; who missed more trusts anew. */
export const KEY_ROTATIONS_MAX = 8

/** The entries that have the right form; the oldest first, as sent. */
export function parseRotations(value: unknown): KeyRotation[] {
  if (!Array.isArray(value)) return []
  return value.slice(-KEY_ROTATIONS_MAX).flatMap((one: unknown) => {
    const { public_key: publicKey, signature } = (one ?? {}) as Record<string, unknown>
    if (typeof publicKey !== 'string' || typeof signature !== 'string') return []
    return fromBase64(publicKey)?.length === 32 && fromBase64(signature)?.length === 64
      ? [{ publicKey, signature }]
      : []
  })
}

export function formatRotations(
  rotations: readonly KeyRotation[],
): { public_key: string; signature: string }[] {
  return rotations.map(({ publicKey, signature }) => ({ public_key: publicKey, signature }))
}

/** True when every change from `known` to `present` is signed with the key before it. */
export function provesRotation(
  verify: CryptoProvider['ed25519Verify'],
  nodeId: number,
  known: Uint8Array,
  present: Uint8Array,
  rotations: readonly KeyRotation[],
): boolean {
  const from = rotations.findIndex(({ publicKey }) => publicKey === toBase64(known))
  if (from < 0) return false
  return rotations.slice(from).every(({ publicKey, signature }, index) => {
    const next = rotations[from + index + 1]?.publicKey ?? toBase64(present)
    const [key, signed] = [fromBase64(publicKey), fromBase64(signature)]
    const text = utf8(rotateKeyChallenge(nodeId, next))
    return key !== undefined && signed !== undefined && verify(key, text, signed)
  })
}
