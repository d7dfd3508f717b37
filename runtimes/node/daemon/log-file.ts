/** A log file that is rotated at 10 MiB; the two before it are kept as `.1` and `.2`. */
import { closeSync, fstatSync, openSync, renameSync, writeSync } from 'node:fs'
import { StorageError } from '../../../core/errors.ts'

const FILE_BYTES_MAX = 10 * 1024 * 1024
const KEPT = 2

export class LogFile implements Disposable {
  readonly #path: string
  readonly #bytesMax: number
  #file: number
  #bytes: number

  /** @throws {StorageError} `ERR_STORE_IO`. */
  constructor(path: string, bytesMax: number = FILE_BYTES_MAX) {
    this.#path = path
    this.#bytesMax = bytesMax
    try {
      this.#file = openSync(path, 'a', 0o600)
      this.#bytes = fstatSync(this.#file).size
    } catch (cause) {
      const { code, message } = cause as NodeJS.ErrnoException
      throw new StorageError('ERR_STORE_IO', `cannot write the log ${path}: ${code ?? message}`, {
        cause,
      })
    }
  }

  /** Appends a line. A full disk loses lines, never the daemon. */
  write(line: string): void {
    const bytes = Buffer.from(`${line}\n`)
    try {
      if (this.#bytes > 0 && this.#bytes + bytes.length > this.#bytesMax) this.#rotate()
      writeSync(this.#file, bytes)
      this.#bytes += bytes.length
    } catch {
      // nowhere left to say it
    }
  }

  [Symbol.dispose](): void {
    closeSync(this.#file)
  }

  #rotate(): void {
    for (let n = KEPT; n > 0; n--) {
      try {
        renameSync(n === 1 ? this.#path : `${this.#path}.${n - 1}`, `${this.#path}.${n}`)
      } catch {
        // not there yet
      }
    }
    const next = openSync(this.#path, 'a', 0o600)
    closeSync(this.#file)
    this.#file = next
    this.#bytes = fstatSync(next).size
  }
}
