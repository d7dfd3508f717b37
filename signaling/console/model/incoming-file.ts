/** A file coming in by FILESTREAM (spec/07 §6.5): in memory first, in the database when its hash is right. */
import { sha256 } from '@noble/hashes/sha2.js'
import { toHex } from '../../../core/bytes.ts'
import type { DataFrame } from '../../../core/service/data-exchange.ts'
import { FileReceiver, type FileReceiverEvent } from '../../../core/service/file-receiver.ts'
import type { FileIntake } from '../../../runtimes/shared/services/data-exchange.ts'
import { drainReceiver } from '../../../runtimes/shared/services/receiver-drain.ts'
import { displayLine } from './format.ts'
import { LimitError } from './limit-error.ts'
import type { ReceivedFiles } from './received-files.ts'
import type { TransferEntry, TransferList } from './transfer-list.ts'

export interface IncomingFileOptions {
  readonly nodeId: number
  readonly list: TransferList
  readonly files: ReceivedFiles
  /** Takes whole frames for the sender. */
  readonly write: (frame: Uint8Array) => Promise<void>
  readonly onstored: (name: string) => void
}

/** Chunks become a Blob from this size on, which the browser may keep on disk. */
const PIECE_BYTES = 4 << 20

export class IncomingFile implements FileIntake {
  readonly #options: IncomingFileOptions
  readonly #machine = new FileReceiver({ now: performance.now() })
  #entry: TransferEntry | undefined
  #release: (() => void) | undefined
  #pieces: Blob[] = []
  #chunks: Uint8Array<ArrayBuffer>[] = []
  #chunkBytes = 0
  #bytes = 0
  #digest = ''

  constructor(options: IncomingFileOptions) {
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
    this.#free()
  }

  #drain(): Promise<void> {
    return drainReceiver(this.#machine, {
      write: this.#options.write,
      handle: (event) => this.#handle(event),
      reasonOf: (error) =>
        error instanceof LimitError ? error.message : 'the receiver cannot store it',
    })
  }

  async #handle(event: FileReceiverEvent): Promise<void> {
    switch (event.type) {
      case 'open':
        return this.#open(event)
      case 'write':
        return this.#take(event.data, event.offset + event.data.length)
      case 'verified':
        this.#entry?.enter('verifying')
        await this.#store(event.name)
        this.#machine.stored()
        return
      case 'complete':
        this.#entry?.enter('done', { sha256: this.#digest, note: 'Its hash was verified here.' })
        return this.#free()
      case 'failed':
        this.#entry?.enter('failed', { note: displayLine(event.reason) })
        this.#free()
    }
  }

  async #open(event: Extract<FileReceiverEvent, { readonly type: 'open' }>): Promise<void> {
    const { nodeId, list, files } = this.#options
    const { name, size } = event
    this.#entry = list.add({ nodeId, direction: 'in', name, size, state: 'moving' }, () =>
      this.#cancel(),
    )
    this.#release = await files.reserve(size)
    const hash = sha256.create()
    const digest = (): Uint8Array => {
      const result = hash.digest()
      this.#digest = toHex(result)
      return result
    }
    this.#machine.opened(0, { update: (data) => hash.update(data), digest }, performance.now())
  }

  #take(data: Uint8Array, end: number): void {
    this.#chunks.push(new Uint8Array(data))
    this.#chunkBytes += data.length
    this.#bytes = end
    if (this.#chunkBytes >= PIECE_BYTES) this.#compact()
    this.#entry?.progress(end)
    this.#machine.written(end, performance.now())
  }

  #compact(): void {
    this.#pieces.push(new Blob(this.#chunks))
    this.#chunks = []
    this.#chunkBytes = 0
  }

  async #store(name: string): Promise<void> {
    const { nodeId, files, onstored } = this.#options
    this.#compact()
    const blob = new Blob(this.#pieces)
    this.#release?.()
    await files.add({ nodeId, name, size: this.#bytes, sha256: this.#digest, blob })
    onstored(name)
  }

  #cancel(): void {
    this.#entry?.enter('cancelled', { note: 'You cancelled it.' })
    this.#machine.abort('the receiver cancelled')
    void this.#drain()
  }

  #free(): void {
    this.#release?.()
    this.#pieces = []
    this.#chunks = []
  }
}
