/**
 * What others send, on disk (spec/07 §6.3): `~/.pilot/inbox/` and `~/.pilot/received/`, names and
 * members as the reference has them, written under a temporary name first, capped.
 */
import { randomBytes } from 'node:crypto'
import { link, open, readdir, rename, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { StorageError } from '../../../core/errors.ts'
import {
  inboxFileName,
  inboxMessage,
  receivedFileName,
  type TimeParts,
} from '../../../core/service/inbox.ts'
import { type Address, formatAddress } from '../../../core/wire/address.ts'
import { makeDirectory } from '../file-storage.ts'

/** Inbox: files and bytes; above it the oldest go. */
const INBOX_FILES_MAX = 10_000
const INBOX_BYTES_MAX = 256 * 1024 * 1024
/** Received files: above it new ones are refused. */
const RECEIVED_BYTES_MAX = 2 * 1024 * 1024 * 1024

export class MailboxStore {
  readonly inbox: string
  readonly received: string
  /** Sizes by name in order of arrival; read from disk at the first message. */
  #inboxSizes: Map<string, number> | undefined
  #inboxBytes = 0
  #queue: Promise<unknown> = Promise.resolve()

  constructor(home: string) {
    this.inbox = join(home, '.pilot', 'inbox')
    this.received = join(home, '.pilot', 'received')
  }

  /** Returns the file's name. @throws {StorageError} `ERR_STORE_IO`. */
  storeMessage(typeName: string, from: Address, payload: Uint8Array): Promise<string> {
    return this.#oneAtATime(async () => {
      const time = localTime()
      const content = Buffer.from(
        inboxMessage({ typeName, from: formatAddress(from), payload, time }),
      )
      await this.#makeInboxRoom(content.length)
      const name = await writeNew(this.inbox, content, (attempt) =>
        inboxFileName(typeName, time, attempt),
      )
      this.#inboxSizes?.set(name, content.length)
      this.#inboxBytes += content.length
      return name
    })
  }

  /**
   * Stores a whole file under a sanitised name. Returns the name it got.
   *
   * @throws {StorageError} `ERR_STORE_IO`, `ERR_LIMIT` when `received/` is full.
   */
  storeFile(name: string, data: Uint8Array): Promise<string> {
    return this.#oneAtATime(async () => {
      await this.requireReceivedRoom(data.length)
      const time = localTime()
      return writeNew(this.received, data, (attempt) => receivedFileName(name, time, attempt))
    })
  }

  /** Moves a finished partial file to its name. Returns that name. @throws {StorageError} `ERR_STORE_IO`. */
  adoptFile(temporary: string, name: string): Promise<string> {
    return this.#oneAtATime(async () => {
      const time = localTime()
      return guarded(this.received, () =>
        placeNew(this.received, temporary, (attempt) => receivedFileName(name, time, attempt)),
      )
    })
  }

  /** @throws {StorageError} `ERR_LIMIT` when so many bytes more would pass the cap. */
  async requireReceivedRoom(bytes: number): Promise<void> {
    const used = [...(await sizesOf(this.received)).values()].reduce((sum, one) => sum + one, 0)
    if (used + bytes > RECEIVED_BYTES_MAX)
      throw new StorageError('ERR_LIMIT', 'received files are full (2 GiB)')
  }

  async #makeInboxRoom(bytes: number): Promise<void> {
    if (this.#inboxSizes === undefined || this.#inboxSizes.size >= INBOX_FILES_MAX) {
      // Again from disk: a person may have cleared it meanwhile.
      this.#inboxSizes = await sizesOf(this.inbox)
      this.#inboxBytes = [...this.#inboxSizes.values()].reduce((sum, one) => sum + one, 0)
    }
    for (const [name, size] of this.#inboxSizes) {
      const fits =
        this.#inboxSizes.size < INBOX_FILES_MAX && this.#inboxBytes + bytes <= INBOX_BYTES_MAX
      if (fits) return
      await rm(join(this.inbox, name), { force: true })
      this.#inboxSizes.delete(name)
      this.#inboxBytes -= size
    }
  }

  #oneAtATime<T>(work: () => Promise<T>): Promise<T> {
    const done = this.#queue.then(work)
    this.#queue = done.catch(() => {})
    return done
  }
}

type NameOf = (attempt: number) => string

async function writeNew(directory: string, data: Uint8Array, nameOf: NameOf): Promise<string> {
  return guarded(directory, async () => {
    await makeDirectory(directory)
    const temporary = join(directory, `.${process.pid}-${randomBytes(6).toString('hex')}.tmp`)
    try {
      const file = await open(temporary, 'wx', 0o600)
      try {
        await file.writeFile(data)
        await file.datasync()
      } finally {
        await file.close()
      }
      return await placeNew(directory, temporary, nameOf)
    } finally {
      await rm(temporary, { force: true })
    }
  })
}

/** Gives `temporary` a name that nothing has; `link` fails where `rename` would replace. */
async function placeNew(directory: string, temporary: string, nameOf: NameOf): Promise<string> {
  await makeDirectory(directory)
  for (let attempt = 0; ; attempt++) {
    const name = nameOf(attempt)
    try {
      await link(temporary, join(directory, name))
      await rm(temporary, { force: true })
      return name
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException
      if (code === 'EEXIST') continue
      if (code !== 'EPERM' && code !== 'ENOTSUP' && code !== 'EOPNOTSUPP') throw error
    }
    // No hard links here: nobody else writes this directory but us, one at a time.
    const target = join(directory, name)
    if (await exists(target)) continue
    await rename(temporary, target)
    return name
  }
}

async function sizesOf(directory: string): Promise<Map<string, number>> {
  const sizes: [name: string, size: number, at: number][] = []
  for (const name of await readdir(directory).catch(() => [])) {
    const found = await stat(join(directory, name)).catch(() => undefined)
    if (found?.isFile()) sizes.push([name, found.size, found.mtimeMs])
  }
  sizes.sort((a, b) => a[2] - b[2])
  return new Map(sizes.map(([name, size]) => [name, size]))
}

async function exists(path: string): Promise<boolean> {
  return (await stat(path).catch(() => undefined)) !== undefined
}

async function guarded<T>(directory: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (cause) {
    if (cause instanceof StorageError) throw cause
    const { code, message } = cause as NodeJS.ErrnoException
    throw new StorageError('ERR_STORE_IO', `cannot write to ${directory}: ${code ?? message}`, {
      cause,
    })
  }
}

function localTime(): TimeParts {
  const now = new Date()
  return {
    year: now.getFullYear(),
    month: now.getMonth() + 1,
    day: now.getDate(),
    hour: now.getHours(),
    minute: now.getMinutes(),
    second: now.getSeconds(),
    millisecond: now.getMilliseconds(),
    offsetMinutes: -now.getTimezoneOffset(),
  }
}
