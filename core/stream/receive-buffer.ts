/**
 * Reassembly: bytes received in order and not yet read, and ranges held out of order. Positions are byte
 * offsets from the start of the peer's stream; they never wrap. Small pieces are copied together and big
 * memory behind a small view is not kept, so what is held stays close to what was sent.
 */

/** What became of a segment. */
export type Reception =
  /** Its bytes, or some of them, extended the readable stream. */
  | 'delivered'
  /** Held until the bytes before it arrive. */
  | 'held'
  /** Nothing in it is new. */
  | 'duplicate'
  /** No room: dropped. */
  | 'full'

/** Bytes `left` to `right` (exclusive), held out of order. */
interface Range {
  left: number
  right: number
  readonly pieces: Uint8Array[]
}

/** In-order pieces below this size are copied into a shared block. */
const SMALL_BYTES = 256
const BLOCK_BYTES = 4096
/** `read` joins pieces up to this size; a piece that is large by itself is given as it is, for a copy costs more. */
const READ_BYTES = 65536
const LARGE_PIECE_BYTES = 8192

export class ReceiveBuffer {
  #capacity: number
  readonly #reserve: number
  readonly #piecesMax: number

  #queue: Uint8Array[] = []
  #queueHead = 0
  #readOffset = 0
  #next = 0

  /** Memory the last entry of the queue is a view of, when it may still grow. */
  #block: Uint8Array | undefined
  #blockUsed = 0

  /** Ascending, disjoint, not touching each other. */
  #ranges: Range[] = []
  #pieces = 0
  #heldBytes = 0

  constructor(capacityBytes: number, reserveBytes: number, piecesMax: number) {
    this.#capacity = capacityBytes
    this.#reserve = reserveBytes
    this.#piecesMax = piecesMax
  }

  /** There is room for so many bytes from now on; never less than before. */
  grow(capacityBytes: number): void {
    this.#capacity = Math.max(this.#capacity, capacityBytes)
  }

  /** Bytes kept, in order or not. */
  get storedBytes(): number {
    return this.readableBytes + this.#heldBytes
  }
  /** Offset of the first byte not yet received in order. */
  get next(): number {
    return this.#next
  }
  /** Received in order and not read. */
  get readableBytes(): number {
    return this.#next - this.#readOffset
  }
  /** Room as advertised; negative once a peer went past it. */
  get free(): number {
    return this.#capacity - this.readableBytes
  }
  get rangeCount(): number {
    return this.#ranges.length
  }
  /** Segments, or joined runs of small ones, held out of order. */
  get heldPieces(): number {
    return this.#pieces
  }
  /** One past the highest byte received, in order or not. */
  get highest(): number {
    return this.#ranges.length === 0 ? this.#next : this.#ranges[this.#ranges.length - 1]!.right
  }

  rangeLeft(index: number): number {
    return this.#ranges[index]!.left
  }
  rangeRight(index: number): number {
    return this.#ranges[index]!.right
  }

  /** Index of the range that holds `offset`, or -1. */
  rangeAt(offset: number): number {
    const index = this.#rangeAfter(offset) - 1
    return index >= 0 && offset < this.#ranges[index]!.right ? index : -1
  }

