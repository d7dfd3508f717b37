/** Runs in the page: how long one tunnel frame takes to seal and open, by @noble and by WebCrypto. */
import { nobleCrypto } from '../../../core/crypto/noble.ts'

const noble = nobleCrypto((bytes) => crypto.getRandomValues(new Uint8Array(bytes)))

export interface Row {
  readonly frameBytes: number
  readonly nobleUs: number
  /** Awaited one by one, and 32 at a time. */
  readonly subtleUs: number
  readonly subtleBatchedUs: number
}

async function perCall(count: number, work: () => Promise<unknown> | unknown): Promise<number> {
  for (let i = 0; i < count / 4; i++) await work()
  const started = performance.now()
  for (let i = 0; i < count; i++) await work()
  return ((performance.now() - started) * 1000) / count
}

export async function measure(): Promise<Row[]> {
  const raw = crypto.getRandomValues(new Uint8Array(32))
  const aead = noble.aead(raw)
  const key = await crypto.subtle.importKey('raw', raw, 'AES-GCM', false, ['encrypt', 'decrypt'])
  const nonce = crypto.getRandomValues(new Uint8Array(12))
  const aad = new Uint8Array(4)
  const rows: Row[] = []
  for (const frameBytes of [1200, 16_384]) {
    const count = frameBytes > 10_000 ? 100 : 600
    const buffer = new Uint8Array(frameBytes + 16)
    const nobleUs = await perCall(count, () => aead.sealInPlace(nonce, aad, buffer, 0, frameBytes))
    const params = { name: 'AES-GCM', iv: nonce, additionalData: aad }
    const data = new Uint8Array(frameBytes)
    const subtleUs = await perCall(count, () => crypto.subtle.encrypt(params, key, data))
    const batch = 32
    const subtleBatchedUs =
      (await perCall(count / 10, () =>
        Promise.all(Array.from({ length: batch }, () => crypto.subtle.encrypt(params, key, data))),
      )) / batch
    rows.push({ frameBytes, nobleUs, subtleUs, subtleBatchedUs })
  }
  return rows
}

Object.assign(globalThis, { measure })
