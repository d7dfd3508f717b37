/**
 * The bytes written and not yet acknowledged, in blocks. Positions are byte offsets from the start of the
 * stream; they never wrap.
 */

import { BLOCK_BYTES, giveBlock, takeBlock } from './block-pool.ts'

export class SendBuffer {
  #limit: number
  #blocks: Uint8Array[] = []
  /** Offset of the first byte of `#blocks[0]`. */
  #base = 0
  #start = 0
  #end = 0

  constructor(limitBytes: number) {
    this.#limit = limitBytes
  }

  /** First byte kept. */
  get start(): number {
    return this.#start
  }
  /** One past the last byte written. */
  get end(): number {
    return this.#end
  }
  get free(): number {
    return this.#limit - (this.#end - this.#start)
  }

  get limit(): number {
    return this.#limit
  }

  /** There is room for so many bytes from now on; never less than before. */
  grow(limitBytes: number): void {
    this.#limit = Math.max(this.#limit, limitBytes)
  }

  /** Copies what fits and returns how much that was. */
  append(data: Uint8Array): number {
    const taken = Math.min(data.length, this.free)
    for (let done = 0; done < taken; ) {
      const at = this.#end - this.#base
      const index = Math.floor(at / BLOCK_BYTES)
      if (index === this.#blocks.length) this.#blocks.push(takeBlock())
      const within = at - index * BLOCK_BYTES
      const piece = Math.min(taken - done, BLOCK_BYTES - within)
      this.#blocks[index]!.set(
        done === 0 && piece === data.length ? data : data.subarray(done, done + piece),
        within,
      )
      done += piece
      this.#end += piece
    }
    return taken
  }

  /** Copies `length` bytes from stream offset `from` to `out[at..]`. */
  copy(from: number, length: number, out: Uint8Array, at: number): void {
    for (let done = 0; done < length; ) {
      const position = from + done - this.#base
      const index = Math.floor(position / BLOCK_BYTES)
      const within = position - index * BLOCK_BYTES
      const piece = Math.min(length - done, BLOCK_BYTES - within)
      out.set(this.#blocks[index]!.subarray(within, within + piece), at + done)
      done += piece
    }
  }

  /** Forgets everything before `offset`. */
  release(offset: number): void {
    if (offset <= this.#start) return
    this.#start = Math.min(offset, this.#end)
    while (this.#blocks.length > 0 && this.#start - this.#base >= BLOCK_BYTES) this.#drop()
    if (this.#start !== this.#end || this.#blocks.length === 0) return
    this.#drop()
    this.#base = this.#start
  }

  /** Forgets everything. */
  clear(): void {
    while (this.#blocks.length > 0) this.#drop()
    this.#start = this.#end
    this.#base = this.#end
  }

  #drop(): void {
    giveBlock(this.#blocks.shift()!)
    this.#base += BLOCK_BYTES
  }
}
