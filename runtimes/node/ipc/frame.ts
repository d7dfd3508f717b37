/**
 * Framing of the daemon socket (spec/06 §2): `length:u32 body`, body = `opcode:u8 payload`. Stream
 * data (Send towards the daemon, Recv towards the driver) is handed on piece by piece as it arrives,
 * so that a frame of many MiB is never held whole.
 */
import { WireError } from '../../../core/errors.ts'
import { FRAME_BYTES_MAX } from './opcode.ts'

export interface FrameSink {
  /** A whole body, opcode first: a view, valid during the call only. Never empty. */
  frame(body: Uint8Array): void
  /** Part of the data of a stream frame: a view into the chunk given to `push`, 1 byte or more. */
  stream(id: number, piece: Uint8Array): void
  /** All data of that frame was given, which may have been none. */
  streamEnd?(id: number): void
}

export interface FrameDecoderOptions {
  readonly sink: FrameSink
  /** Opcode whose payload is `id:u32 data`, delivered through `sink.stream`. */
  readonly streamOpcode: number
  /** Largest body of that opcode. Default 2^20. */
  readonly streamBytesMax?: number
}

/** Cuts any sequence of chunks into frames. After `stop` or an error it ignores everything. */
export class FrameDecoder {
  readonly #sink: FrameSink
  readonly #streamOpcode: number
  readonly #streamBytesMax: number
  #stopped = false
  /** Prefix under construction: 4 length bytes, then the opcode, then 4 id bytes of stream frames. */
  #prefix = 0
  #prefixBytes = 0
  #state: 'length' | 'opcode' | 'id' | 'body' | 'stream' = 'length'
  #length = 0
  /** Bytes of the body still to come. */
  #left = 0
  #id = 0
  /** Body whose bytes came in several chunks; grows with what is really there. */
  #body: Uint8Array = EMPTY
  #bodyBytes = 0

  constructor({ sink, streamOpcode, streamBytesMax = FRAME_BYTES_MAX }: FrameDecoderOptions) {
    this.#sink = sink
    this.#streamOpcode = streamOpcode
    this.#streamBytesMax = streamBytesMax
  }

  /** Delivers nothing any more, also when called from inside the sink. */
  stop(): void {
    this.#stopped = true
    this.#body = EMPTY
  }

  /** @throws {WireError} `ERR_WIRE_LENGTH` when a frame is longer than its limit; the peer must be dropped. */
  push(chunk: Uint8Array): void {
    let at = 0
    while (at < chunk.length && !this.#stopped) {
      switch (this.#state) {
        case 'length':
        case 'id':
          at = this.#collect(chunk, at)
          break
        case 'opcode':
          at = this.#begin(chunk, at)
          break
        case 'stream': {
          const end = Math.min(chunk.length, at + this.#left)
          this.#left -= end - at
          if (this.#left === 0) this.#state = 'length'
          const piece = chunk.subarray(at, end)
          at = end
          this.#sink.stream(this.#id, piece)
          if (this.#left === 0) this.#sink.streamEnd?.(this.#id)
          break
        }
        case 'body':
          at = this.#append(chunk, at)
          break
      }
    }
  }

  /** Four bytes of a length or an id. */
  #collect(chunk: Uint8Array, start: number): number {
    let at = start
    while (at < chunk.length && this.#prefixBytes < 4) {
      this.#prefix = ((this.#prefix << 8) | chunk[at++]!) >>> 0
      this.#prefixBytes++
    }
    if (this.#prefixBytes < 4) return at
    const value = this.#prefix
    this.#prefix = 0
    this.#prefixBytes = 0
    if (this.#state === 'id') {
      this.#id = value
      this.#left -= 4
      this.#state = this.#left > 0 ? 'stream' : 'length'
      if (this.#left === 0) this.#sink.streamEnd?.(value)
    } else if (value > Math.max(FRAME_BYTES_MAX, this.#streamBytesMax)) this.#tooLong(value)
    else if (value > 0) {
      this.#length = value
      this.#state = 'opcode'
    }
    return at
  }

  #begin(chunk: Uint8Array, at: number): number {
    const isStream = chunk[at] === this.#streamOpcode
    if (this.#length > (isStream ? this.#streamBytesMax : FRAME_BYTES_MAX))
      this.#tooLong(this.#length)
    if (isStream && this.#length >= 5) {
      this.#left = this.#length - 1
      this.#state = 'id'
      return at + 1
    }
    if (chunk.length - at >= this.#length) {
      const body = chunk.subarray(at, at + this.#length)
      this.#state = 'length'
      this.#sink.frame(body)
      return at + body.length
    }
    this.#state = 'body'
    this.#bodyBytes = 0
    return at
  }

  #append(chunk: Uint8Array, at: number): number {
    const take = Math.min(chunk.length - at, this.#length - this.#bodyBytes)
    const needed = this.#bodyBytes + take
    if (needed > this.#body.length) {
      const grown = new Uint8Array(Math.min(this.#length, Math.max(needed, 2 * this.#body.length)))
      grown.set(this.#body.subarray(0, this.#bodyBytes))
      this.#body = grown
    }
    this.#body.set(chunk.subarray(at, at + take), this.#bodyBytes)
    this.#bodyBytes = needed
    if (needed === this.#length) {
      const body = this.#body.subarray(0, needed)
      this.#body = EMPTY
      this.#state = 'length'
      this.#sink.frame(body)
    }
    return at + take
  }

  #tooLong(length: number): never {
    this.stop()
    throw new WireError(
      'ERR_WIRE_LENGTH',
      `frame of ${length} bytes, at most ${FRAME_BYTES_MAX} allowed`,
    )
  }
}

/** A frame around `payload`: length, opcode, payload. */
export function encodeFrame(opcode: number, payload: Uint8Array = EMPTY): Uint8Array {
  const out = new Uint8Array(FRAME_HEADER_BYTES + payload.length)
  new DataView(out.buffer).setUint32(0, 1 + payload.length)
  out[4] = opcode
  out.set(payload, FRAME_HEADER_BYTES)
  return out
}

/** Length and opcode. */
export const FRAME_HEADER_BYTES = 5
const EMPTY = new Uint8Array(0)
