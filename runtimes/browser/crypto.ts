/** @noble with the browser's randomness. */
import { nobleCrypto } from '../../core/crypto/noble.ts'
import type { CryptoProvider } from '../../core/index.ts'

export const browserCrypto: CryptoProvider = nobleCrypto((bytes) =>
  crypto.getRandomValues(new Uint8Array(bytes)),
)
