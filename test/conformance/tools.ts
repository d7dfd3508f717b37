/** What the scenarios are written with: no test runner, no runtime. */
import { concat } from '../../core/bytes.ts'
import { nobleCrypto } from '../../core/crypto/noble.ts'
import { ERROR_CODES, toHex } from '../../core/index.ts'
import type { AsyncStream } from '../../runtimes/shared/services/async-stream.ts'

const { sha256 } = nobleCrypto((bytes) => new Uint8Array(bytes))

export function check(condition: boolean, what: string): void {
  if (!condition) throw new Error(`does not hold: ${what}`)
}

export function equal(got: unknown, expected: unknown, what: string): void {
  if (got !== expected) throw new Error(`${what}: expected ${String(expected)}, got ${String(got)}`)
}

/** Code of the error that comes of it; `no error`, or the text of one that has no code. */
export async function codeOf(work: Promise<unknown> | (() => Promise<unknown>)): Promise<string> {
  try {
    await (typeof work === 'function' ? work() : work)
    return 'no error'
  } catch (error) {
    return codeOfError(error) ?? String(error)
  }
}

/** By its code, not its class: a node of another page has classes of its own. */
export function codeOfError(error: unknown): string | undefined {
  const { code } = error as { readonly code?: unknown }
  return typeof code === 'string' && code in ERROR_CODES ? code : undefined
}

export function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}

export async function within<T>(ms: number, what: string, work: Promise<T>): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what}: not done within ${ms} ms`)), ms)
  })
  try {
    return await Promise.race([work, late])
  } finally {
    clearTimeout(timer)
  }
}

/** Bytes that no shifted or swapped part of them equals. */
export function generated(length: number, seed = 1): Uint8Array {
  const bytes = new Uint8Array(length)
  let state = (seed * 0x9e3779b1) >>> 0
  for (let i = 0; i < length; i++) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    bytes[i] = state >>> 24
  }
  return bytes
}

export function hashOf(bytes: Uint8Array): string {
  return toHex(sha256(bytes))
}

/** As many bytes, or fewer when the stream ends first. */
export async function bytesFrom(stream: AsyncStream, count: number): Promise<Uint8Array> {
  const pieces: Uint8Array[] = []
  let length = 0
  while (length < count) {
    const piece = await stream.read()
    if (piece === undefined) break
    pieces.push(piece)
    length += piece.length
  }
  return concat(...pieces)
}
