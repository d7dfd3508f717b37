/**
 * Sends one file to a peer's port 1001 as `pilotctl send-file` does: FILESTREAM where the peer has it, else a
 * single FILE frame (spec/07 §6.5).
 */
import { sha256 } from '@noble/hashes/sha2.js'
import { toHex } from '../../../core/bytes.ts'
import {
  DATA_FRAME_BYTES_MAX,
  encodeFileFrame,
  parseAnswer,
} from '../../../core/service/data-exchange.ts'
import { FileSender } from '../../../core/service/file-sender.ts'
import { portableFileName } from '../../../core/service/inbox.ts'
import type { PilotNode } from '../../../runtimes/browser/index.ts'
import { ExchangeClient } from './exchange-client.ts'
import { formatBytes } from './format.ts'
import { wordsOf } from './plain-words.ts'
import type { TransferEntry, TransferList } from './transfer-list.ts'

const READ_BYTES = 1 << 20
const TICK_MS = 250
const LAST_WORD_MS = 10_000
/** Time for the answer to a FILE frame, which comes after all of it. */
const FRAME_ACK_MS = 120_000

class Cancelled extends Error {}

export class OutgoingFile {
  readonly #node: PilotNode
  readonly #nodeId: number
  readonly #file: File
  readonly #name: string
  readonly #entry: TransferEntry
  readonly #stop = new AbortController()
  #sender: FileSender | undefined
  #wake: (() => void) | undefined
  #pumping: Promise<void> = Promise.resolve()
  #isPumpWanted = false
  #client: ExchangeClient | undefined

  /** Starts at once. */
  constructor(node: PilotNode, nodeId: number, file: File, list: TransferList) {
    this.#node = node
    this.#nodeId = nodeId
    this.#file = file
    this.#name = portableFileName(file.name) ?? 'file'
    this.#entry = list.add(
      { nodeId, direction: 'out', name: this.#name, size: file.size, state: 'hashing' },
      () => this.#cancel(),
    )
    void this.#run()
  }