  /** Takes a segment whose first byte is at `offset`; parts already here are left out. */
  accept(offset: number, payload: Uint8Array): Reception {
    const end = offset + payload.length
    if (end <= this.#next) return 'duplicate'
    if (end > this.#readOffset + this.#capacity + this.#reserve) return 'full'
    if (offset > this.#next) return this.#hold(offset, payload)
    this.#append(offset < this.#next ? payload.subarray(this.#next - offset) : payload)
    this.#joinRanges()
    return 'delivered'
  }

  /** The next bytes in order, up to 64 KiB joined; `undefined` when there are none. */
  read(): Uint8Array | undefined {
    const head = this.#queueHead
    const first = this.#queue[head]
    if (first === undefined) return undefined
    let end = head + 1
    let length = first.length
    const isLarge = length >= LARGE_PIECE_BYTES
    while (!isLarge && end < this.#queue.length && length + this.#queue[end]!.length <= READ_BYTES)
      length += this.#queue[end++]!.length
    let out = first
    if (end > head + 1) {
      out = new Uint8Array(length)
      for (let i = head, at = 0; i < end; i++) {
        out.set(this.#queue[i]!, at)
        at += this.#queue[i]!.length
      }
    }
    this.#readOffset += length
    this.#queueHead = end
    if (end === this.#queue.length) {
      this.#queue.length = this.#queueHead = 0
      this.#block = undefined
    } else if (end > 1024) {
      this.#queue.splice(0, end)
      this.#queueHead = 0
    }
    return out
  }

  /** Forgets what is held out of order. */
  clearHeld(): void {
    this.#ranges = []
    this.#pieces = this.#heldBytes = 0
  }

  /** Forgets everything. */
  clear(): void {
    this.clearHeld()
    this.#queue = []
    this.#queueHead = 0
    this.#readOffset = this.#next
    this.#block = undefined
  }

  #append(payload: Uint8Array): void {
    this.#next += payload.length
    if (payload.length >= SMALL_BYTES) {
      this.#queue.push(own(payload))
      this.#block = undefined
      return
    }
    let block = this.#block
    if (block === undefined || this.#blockUsed + payload.length > block.length) {
      block = new Uint8Array(this.#block === undefined ? 2 * SMALL_BYTES : BLOCK_BYTES)
      this.#block = block
      this.#blockUsed = 0
      this.#queue.push(block)
    }
    block.set(payload, this.#blockUsed)
    this.#blockUsed += payload.length
    this.#queue[this.#queue.length - 1] = block.subarray(0, this.#blockUsed)
  }

  #joinRanges(): void {
    let joined = 0
    for (const range of this.#ranges) {
      if (range.left > this.#next) break
      joined++
      this.#pieces -= range.pieces.length
      let at = range.left
      for (const piece of range.pieces) {
        const end = at + piece.length
        this.#heldBytes -= piece.length
        if (end > this.#next)
          this.#append(at < this.#next ? piece.subarray(this.#next - at) : piece)
        at = end
      }
    }
    if (joined === this.#ranges.length) this.#ranges.length = 0
    else if (joined > 0) this.#ranges.splice(0, joined)
  }

  /** Fills the gaps that `payload` covers between the ranges that are there. */
  #hold(offset: number, payload: Uint8Array): Reception {
    const end = offset + payload.length
    let result: Reception = 'duplicate'
    let at = offset
    while (at < end) {
      const index = this.#rangeAfter(at)
      const before = index > 0 ? this.#ranges[index - 1]! : undefined
      if (before !== undefined && at < before.right) {
        at = before.right
        continue
      }
      if (this.#pieces >= this.#piecesMax) return result === 'held' ? 'held' : 'full'
      const after = this.#ranges[index]
      const stop = after !== undefined && after.left < end ? after.left : end
      this.#insert(index, at, own(payload.subarray(at - offset, stop - offset)))
      result = 'held'
      at = stop
    }
    return result
  }

  /** Puts a piece into the gap before range `index`, joining what it touches. */
  #insert(index: number, left: number, piece: Uint8Array): void {
    const right = left + piece.length
    const before = index > 0 ? this.#ranges[index - 1]! : undefined
    const after = this.#ranges[index]
    this.#pieces++
    this.#heldBytes += piece.length
    if (before !== undefined && before.right === left) {
      before.pieces.push(piece)
      before.right = right
      if (after !== undefined && after.left === right) {
        for (const one of after.pieces) before.pieces.push(one)
        before.right = after.right
        this.#ranges.splice(index, 1)
      }
    } else if (after !== undefined && after.left === right) {
      after.pieces.unshift(piece)
      after.left = left
    } else this.#ranges.splice(index, 0, { left, right, pieces: [piece] })
  }

  /** Index of the first range that starts after `offset`. */
  #rangeAfter(offset: number): number {
    let low = 0
    let high = this.#ranges.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if (this.#ranges[middle]!.left <= offset) low = middle + 1
      else high = middle
    }
    return low
  }
}

/** The view itself, or a copy when it would keep much more memory alive than it shows. */
function own(view: Uint8Array): Uint8Array {
  return view.buffer.byteLength > 2 * view.length + 512 ? view.slice() : view
}
