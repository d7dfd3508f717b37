/** Gathers a known number of bytes out of chunks; its memory grows with what arrived, not with what was announced. */

const FIRST_BYTES = 4096

export class ByteCollector {
  #buffer: Uint8Array = new Uint8Array(0)
  #length = 0
  #have = 0

  /** Starts over, for `length` bytes. */
  expect(length: number): void {
    this.#length = length
    this.#have = 0
    this.#buffer = new Uint8Array(0)
  }

  get isComplete(): boolean {
    return this.#have === this.#length
  }
  /** True when some but not all of the bytes are here. */
  get isPartial(): boolean {
    return this.#have > 0 && this.#have < this.#length
  }

  /** Takes what is missing from `chunk[from..]` (copied) and returns how much that was. */
  push(chunk: Uint8Array, from: number): number {
    const taken = Math.min(this.#length - this.#have, chunk.length - from)
    const end = this.#have + taken
    if (end > this.#buffer.length) this.#grow(end)
    this.#buffer.set(chunk.subarray(from, from + taken), this.#have)
    this.#have = end
    return taken
  }

  /** The collected bytes, which are the caller's. */
  take(): Uint8Array {
    const bytes = this.#buffer.subarray(0, this.#length)
    this.#buffer = new Uint8Array(0)
    return bytes
  }

  #grow(needed: number): void {
    const size = Math.min(this.#length, Math.max(needed, FIRST_BYTES, 2 * this.#buffer.length))
    const grown = new Uint8Array(size)
    grown.set(this.#buffer.subarray(0, this.#have))
    this.#buffer = grown
  }
}
