/** Files that came, kept in the database until they are removed: what there is, and how much may come. */
import { type Signal, signal } from '@preact/signals'
import type { Database } from './database.ts'
import { formatBytes } from './format.ts'
import { LimitError } from './limit-error.ts'
import type { Tabs } from './tabs.ts'

export interface ReceivedFile {
  readonly id: string
  readonly nodeId: number
  /** Somebody else's text, without path and control characters. */
  readonly name: string
  readonly size: number
  /** Hex, computed here. */
  readonly sha256: string
  /** Unix ms. */
  readonly at: number
  readonly blob: Blob
}

/** Largest file, and all of them. */
export const FILE_BYTES_MAX: number = 256 * 1024 * 1024
export const FILES_BYTES_MAX: number = 512 * 1024 * 1024
const FILES_MAX = 1000

export class ReceivedFiles {
  readonly files: Signal<readonly ReceivedFile[]> = signal([])
  readonly #database: Database
  readonly #prefix: string
  readonly #tabs: Tabs
  #loaded: Promise<void>
  /** Bytes announced by transfers that are coming in. */
  #reserved = 0

  constructor(database: Database, tabs: Tabs, prefix: string) {
    this.#database = database
    this.#tabs = tabs
    tabs.onchange(({ store, key }) => {
      if (store === 'files' && key === prefix) this.#loaded = this.#load()
    })
    this.#prefix = prefix
    this.#loaded = this.#load()
  }

  /** Keeps room for a file that is announced; the result gives it back. @throws {LimitError} */
  async reserve(bytes: number): Promise<() => void> {
    await this.#loaded
    if (bytes > FILE_BYTES_MAX)
      throw new LimitError(
        `a browser takes files up to ${formatBytes(FILE_BYTES_MAX)}, this one has ${formatBytes(bytes)}`,
      )
    const used = this.files.value.reduce((sum, file) => sum + file.size, 0) + this.#reserved
    if (used + bytes > FILES_BYTES_MAX || this.files.value.length >= FILES_MAX)
      throw new LimitError(
        `the receiver's files are full (${formatBytes(FILES_BYTES_MAX)}); it has to remove some first`,
      )
    this.#reserved += bytes
    let isHeld = true
    return () => {
      if (isHeld) this.#reserved -= bytes
      isHeld = false
    }
  }

  /** Settles when it is stored. @throws {DOMException} e.g. `QuotaExceededError`. */
  async add(file: Omit<ReceivedFile, 'id' | 'at'>): Promise<void> {
    const kept: ReceivedFile = { ...file, id: crypto.randomUUID(), at: Date.now() }
    await this.#database.put('files', `${this.#prefix}${kept.id}`, kept)
    this.files.value = [kept, ...this.files.value]
    this.#tabs.changed('files', this.#prefix)
  }

  async remove(id: string): Promise<void> {
    this.files.value = this.files.value.filter((file) => file.id !== id)
    await this.#database.delete('files', `${this.#prefix}${id}`).catch(() => {})
    this.#tabs.changed('files', this.#prefix)
  }

  async #load(): Promise<void> {
    const stored = await this.#database.all('files', this.#prefix).catch(() => [])
    const files = (stored as ReceivedFile[]).filter((file) => file.blob instanceof Blob)
    this.files.value = files.sort((a, b) => b.at - a.at)
  }
}

/** Gives the bytes to the user's downloads. */
export function download(blob: Blob, name: string): void {
  const link = document.createElement('a')
  // A type of its own could make the browser show somebody else's page as ours.
  link.href = URL.createObjectURL(new Blob([blob], { type: 'application/octet-stream' }))
  link.download = name
  link.click()
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000)
}
