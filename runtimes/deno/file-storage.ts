/** Files of one directory, mode 0600, replaced atomically. */
import { StorageError, toHex } from '../../core/index.ts'
import type { Storage } from '../shared/storage.ts'
import { requireDirectory } from './permission.ts'

export class FileStorage implements Storage {
  readonly #directory: string
  #isAllowed = false

  constructor(directory: string) {
    this.#directory = directory
  }

  locate(name: string): string {
    return `${this.#directory}/${name}`
  }

  /** @throws {PilotError} `ERR_STORE_IO`, `ERR_PERMISSION`. */
  async read(name: string): Promise<Uint8Array | undefined> {
    await this.#allow(name)
    try {
      return await Deno.readFile(this.locate(name))
    } catch (error) {
      if (error instanceof Deno.errors.NotFound) return undefined
      throw ioError('read', this.locate(name), error)
    }
  }

  /**
   * Writes beside the target, syncs, renames: after a crash the old or the new file is there. Mode 0600, the directory
   * is made with 0700.
   *
   * @throws {PilotError} `ERR_STORE_IO`, naming the file, `ERR_PERMISSION`.
   */
  async write(name: string, data: Uint8Array): Promise<void> {
    await this.#allow(name)
    const path = this.locate(name)
    const temporary = `${path}.${toHex(crypto.getRandomValues(new Uint8Array(4)))}.tmp`
    try {
      await Deno.mkdir(this.#directory, { recursive: true, mode: 0o700 })
      {
        using file = await Deno.open(temporary, { write: true, createNew: true, mode: 0o600 })
        for (let at = 0; at < data.length; ) at += await file.write(data.subarray(at))
        await file.sync()
      }
      await Deno.rename(temporary, path)
    } catch (error) {
      await Deno.remove(temporary).catch(() => {})
      throw ioError('write', path, error)
    }
  }

  async #allow(name: string): Promise<void> {
    if (!this.#isAllowed) await requireDirectory(this.#directory, `keeping ${name}`)
    this.#isAllowed = true
  }
}

function ioError(verb: string, path: string, cause: unknown): StorageError {
  const { code, message } = cause as { readonly code?: string; readonly message?: string }
  return new StorageError('ERR_STORE_IO', `cannot ${verb} ${path}: ${code ?? message}`, { cause })
}
