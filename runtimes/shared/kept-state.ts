/** Identity and trust store as they are kept: read, or made when they are missing. */
import {
  type CryptoProvider,
  fromUtf8,
  Identity,
  PilotError,
  StorageError,
  TrustStore,
  utf8,
} from '../../core/index.ts'
import type { Storage } from './storage.ts'

/** A name in a storage. */
export interface Kept {
  readonly storage: Storage
  readonly name: string
}

/**
 * Reads an identity, or makes it when it is missing. One that cannot be understood is refused by name and left alone.
 *
 * @throws {PilotError} `ERR_IDENTITY_INVALID`, `ERR_STORE_IO`.
 */
export async function readIdentity(
  { storage, name }: Kept,
  crypto: CryptoProvider,
): Promise<Identity> {
  const bytes = await storage.read(name)
  if (bytes !== undefined) {
    try {
      return Identity.parse(crypto, fromUtf8(bytes) ?? '')
    } catch (error) {
      if (!(error instanceof PilotError)) throw error
      throw new StorageError(
        'ERR_IDENTITY_INVALID',
        `${storage.locate(name)}: ${error.message}; restore it from a backup, or move it away to start as a new node`,
        { cause: error },
      )
    }
  }
  const identity = Identity.generate(crypto)
  await storage.write(name, utf8(identity.format()))
  return identity
}

/** An empty one when it is missing. @throws {StorageError} `ERR_STORE_CORRUPT`, `ERR_STORE_IO`. */
export async function readTrust({ storage, name }: Kept): Promise<TrustStore> {
  const bytes = await storage.read(name)
  if (bytes === undefined) return new TrustStore()
  try {
    return TrustStore.parse(fromUtf8(bytes) ?? '')
  } catch (error) {
    if (!(error instanceof PilotError)) throw error
    throw new StorageError(
      'ERR_STORE_CORRUPT',
      `${storage.locate(name)}: ${error.message}; restore it from a backup, or move it away to start without trust`,
      { cause: error },
    )
  }
}
