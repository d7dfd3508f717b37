/** Bytes that wait their turn, in blocks that are used again: a busy queue leaves nothing to collect behind. */
import { BLOCK_BYTES, giveBlock, takeBlock } from '../../../core/stream/block-pool.ts'

export class ByteQueue {
  #blocks: Uint8Array[] = []
  /** First byte of the first block that is still wanted, and one past the last of the last. */
  #from = 0
  #to = BLOCK_BYTES
  #length = 0

  get length(): number {
    return this.#length
  }

  /** Copies `data` to the end. */
  append(data: Uint8Array): void {
    for (let at = 0; at < data.length; ) {
      if (this.#to === BLOCK_BYTES) {
        this.#blocks.push(takeBlock())
        this.#to = 0
      }
      const piece = data.subarray(at, at + BLOCK_BYTES - this.#to)
      this.#blocks[this.#blocks.length - 1]!.set(piece, this.#to)
      this.#to += piece.length
      at += piece.length
    }
    this.#length += data.length
  }

  /** The first bytes, at most a block of them: a view, valid until `drop`. `undefined` when there are none. */
  peek(): Uint8Array | undefined {
    if (this.#length === 0) return undefined
    return this.#blocks[0]!.subarray(this.#from, this.#blocks.length === 1 ? this.#to : BLOCK_BYTES)
  }

  /** Forgets the first `bytes`, of those that `peek` gave. */
  drop(bytes: number): void {
    this.#from += bytes
    this.#length -= bytes
    if (this.#length === 0) this.clear()
    else if (this.#from === BLOCK_BYTES) {
      giveBlock(this.#blocks.shift()!)
      this.#from = 0
    }
  }

  clear(): void {
    for (const block of this.#blocks.splice(0)) giveBlock(block)
    this.#from = 0
    this.#to = BLOCK_BYTES
    this.#length = 0
  }
}
