/** @noble with the browser's randomness. */
import { type CryptoProvider, nobleCrypto } from '../../core/index.ts'

export const browserCrypto: CryptoProvider = nobleCrypto((bytes) =>
  crypto.getRandomValues(new Uint8Array(bytes)),
)
