/**
 * What others send, on disk (spec/07 §6.3): `~/.pilot/inbox/` and `~/.pilot/received/`, names and
 * members as the reference has them, written under a temporary name first, capped.
 */
import { randomBytes } from 'node:crypto'
import { link, mkdir, open, readdir, rename, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { PilotError, StorageError } from '../../../core/errors.ts'
import { type Address, formatAddress } from '../../../core/wire/address.ts'
import { encodeJson } from '../ipc/json.ts'

export type MessageType = 'TEXT' | 'BINARY' | 'JSON'

export interface IncomingMessage {
  readonly type: MessageType
  readonly from: Address
  readonly data: Uint8Array
}

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
  storeMessage({ type, from, data }: IncomingMessage): Promise<string> {
    return this.#oneAtATime(async () => {
      const now = new Date()
      const content = encodeJson({
        type,
        from: formatAddress(from),
        data: lossy.decode(data),
        bytes: data.length,
        received_at: localTime(now),
        // BINARY is never text to its sender, whatever its bytes are.
        ...((type === 'BINARY' || !isUtf8(data)) && {
          data_b64: Buffer.from(data).toString('base64'),
          data_encoding: 'base64',
        }),
      })
      const bytes = Buffer.from(content)
      await this.#makeInboxRoom(bytes.length)
      const name = await writeNew(this.inbox, `${type}-${stamp(now)}`, '.json', bytes)
      this.#inboxSizes?.set(name, bytes.length)
      this.#inboxBytes += bytes.length
      return name
    })
  }

  /**
   * Stores a whole file. Returns its name.
   *
   * @throws {StorageError} `ERR_STORE_IO`, `ERR_LIMIT` when `received/` is full.
   */
  storeFile(name: string, data: Uint8Array): Promise<string> {
    return this.#oneAtATime(async () => {
      await this.requireReceivedRoom(data.length)
      const [base, extension] = receivedName(name, new Date())
      return writeNew(this.received, base, extension, data)
    })
  }

  /** Moves a finished partial file to its name. Returns that name. @throws {StorageError} `ERR_STORE_IO`. */
  adoptFile(temporary: string, name: string): Promise<string> {
    return this.#oneAtATime(async () => {
      const [base, extension] = receivedName(name, new Date())
      return attempt(this.received, () => placeNew(this.received, base, extension, temporary))
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

/**
 * Base name and extension a received file gets: `hi.txt` becomes `hi-<stamp>` and `.txt`.
 *
 * @throws {PilotError} `ERR_INVALID_ARGUMENT` when nothing is left of the name.
 */
export function receivedName(name: string, at: Date): [base: string, extension: string] {
  const base = name
    .split(/[/\\]/)
    .at(-1)!
    .replace(/\p{Cc}/gu, '')
  if (base === '' || base === '.' || base === '..')
    throw new PilotError('ERR_INVALID_ARGUMENT', 'the file has no usable name')
  const dot = base.lastIndexOf('.')
  const [stem, extension] = dot < 0 ? [base, ''] : [base.slice(0, dot), base.slice(dot)]
  // 255 bytes is what file systems take; the stamp and a collision number must fit as well.
  return [`${cut(stem, 160)}-${stamp(at)}`, cut(extension, 40)]
}

/** `YYYYMMDD-HHMMSS.mmm`, local time. */
function stamp(at: Date): string {
  const two = (value: number): string => `${value}`.padStart(2, '0')
  const date = `${at.getFullYear()}${two(at.getMonth() + 1)}${two(at.getDate())}`
  const time = `${two(at.getHours())}${two(at.getMinutes())}${two(at.getSeconds())}`
  return `${date}-${time}.${`${at.getMilliseconds()}`.padStart(3, '0')}`
}

/** RFC 3339, whole seconds, local offset. */
function localTime(at: Date): string {
  const two = (value: number): string => `${Math.abs(value)}`.padStart(2, '0')
  const offset = -at.getTimezoneOffset()
  const zone =
    offset === 0
      ? 'Z'
      : `${offset < 0 ? '-' : '+'}${two(Math.trunc(offset / 60))}:${two(offset % 60)}`
  return `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())}T${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}${zone}`
}

/** Writes `<base><extension>`, or with `-1`, `-2`... after the base where that name is taken. */
async function writeNew(
  directory: string,
  base: string,
  extension: string,
  data: Uint8Array,
): Promise<string> {
  return attempt(directory, async () => {
    await mkdir(directory, { recursive: true, mode: 0o700 })
    const temporary = join(directory, `.${process.pid}-${randomBytes(6).toString('hex')}.tmp`)
    try {
      const file = await open(temporary, 'wx', 0o600)
      try {
        await file.writeFile(data)
        await file.datasync()
      } finally {
        await file.close()
      }
      return await placeNew(directory, base, extension, temporary)
    } finally {
      await rm(temporary, { force: true })
    }
  })
}

/** Gives `temporary` a name that nothing has; `link` fails where `rename` would replace. */
async function placeNew(
  directory: string,
  base: string,
  extension: string,
  temporary: string,
): Promise<string> {
  await mkdir(directory, { recursive: true, mode: 0o700 })
  for (let n = 0; ; n++) {
    const name = `${base}${n === 0 ? '' : `-${n}`}${extension}`
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

async function attempt<T>(directory: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (cause) {
    const { code, message } = cause as NodeJS.ErrnoException
    throw new StorageError('ERR_STORE_IO', `cannot write to ${directory}: ${code ?? message}`, {
      cause,
    })
  }
}

function isUtf8(bytes: Uint8Array): boolean {
  try {
    strict.decode(bytes)
    return true
  } catch {
    return false
  }
}

/** At most so many UTF-8 bytes, whole characters. */
function cut(text: string, bytes: number): string {
  let out = ''
  let left = bytes
  for (const char of text) {
    left -= Buffer.byteLength(char)
    if (left < 0) break
    out += char
  }
  return out
}

const lossy = new TextDecoder('utf-8', { ignoreBOM: true })
const strict = new TextDecoder('utf-8', { fatal: true })
