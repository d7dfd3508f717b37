/** Many frames in one piece of memory, u32 length and bytes each: a lane then carries one message for all of them. */
import { viewOf } from '../../../core/bytes.ts'

const FIRST_BYTES = 65_536

export class FramePacker {
  #buffer = new Uint8Array(FIRST_BYTES)
  #at = 0

  /** Bytes packed so far, lengths included. */
  get length(): number {
    return this.#at
  }

  push(frame: Uint8Array): void {
    const end = this.#at + 4 + frame.length
    if (end > this.#buffer.length) {
      const larger = new Uint8Array(Math.max(end, this.#buffer.length * 2))
      larger.set(this.#buffer.subarray(0, this.#at))
      this.#buffer = larger
    }
    viewOf(this.#buffer).setUint32(this.#at, frame.length)
    this.#buffer.set(frame, this.#at + 4)
    this.#at = end
  }

  /** All of it, in memory of its own; the packer is empty then. */
  take(): Uint8Array<ArrayBuffer> {
    const packed = this.#buffer.slice(0, this.#at)
    this.#at = 0
    return packed
  }
}

/** Views into `packed`. What is cut short at its end is left out. */
export function unpackFrames(packed: Uint8Array): Uint8Array<ArrayBuffer>[] {
  const frames: Uint8Array<ArrayBuffer>[] = []
  const view = viewOf(packed)
  for (let at = 0; at + 4 <= packed.length; ) {
    const end = at + 4 + view.getUint32(at)
    if (end > packed.length) break
    frames.push(packed.subarray(at + 4, end) as Uint8Array<ArrayBuffer>)
    at = end
  }
  return frames
}