  #cancel(): void {
    this.#stop.abort()
    this.#sender?.abort('the sender cancelled')
    this.#entry.enter('cancelled', { note: 'You cancelled it.' })
    this.#wake?.()
  }

  async #run(): Promise<void> {
    try {
      const hash = await this.#hash()
      this.#entry.enter('waiting', { sha256: toHex(hash), bytes: 0 })
      const note = (await this.#sendByStream(hash)) ?? (await this.#sendWhole())
      this.#entry.enter('done', { note, bytes: this.#file.size })
    } catch (error) {
      if (!(error instanceof Cancelled)) this.#entry.enter('failed', { note: wordsOf(error) })
    } finally {
      await this.#letGo()
    }
  }

  /** What is said last gets its time to leave; a peer that does not read is not waited for. */
  async #letGo(): Promise<void> {
    const client = this.#client
    const timer = setTimeout(() => client?.reset(), LAST_WORD_MS)
    await this.#pumping
    clearTimeout(timer)
    client?.close()
  }

  async #hash(): Promise<Uint8Array> {
    const hash = sha256.create()
    for (let at = 0; at < this.#file.size; at += READ_BYTES) {
      hash.update(await this.#read(at, Math.min(READ_BYTES, this.#file.size - at)))
      this.#entry.progress(Math.min(this.#file.size, at + READ_BYTES))
    }
    return hash.digest()
  }

  /** What is known at the end; `undefined` when the peer has no FILESTREAM. */
  async #sendByStream(hash: Uint8Array): Promise<string | undefined> {
    const client = await this.#dial()
    const sender = new FileSender({
      size: this.#file.size,
      sha256: hash,
      name: this.#name,
      now: performance.now(),
    })
    this.#sender = sender
    const timer = setInterval(() => {
      sender.handleTimeout(performance.now())
      void this.#pump(sender, client)
    }, TICK_MS)
    try {
      void this.#receive(sender, client)
      return await this.#outcome(sender, client)
    } finally {
      clearInterval(timer)
      this.#sender = undefined
      // An abort of ours is still with the machine.
      void this.#pump(sender, client)
    }
  }

  /** Frames of the peer, until the transfer is over. */
  async #receive(sender: FileSender, client: ExchangeClient): Promise<void> {
    try {
      while (this.#sender === sender) {
        sender.handleFrame(await client.nextFrame(), performance.now())
        void this.#pump(sender, client)
      }
    } catch {
      sender.handleEnd()
    }
    this.#wake?.()
  }

  /** Once more after the run that is under way; settles after that. */
  #pump(sender: FileSender, client: ExchangeClient): Promise<void> {
    this.#wake?.()
    if (this.#isPumpWanted) return this.#pumping
    this.#isPumpWanted = true
    this.#pumping = this.#pumping.then(() => this.#pumpOnce(sender, client))
    return this.#pumping
  }

  /** Writes what the machine has, and reads what it wants, until it waits for the peer. */
  async #pumpOnce(sender: FileSender, client: ExchangeClient): Promise<void> {
    this.#isPumpWanted = false
    try {
      for (;;) {
        const frame = sender.pollTransmit()
        const want = frame === undefined ? sender.pollRead() : undefined
        if (frame !== undefined) await client.write(frame)
        else if (want !== undefined)
          sender.provide(await this.#read(want.offset, want.length), performance.now())
        else break
      }
    } catch (error) {
      if (!(error instanceof Cancelled)) sender.abort(wordsOf(error))
    } finally {
      this.#wake?.()
    }
  }

  async #outcome(sender: FileSender, client: ExchangeClient): Promise<string | undefined> {
    void this.#pump(sender, client)
    for (;;) {
      const event = sender.pollEvent()
      switch (event?.type) {
        case undefined:
          await new Promise<void>((resolve) => {
            this.#wake = resolve
          })
          break
        case 'resume':
          this.#entry.enter('moving')
          this.#entry.progress(event.offset)
          break
        case 'progress':
          this.#entry.progress(event.offset)
          if (event.offset === this.#file.size) this.#entry.enter('verifying')
          break
        case 'complete':
          return 'The receiver has verified the hash.'
        case 'unsupported':
          return undefined
        case 'failed':
          if (this.#stop.signal.aborted) throw new Cancelled()
          throw new Error(`The receiver does not have it: ${event.reason}`)
      }
    }
  }

  /** One FILE frame, for peers that know nothing else. */
  async #sendWhole(): Promise<string> {
    this.#client?.reset()
    if (this.#file.size + 2 + 255 > DATA_FRAME_BYTES_MAX)
      throw new Error(
        `This peer takes files up to ${formatBytes(DATA_FRAME_BYTES_MAX)} only: it does not know the protocol for larger ones.`,
      )
    const client = await this.#dial()
    this.#entry.enter('moving')
    const reset = (): void => client.reset()
    const timer = setTimeout(reset, FRAME_ACK_MS)
    // In the middle of a frame there is no other way to say so.
    this.#stop.signal.addEventListener('abort', reset)
    try {
      const data = await this.#read(0, this.#file.size)
      const frame = encodeFileFrame(this.#name, data)
      const written = this.#writeCounted(client, frame)
      written.catch(() => {})
      // Together: a peer that refuses answers before it has all of it.
      const answer = parseAnswer((await client.nextFrame()).payload)
      await written
      if (answer.kind === 'ack') return 'The receiver has acknowledged it.'
      const said = answer.kind === 'error' ? answer.message : answer.text
      throw new Error(`The receiver did not store it: ${said}`)
    } catch (error) {
      throw this.#stop.signal.aborted ? new Cancelled() : error
    } finally {
      clearTimeout(timer)
    }
  }

  async #writeCounted(client: ExchangeClient, frame: Uint8Array): Promise<void> {
    for (let at = 0; at < frame.length; at += READ_BYTES) {
      await client.write(frame.subarray(at, at + READ_BYTES))
      this.#entry.progress(Math.min(this.#file.size, at + READ_BYTES))
    }
    this.#entry.enter('verifying')
  }

  async #dial(): Promise<ExchangeClient> {
    try {
      this.#client = await ExchangeClient.dial(this.#node, this.#nodeId, this.#stop.signal)
      return this.#client
    } catch (error) {
      throw this.#stop.signal.aborted ? new Cancelled() : error
    }
  }

  async #read(offset: number, length: number): Promise<Uint8Array> {
    if (this.#stop.signal.aborted) throw new Cancelled()
    try {
      return new Uint8Array(await this.#file.slice(offset, offset + length).arrayBuffer())
    } catch {
      throw new Error('The file cannot be read any more; was it moved or changed?')
    }
  }
}
