/** What persistence of identity and trust needs. */

export interface Storage {
  /** `undefined` when there is none of that name. @throws {StorageError} `ERR_STORE_IO`. */
  read(name: string): Promise<Uint8Array | undefined>
  /** Replaces the whole at once: after a crash the old or the new is there. @throws {StorageError} `ERR_STORE_IO`. */
  write(name: string, data: Uint8Array): Promise<void>
  /** Where the name lies, for messages to people. */
  locate(name: string): string
}
