/**
 * How an identity's private key is kept. Where the browser has Ed25519 it makes and holds the key, and no
 * script ever sees it; elsewhere the seed is sealed under an AES-GCM key that the browser will not hand out.
 * Either way copied storage is of no use.
 */
import { concat, equals } from '../../core/bytes.ts'
import { SecurityError } from '../../core/errors.ts'
import { Identity } from '../../core/identity/identity.ts'
import type { LaterSigner, Signer } from '../../core/identity/signer.ts'
import { signed } from '../shared/signed.ts'
import { browserCrypto } from './crypto.ts'

/** What is stored: structured-cloneable, keys included. */
export type StoredIdentity = NativeIdentity | WrappedIdentity

export interface NativeIdentity {
  readonly kind: 'native'
  readonly publicKey: Uint8Array
  /** Private, not extractable. */
  readonly key: CryptoKey
  /** The seed under the passphrase that was given when it was made or imported. */
  readonly backup: Uint8Array | undefined
}

export interface WrappedIdentity {
  readonly kind: 'wrapped'
  readonly publicKey: Uint8Array
  readonly wrap: CryptoKey
  /** Nonce (12) and sealed seed (48). */
  readonly sealed: Uint8Array
}

const NONCE_BYTES = 12
const SEED_BYTES = 32
/** PKCS #8 of an Ed25519 key up to its seed (RFC 8410 §7). */
const PKCS8_HEAD: readonly number[] = [
  0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20,
]
const PROBE: Uint8Array<ArrayBuffer> = new Uint8Array([0x70])

/** True when the browser makes and holds Ed25519 keys itself. */
export async function hasNativeKeys(): Promise<boolean> {
  try {
    const pair = (await crypto.subtle.generateKey('Ed25519', false, [
      'sign',
      'verify',
    ])) as CryptoKeyPair
    const signature = await crypto.subtle.sign('Ed25519', pair.privateKey, PROBE)
    return await crypto.subtle.verify('Ed25519', pair.publicKey, signature, PROBE)
  } catch {
    return false
  }
}

/** A new key that no script has seen. */
export async function generateNative(): Promise<NativeIdentity> {
  const pair = (await crypto.subtle.generateKey('Ed25519', false, [
    'sign',
    'verify',
  ])) as CryptoKeyPair
  const publicKey = new Uint8Array(await crypto.subtle.exportKey('raw', pair.publicKey))
  return { kind: 'native', publicKey, key: pair.privateKey, backup: undefined }
}

/** The seed is the caller's to forget. */
export async function importNative(
  seed: Uint8Array,
  backup: Uint8Array | undefined,
): Promise<NativeIdentity> {
  const pkcs8 = new Uint8Array([...PKCS8_HEAD, ...seed])
  const key = await crypto.subtle.importKey('pkcs8', pkcs8, 'Ed25519', false, ['sign'])
  pkcs8.fill(0)
  const { publicKey } = Identity.fromSeed(browserCrypto, seed)
  return { kind: 'native', publicKey, key, backup }
}

export async function wrapSeed(seed: Uint8Array): Promise<WrappedIdentity> {
  const usages: KeyUsage[] = ['encrypt', 'decrypt']
  const wrap = await crypto.subtle.generateKey({ name: 'AES-GCM', length: 256 }, false, usages)
  const iv = crypto.getRandomValues(new Uint8Array(NONCE_BYTES))
  const sealed = await crypto.subtle.encrypt({ name: 'AES-GCM', iv }, wrap, new Uint8Array(seed))
  const { publicKey } = Identity.fromSeed(browserCrypto, seed)
  return { kind: 'wrapped', publicKey, wrap, sealed: concat(iv, new Uint8Array(sealed)) }
}

/** @throws {DOMException} when it does not open. */
export async function unwrapSeed({ wrap, sealed }: WrappedIdentity): Promise<Uint8Array> {
  const iv = new Uint8Array(sealed.subarray(0, NONCE_BYTES))
  const bytes = new Uint8Array(sealed.subarray(NONCE_BYTES))
  return new Uint8Array(await crypto.subtle.decrypt({ name: 'AES-GCM', iv }, wrap, bytes))
}

/** What was read from storage, when it has the form of an identity. */
export function asStoredIdentity(value: unknown): StoredIdentity | undefined {
  if (typeof value !== 'object' || value === null) return undefined
  const { kind, publicKey, key, backup, wrap, sealed } = value as Record<string, unknown>
  if (!(publicKey instanceof Uint8Array) || publicKey.length !== 32) return undefined
  if (kind === 'native' && key instanceof CryptoKey)
    return { kind, publicKey, key, backup: backup instanceof Uint8Array ? backup : undefined }
  if (kind === 'wrapped' && wrap instanceof CryptoKey && sealed instanceof Uint8Array)
    return { kind, publicKey, wrap, sealed }
  return undefined
}

/** @throws {SecurityError} `ERR_IDENTITY_INVALID` when the key does not belong to the public key. */
export async function signerOf(stored: StoredIdentity): Promise<Signer> {
  try {
    const signer = stored.kind === 'native' ? nativeSigner(stored) : await wrappedSigner(stored)
    if (signer !== undefined) {
      const signature = await signed(signer, PROBE)
      if (browserCrypto.ed25519Verify(stored.publicKey, PROBE, signature)) return signer
    }
  } catch (cause) {
    throw new SecurityError('ERR_IDENTITY_INVALID', 'the stored key cannot be used', { cause })
  }
  throw new SecurityError('ERR_IDENTITY_INVALID', 'the stored keys do not belong together')
}

function nativeSigner({ publicKey, key }: NativeIdentity): LaterSigner {
  const signLater = async (message: Uint8Array): Promise<Uint8Array> =>
    new Uint8Array(await crypto.subtle.sign('Ed25519', key, new Uint8Array(message)))
  return { publicKey, signLater }
}

async function wrappedSigner(stored: WrappedIdentity): Promise<Identity | undefined> {
  const seed = await unwrapSeed(stored)
  if (seed.length !== SEED_BYTES) return undefined
  const identity = Identity.fromSeed(browserCrypto, seed)
  return equals(identity.publicKey, stored.publicKey) ? identity : undefined
}
