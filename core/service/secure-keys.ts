/**
 * Keys, frames and proofs of the secure channel, port 443 (spec/07 §3). Version 1 is that of the base generation,
 * version 2 that of the later ones; they share the layout and differ in key and associated data.
 */
import { concat, utf8, viewOf } from '../bytes.ts'
import { type Aead, type CryptoProvider, hkdfSha256 } from '../crypto/provider.ts'
import { WireError } from '../errors.ts'
import type { Instant } from '../machine.ts'

export type SecureVersion = 'v1' | 'v2'
export type SecureRole = 'client' | 'server'

export const SECURE_KEY_BYTES = 32
const NONCE_BYTES = 12
const TAG_BYTES = 16
/** Of nonce, ciphertext and tag. */
export const SECURE_FRAME_BYTES_MAX = 16_777_216
export const SECURE_PLAINTEXT_BYTES_MAX: number = SECURE_FRAME_BYTES_MAX - NONCE_BYTES - TAG_BYTES
const ROLE: Readonly<Record<SecureRole, number>> = { server: 1, client: 2 }
const NONE = new Uint8Array(0)

export function otherRole(role: SecureRole): SecureRole {
  return role === 'client' ? 'server' : 'client'
}

/** `shared` is the X25519 secret. */
export function secureKey(
  crypto: CryptoProvider,
  version: SecureVersion,
  shared: Uint8Array,
): Uint8Array {
  return version === 'v1'
    ? crypto.sha256(concat(utf8('pilot-secure-v1:'), shared)) // with a colon
    : hkdfSha256(crypto, shared, utf8('pilot-secure-v1')) // without
}

/** length u32, nonce, ciphertext, tag. `counter` starts at 1 and never repeats under a key. */
export function sealSecureFrame(
  {
    aead,
    version,
    role,
  }: { readonly aead: Aead; readonly version: SecureVersion; readonly role: SecureRole },
  counter: bigint,
  plaintext: Uint8Array,
): Uint8Array {
  const out = new Uint8Array(4 + NONCE_BYTES + plaintext.length + TAG_BYTES)
  const view = viewOf(out)
  view.setUint32(0, out.length - 4)
  view.setUint32(4, ROLE[role])
  view.setBigUint64(8, counter)
  const start = 4 + NONCE_BYTES
  out.set(plaintext, start)
  const nonce = out.slice(4, start)
  aead.sealInPlace(nonce, associatedData(version, nonce), out, start, start + plaintext.length)
  return out
}

export interface OpenedFrame {
  readonly counter: bigint
  readonly plaintext: Uint8Array
}

/**
 * Opens what follows a frame's length; `undefined` when it does not authenticate or is not of `role`, which no
 * reference checks: there a frame can be sent back to whom it came from.
 */
export function openSecureFrame(
  {
    aead,
    version,
    role,
  }: { readonly aead: Aead; readonly version: SecureVersion; readonly role: SecureRole },
  body: Uint8Array,
): OpenedFrame | undefined {
  if (body.length < NONCE_BYTES + TAG_BYTES) return undefined
  const view = viewOf(body)
  if (view.getUint32(0) !== ROLE[role]) return undefined
  const nonce = body.slice(0, NONCE_BYTES)
  const plaintext = aead.open(nonce, associatedData(version, nonce), body.subarray(NONCE_BYTES))
  return plaintext === undefined ? undefined : { counter: view.getBigUint64(4), plaintext }
}

function associatedData(version: SecureVersion, nonce: Uint8Array): Uint8Array {
  return version === 'v1' ? NONE : nonce.subarray(0, 4)
}

// Authenticated mode

export const SECURE_AUTH_BYTES = 92
/** Clocks of the two sides may differ by so much. */
const AUTH_SKEW_SECONDS = 5

export interface SecureAuth {
  readonly nodeId: number
  readonly unixSeconds: number
  /** 16 random bytes. */
  readonly nonce: Uint8Array
  /** 64 bytes. */
  readonly signature: Uint8Array
}

/** What a side signs: who it is, and the X25519 key it sent. */
export function secureAuthMessage(
  { nodeId, unixSeconds, nonce }: Omit<SecureAuth, 'signature'>,
  ownKey: Uint8Array,
): Uint8Array {
  const head = new Uint8Array(4)
  viewOf(head).setUint32(0, nodeId)
  return concat(utf8('pilot-secure-auth:'), head, ownKey, timeBytes(unixSeconds), nonce)
}

export function encodeSecureAuth({
  nodeId,
  unixSeconds,
  nonce,
  signature,
}: SecureAuth): Uint8Array {
  const head = new Uint8Array(4)
  viewOf(head).setUint32(0, nodeId)
  return concat(head, timeBytes(unixSeconds), nonce, signature)
}

/** @throws {WireError} `ERR_WIRE_LENGTH` unless it has 92 bytes. */
export function decodeSecureAuth(bytes: Uint8Array): SecureAuth {
  if (bytes.length !== SECURE_AUTH_BYTES)
    throw new WireError('ERR_WIRE_LENGTH', `need ${SECURE_AUTH_BYTES} bytes, got ${bytes.length}`)
  const view = viewOf(bytes)
  return {
    nodeId: view.getUint32(0),
    unixSeconds: Number(view.getBigUint64(4)),
    nonce: bytes.slice(12, 28),
    signature: bytes.slice(28),
  }
}

/** True within 5 s of our clock. */
export function isFreshAuth({ unixSeconds }: SecureAuth, nowUnixSeconds: number): boolean {
  return Math.abs(nowUnixSeconds - unixSeconds) <= AUTH_SKEW_SECONDS
}

function timeBytes(unixSeconds: number): Uint8Array {
  const bytes = new Uint8Array(8)
  viewOf(bytes).setBigUint64(0, BigInt(unixSeconds))
  return bytes
}

/** Random values of proofs that were accepted in the last hour; none counts twice. */
export class AuthNonces {
  readonly #seen = new Map<string, Instant>()

  /** False for one that was seen, and when 100 000 are held. */
  take(nonce: Uint8Array, now: Instant): boolean {
    for (const [key, at] of this.#seen) {
      if (now - at < NONCE_MS) break // in the order in which they came
      this.#seen.delete(key)
    }
    const key = String.fromCharCode(...nonce)
    if (this.#seen.has(key) || this.#seen.size >= NONCES_MAX) return false
    this.#seen.set(key, now)
    return true
  }
}

const NONCE_MS = 3_600_000
const NONCES_MAX = 100_000
