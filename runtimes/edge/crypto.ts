/** Keys and hashes by @noble, which answers at once; the tunnel's AES-GCM by WebCrypto where the runtime has it. */
import { nobleCrypto } from '../../core/crypto/noble.ts'
import type { CryptoProvider } from '../../core/index.ts'
import { withWebCrypto } from '../shared/web-crypto.ts'

/** Asks for randomness only when it is called: at the edge a module may not while it loads. */
export const edgeCrypto: CryptoProvider = nobleCrypto((bytes) =>
  crypto.getRandomValues(new Uint8Array(bytes)),
)

/** What a node seals with. */
export function tunnelCrypto(): CryptoProvider {
  const { subtle } = globalThis.crypto as Partial<Crypto>
  return subtle === undefined ? edgeCrypto : withWebCrypto(edgeCrypto)
}
