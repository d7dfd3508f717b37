/** Keys and hashes by @noble with the browser's randomness; AES-GCM is the browser's own. */
import { nobleKeys } from '../../core/crypto/noble-keys.ts'
import type { KeyCrypto } from '../../core/index.ts'

export const browserCrypto: KeyCrypto = nobleKeys((bytes) =>
  crypto.getRandomValues(new Uint8Array(bytes)),
)
