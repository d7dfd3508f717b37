/** Events that nobody took, one JSON object per line, in two files of at most 1 MiB. */
import { appendFile, rename, stat } from 'node:fs/promises'
import { dirname } from 'node:path'
import { makeDirectory } from '../file-storage.ts'

const FILE_BYTES_MAX = 1 << 20

export class DeadLetters {
  readonly #path: string
  #writing: Promise<void> = Promise.resolve()

  constructor(path: string) {
    this.#path = path
  }

  /** `body` is the event's JSON. Never rejects: what the disk does not take is lost. */
  add(body: string, reason: string): Promise<void> {
    this.#writing = this.#writing.then(() => this.#append(body, reason)).catch(() => {})
    return this.#writing
  }

  async #append(body: string, reason: string): Promise<void> {
    const line = `{"failed_at":${JSON.stringify(new Date().toISOString())},"reason":${JSON.stringify(reason)},"body":${body}}\n`
    await makeDirectory(dirname(this.#path))
    const size = (await stat(this.#path).catch(() => undefined))?.size ?? 0
    if (size + line.length > FILE_BYTES_MAX)
      await rename(this.#path, `${this.#path}.1`).catch(() => {})
    await appendFile(this.#path, line, { mode: 0o600 })
  }
}
