/** The daemon's nameserver: port 53, records in `~/.pilot/nameserver.json` (spec/07 §2.3). */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { PORT } from '../../../core/constants.ts'
import { StorageError } from '../../../core/errors.ts'
import { NameTable } from '../../../core/service/name-table.ts'
import type { PilotNode } from '../../shared/api.ts'
import { NameService } from '../../shared/services/name-service.ts'
import { writeFileAtomic } from '../file-storage.ts'
import type { Log } from './log.ts'
import { PortService } from './port-service.ts'

const SWEEP_MS = 10_000
/** Changes within this are written together. */
const WRITE_MS = 1000

export class NameServer implements Disposable {
  readonly #table = new NameTable()
  readonly #path: string
  readonly #log: Log
  readonly #timers: readonly NodeJS.Timeout[]
  #writtenVersion: number

  /** @throws {StorageError} `ERR_STORE_CORRUPT`, `ERR_STORE_IO` for a file that cannot be taken; it is left alone. */
  constructor({
    node,
    home,
    log,
    setTimer,
  }: {
    readonly node: PilotNode
    readonly home: string
    readonly log: Log
    readonly setTimer: (work: () => void, ms: number) => () => void
  }) {
    this.#path = join(home, '.pilot', 'nameserver.json')
    this.#log = log
    const now = (): number => performance.now()
    const text = readIfThere(this.#path)
    if (text !== undefined)
      try {
        this.#table.load(text, now())
      } catch (cause) {
        throw new StorageError('ERR_STORE_CORRUPT', `${this.#path} holds no records of names`, {
          cause,
        })
      }
    this.#writtenVersion = this.#table.version
    this.#timers = [
      setInterval(() => this.#table.sweep(now()), SWEEP_MS).unref(),
      setInterval(() => void this.#write(), WRITE_MS).unref(),
    ]
    const service = new NameService({ table: this.#table, now, setTimer })
    new PortService(node, PORT.names, (connection) => service.serve(connection))
    log.info('nameserver running', { records: this.#table.size, file: this.#path })
  }

  [Symbol.dispose](): void {
    for (const timer of this.#timers) clearInterval(timer)
    void this.#write()
  }

  async #write(): Promise<void> {
    const { version } = this.#table
    if (version === this.#writtenVersion) return
    this.#writtenVersion = version
    try {
      await writeFileAtomic(this.#path, Buffer.from(this.#table.format()))
    } catch (error) {
      this.#log.error('names not stored', {
        reason: error instanceof Error ? error.message : String(error),
      })
    }
  }
}

function readIfThere(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8')
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw new StorageError('ERR_STORE_IO', `cannot read ${path}`, { cause })
  }
}
