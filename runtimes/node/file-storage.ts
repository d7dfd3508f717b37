/** Files of one directory, mode 0600, replaced atomically. */
import { randomBytes } from 'node:crypto'
import { mkdir, open, readFile, rename, rm } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { StorageError } from '../../core/index.ts'
import type { Storage } from '../shared/storage.ts'

export class FileStorage implements Storage {
  readonly #directory: string

  constructor(directory: string) {
    this.#directory = directory
  }

  locate(name: string): string {
    return join(this.#directory, name)
  }

  async read(name: string): Promise<Uint8Array | undefined> {
    try {
      return await readFile(this.locate(name))
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
      throw ioError('read', this.locate(name), error)
    }
  }

  async write(name: string, data: Uint8Array): Promise<void> {
    await writeFileAtomic(this.locate(name), data)
  }
}

/**
 * Writes beside the target, syncs, renames: after a crash the old or the new file is there. Mode 0600, the
 * directory is made with 0700.
 *
 * @throws {StorageError} `ERR_STORE_IO`, naming the file.
 */
export async function writeFileAtomic(path: string, data: Uint8Array): Promise<void> {
  const temporary = `${path}.${process.pid}.${randomBytes(4).toString('hex')}.tmp`
  try {
    await makeDirectory(dirname(path))
    const file = await open(temporary, 'wx', 0o600)
    try {
      await file.writeFile(data)
      await file.sync()
    } finally {
      await file.close()
    }
    await rename(temporary, path)
  } catch (error) {
    await rm(temporary, { force: true }).catch(() => {})
    throw ioError('write', path, error)
  }
}

/**
 * Makes a directory and its parents, mode 0700. Not `mkdir` with `recursive`: where a file system refuses
 * with ENOENT (as /proc does), Node tries for ever.
 */
export async function makeDirectory(path: string): Promise<void> {
  try {
    await mkdir(path, { mode: 0o700 })
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'EEXIST') return
    if (code !== 'ENOENT' || dirname(path) === path) throw error
    await makeDirectory(dirname(path))
    await mkdir(path, { mode: 0o700 })
  }
}

function ioError(verb: string, path: string, cause: unknown): StorageError {
  const { code, message } = cause as NodeJS.ErrnoException
  return new StorageError('ERR_STORE_IO', `cannot ${verb} ${path}: ${code ?? message}`, { cause })
}
