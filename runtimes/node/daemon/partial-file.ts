/**
 * A file coming in by FILESTREAM (spec/07 §6.5): does on disk what the receiving machine asks for.
 * What is there of it lies in `received/.partial/<hex of transfer id>`, where a later attempt goes on.
 */
import { createHash, type Hash } from 'node:crypto'
import { type FileHandle, open, readdir, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { toHex } from '../../../core/bytes.ts'
import { PilotError } from '../../../core/errors.ts'
import type { DataFrame } from '../../../core/service/data-exchange.ts'
import { FileReceiver, type FileReceiverEvent } from '../../../core/service/file-receiver.ts'
import type { Address } from '../../../core/wire/address.ts'
import type { FileIntake } from '../../shared/services/data-exchange.ts'
import { drainReceiver } from '../../shared/services/receiver-drain.ts'
import { makeDirectory } from '../file-storage.ts'
import type { Log } from './log.ts'
import type { MailboxStore } from './mailbox-store.ts'

export interface PartialFileOptions {
  readonly mailbox: MailboxStore
  readonly from: Address
  /** Takes whole frames for the sender. */
  readonly write: (frame: Uint8Array) => Promise<void>
  readonly log: Log
  /** The file has its place: the name it was sent under, and the one it got. */
  readonly stored?: (name: string, bytes: number, file: string) => void
}

/** Partial files nobody came back for are removed after this long. */
const PARTIAL_MS = 7 * 24 * 3600 * 1000
const READ_BYTES = 1024 * 1024

/** Transfers in progress: two senders of one file would write into each other. */
const active = new Set<string>()

export class PartialFile implements FileIntake {
  readonly #options: PartialFileOptions
  readonly #machine = new FileReceiver({ now: performance.now() })
  #file: FileHandle | undefined
  #path = ''
  #bytes = 0

  constructor(options: PartialFileOptions) {
    this.#options = options
  }

  get isOver(): boolean {
    return this.#machine.isOver
  }

  async handleFrame(frame: DataFrame): Promise<void> {
    this.#machine.handleFrame(frame, performance.now())
    await this.#drain()
  }

  async end(): Promise<void> {
    this.#machine.handleEnd()
    await this.#drain()
    await this.#release()
  }

  #drain(): Promise<void> {
    return drainReceiver(this.#machine, {
      write: this.#options.write,
      handle: (event) => this.#handle(event),
      reasonOf: (error) => this.#reasonOf(error),
    })
  }

  #reasonOf(error: unknown): string {
    this.#options.log.error('file not stored', { reason: messageOf(error) })
    return error instanceof PilotError && error.code === 'ERR_LIMIT'
      ? error.message
      : 'the receiver cannot store it'
  }

  async #handle(event: FileReceiverEvent): Promise<void> {
    switch (event.type) {
      case 'open':
        await this.#open(event)
        break
      case 'write': {
        await this.#file!.write(event.data, 0, event.data.length, event.offset)
        this.#bytes = event.offset + event.data.length
        this.#machine.written(this.#bytes, performance.now())
        break
      }
      case 'verified': {
        await this.#file!.sync()
        const path = this.#path
        const file = await this.#options.mailbox.adoptFile(path, event.name)
        this.#options.log.info('file received', {
          from: this.#options.from.node,
          bytes: this.#bytes,
          file,
        })
        this.#options.stored?.(event.name, this.#bytes, file)
        this.#machine.stored()
        break
      }
      case 'complete':
        await this.#release()
        break
      case 'failed': {
        this.#options.log.warn('file transfer ended early', {
          from: this.#options.from.node,
          bytes: this.#bytes,
          reason: event.reason,
        })
        const path = this.#path
        await this.#release()
        if (!event.keepPartial && path !== '') await rm(path, { force: true })
        break
      }
    }
  }

  async #open(event: Extract<FileReceiverEvent, { readonly type: 'open' }>): Promise<void> {
    const { mailbox } = this.#options
    const directory = join(mailbox.received, '.partial')
    const path = join(directory, toHex(event.transferId))
    if (active.has(path)) throw new PilotError('ERR_LIMIT', 'this file is being received already')
    active.add(path)
    this.#path = path
    await makeDirectory(directory)
    await removeOld(directory)
    this.#file = await open(path, 'a+', 0o600)
    await this.#file.close()
    // Not in append mode: there the position of a write is ignored.
    this.#file = await open(path, 'r+')
    if ((await this.#file.stat()).size > event.size) await this.#file.truncate(0)
    const { size } = await this.#file.stat()
    await mailbox.requireReceivedRoom(event.size - size)
    const hash = await hashOf(this.#file, size)
    this.#bytes = size
    this.#machine.opened(
      size,
      { update: (data) => hash.update(data), digest: () => hash.digest() },
      performance.now(),
    )
  }

  async #release(): Promise<void> {
    active.delete(this.#path)
    this.#path = ''
    const file = this.#file
    this.#file = undefined
    await file?.close().catch(() => {})
  }
}

async function hashOf(file: FileHandle, size: number): Promise<Hash> {
  const hash = createHash('sha256')
  const buffer = Buffer.allocUnsafe(Math.min(READ_BYTES, Math.max(1, size)))
  for (let at = 0; at < size; ) {
    const { bytesRead } = await file.read(buffer, 0, buffer.length, at)
    if (bytesRead === 0) break
    hash.update(buffer.subarray(0, bytesRead))
    at += bytesRead
  }
  return hash
}

async function removeOld(directory: string): Promise<void> {
  for (const name of await readdir(directory)) {
    const path = join(directory, name)
    const found = await stat(path).catch(() => undefined)
    if (found !== undefined && !active.has(path) && Date.now() - found.mtimeMs > PARTIAL_MS)
      await rm(path, { force: true })
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
