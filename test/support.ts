/** What several test files share: vectors, hex and a deterministic crypto provider. */
import { createHash, randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { nobleCrypto } from '../core/crypto/noble.ts'
import type { CryptoProvider } from '../core/crypto/provider.ts'

// biome-ignore lint/suspicious/noExplicitAny: vectors are read as recorded
export type VectorCase = any

/** Cases of `test/vectors/<name>.json`, those of one `kind` when it is given. */
export function vectors(name: string, kind?: string): VectorCase[] {
  const file = new URL(`vectors/${name}.json`, import.meta.url)
  const { cases } = JSON.parse(readFileSync(file, 'utf8')) as { cases: VectorCase[] }
  return kind === undefined ? cases : cases.filter((one) => one.kind === kind)
}

export function hex(text: string): Uint8Array {
  return Uint8Array.from(Buffer.from(text, 'hex'))
}

/** The vectors' generated payload: byte i is (i * 31 + 7) & 255. */
export function generated(length: number): Uint8Array {
  return Uint8Array.from({ length }, (_, i) => (i * 31 + 7) & 255)
}

export function sha256Hex(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex')
}

export const crypto: CryptoProvider = nobleCrypto((bytes) => Uint8Array.from(randomBytes(bytes)))
