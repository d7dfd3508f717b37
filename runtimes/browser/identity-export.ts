/** An identity's seed sealed under a passphrase, to be kept outside the browser. */
import { concat, utf8 } from '../../core/bytes.ts'
import { SecurityError } from '../../core/errors.ts'

const SALT_BYTES = 16
const NONCE_BYTES = 12
const SEED_BYTES = 32
/** OWASP's figure for PBKDF2-HMAC-SHA256 (2023). */
const PBKDF2_ITERATIONS = 600_000
/** Leads an export: format and version. */
const MAGIC: Uint8Array = utf8('PILOTID1')

/** Magic (8), salt (16), nonce (12), AES-256-GCM of the seed with its tag (48). */
export async function sealSeed(seed: Uint8Array, passphrase: string): Promise<Uint8Array> {
  const salt = crypto.getRandomValues(new Uint8Array(SALT_BYTES))
  const iv = crypto.getRandomValues(new Uint8Array(NONCE_BYTES))
  const key = await passphraseKey(passphrase, salt)
  const sealed = await crypto.subtle.encrypt({ name: 'AES-GCM', iv }, key, own(seed))
  return concat(MAGIC, salt, iv, new Uint8Array(sealed))
}

/** @throws {SecurityError} `ERR_IDENTITY_INVALID` for a wrong passphrase, or bytes that are no export. */
export async function openSeed(exported: Uint8Array, passphrase: string): Promise<Uint8Array> {
  const head = MAGIC.length
  const isOurs = MAGIC.every((byte, i) => exported[i] === byte)
  if (!isOurs || exported.length !== head + SALT_BYTES + NONCE_BYTES + SEED_BYTES + 16)
    throw new SecurityError('ERR_IDENTITY_INVALID', 'this is not an exported identity')
  const salt = own(exported.subarray(head, head + SALT_BYTES))
  const iv = own(exported.subarray(head + SALT_BYTES, head + SALT_BYTES + NONCE_BYTES))
  const sealed = own(exported.subarray(head + SALT_BYTES + NONCE_BYTES))
  const key = await passphraseKey(passphrase, salt)
  try {
    return new Uint8Array(await crypto.subtle.decrypt({ name: 'AES-GCM', iv }, key, sealed))
  } catch (cause) {
    throw new SecurityError('ERR_IDENTITY_INVALID', 'the passphrase does not open it', { cause })
  }
}

async function passphraseKey(
  passphrase: string,
  salt: Uint8Array<ArrayBuffer>,
): Promise<CryptoKey> {
  const usages: KeyUsage[] = ['deriveKey']
  const base = await crypto.subtle.importKey('raw', own(utf8(passphrase)), 'PBKDF2', false, usages)
  return crypto.subtle.deriveKey(
    { name: 'PBKDF2', hash: 'SHA-256', salt, iterations: PBKDF2_ITERATIONS },
    base,
    { name: 'AES-GCM', length: 256 },
    false,
    ['encrypt', 'decrypt'],
  )
}

/** In memory of its own, as WebCrypto's types want it. */
function own(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  return new Uint8Array(bytes)
}
