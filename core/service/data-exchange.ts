/**
 * Data exchange, port 1001 (spec/07 §6): frames of type u32, length u32, payload, big-endian, and the text
 * that answers each. Storing what arrives is the caller's.
 */
import { concat, fromUtf8, utf8, viewOf } from '../bytes.ts'
import { UsageError, WireError } from '../errors.ts'
import { ByteCollector } from './byte-collector.ts'

export const DATA_FRAME = {
  text: 1,
  binary: 2,
  json: 3,
  file: 4,
  trace: 5,
  fileStream: 7,
} as const

export interface DataFrame {
  readonly type: number // uint32; unknown ones are frames too
  readonly payload: Uint8Array
}

/** A FILE payload. The name is as sent: see `receivedFileName`. */
export interface FilePayload {
  readonly name: Uint8Array
  readonly data: Uint8Array
}

const HEADER_BYTES = 8
/** Payload accepted, as the base generation does; larger files go by FILESTREAM. */
export const DATA_FRAME_BYTES_MAX = 16_777_216
/** Longest name every generation takes. */
export const FILE_NAME_BYTES_MAX = 255

/**
 * Header and payload in one array: two writes cost a G1 receiver 40 ms per frame (spec/07 §0.1).
 *
 * @throws {UsageError} `ERR_INVALID_ARGUMENT` for more than 16 MiB.
 */
export function encodeDataFrame(type: number, ...payload: readonly Uint8Array[]): Uint8Array {
  const body = payload.length === 1 ? payload[0]! : concat(...payload)
  if (body.length > DATA_FRAME_BYTES_MAX)
    throw new UsageError(
      'ERR_INVALID_ARGUMENT',
      `a frame takes ${DATA_FRAME_BYTES_MAX} bytes, got ${body.length}`,
    )
  const out = new Uint8Array(HEADER_BYTES + body.length)
  const view = viewOf(out)
  view.setUint32(0, type)
  view.setUint32(4, body.length)
  out.set(body, HEADER_BYTES)
  return out
}

/**
 * A FILE frame.
 *
 * @throws {UsageError} `ERR_INVALID_ARGUMENT` when the name exceeds 65535 bytes, where the reference's length
 * field wraps, or name and data exceed 16 MiB.
 */
export function encodeFileFrame(name: string, data: Uint8Array): Uint8Array {
  return encodeDataFrame(DATA_FRAME.file, encodeName(name), data)
}

/** Length u16 and bytes. @throws {UsageError} `ERR_INVALID_ARGUMENT`. */
export function encodeName(name: string): Uint8Array {
  const bytes = utf8(name)
  if (bytes.length > 0xffff)
    throw new UsageError(
      'ERR_INVALID_ARGUMENT',
      `a file name takes 65535 bytes, got ${bytes.length}`,
    )
  return concat(Uint8Array.of(bytes.length >> 8, bytes.length & 0xff), bytes)
}

/** As the base generation reads it: a name that does not fit is no name, and all of it is data. Views. */
export function decodeFilePayload(payload: Uint8Array): FilePayload {
  const length = payload.length < 2 ? -1 : (payload[0]! << 8) | payload[1]!
  if (length < 0 || 2 + length > payload.length)
    return { name: payload.subarray(0, 0), data: payload }
  return { name: payload.subarray(2, 2 + length), data: payload.subarray(2 + length) }
}

/** Frames out of a stream, chunk by chunk. */
export class DataFrameDecoder {
  readonly #limit: number
  readonly #header = new ByteCollector()
  readonly #payload = new ByteCollector()
  #chunk: Uint8Array = new Uint8Array(0)
  #at = 0
  #type = 0
  #inPayload = false

  constructor(limitBytes: number = DATA_FRAME_BYTES_MAX) {
    this.#limit = limitBytes
    this.#header.expect(HEADER_BYTES)
  }

  /** The next chunk of the stream. Call `next` until it gives nothing before pushing more. */
  push(chunk: Uint8Array): void {
    this.#chunk =
      this.#at === this.#chunk.length ? chunk : concat(this.#chunk.subarray(this.#at), chunk)
    this.#at = 0
  }

  /**
   * The next whole frame, or `undefined` when more bytes are needed.
   *
   * @throws {WireError} `ERR_WIRE_LENGTH` for an announced length above the limit; the stream is then of no use.
   */
  next(): DataFrame | undefined {
    if (!this.#inPayload) {
      this.#at += this.#header.push(this.#chunk, this.#at)
      if (!this.#header.isComplete) return undefined
      const view = viewOf(this.#header.take())
      this.#header.expect(HEADER_BYTES)
      const length = view.getUint32(4)
      if (length > this.#limit)
        throw new WireError('ERR_WIRE_LENGTH', `frame of ${length} bytes exceeds ${this.#limit}`)
      this.#type = view.getUint32(0)
      this.#payload.expect(length)
      this.#inPayload = true
    }
    this.#at += this.#payload.push(this.#chunk, this.#at)
    if (!this.#payload.isComplete) return undefined
    this.#inPayload = false
    return { type: this.#type, payload: this.#payload.take() }
  }

  /** True when the stream may end here: between two frames. */
  get isAtBoundary(): boolean {
    return !this.#inPayload && !this.#header.isPartial && this.#at === this.#chunk.length
  }
}

const NAMES: Readonly<Record<number, string>> = { 1: 'TEXT', 2: 'BINARY', 3: 'JSON', 4: 'FILE' }

/** `TEXT`, `BINARY`, `JSON`, `FILE`, else `UNKNOWN(n)` as the base generation says for 5 and 7 too. */
export function dataTypeName(type: number): string {
  return NAMES[type] ?? `UNKNOWN(${type})`
}

/** Answer to a frame that is stored. `bytes` is the payload's size, for FILE that of its data alone. */
export function ackText(type: number, bytes: number): string {
  return `ACK ${dataTypeName(type)} ${bytes} bytes`
}

export function errorText(type: number, detail: string): string {
  return `ERR ${dataTypeName(type)} save failed: ${detail}`
}

/** What an answer's text says; `other` for anything that is neither. */
export type DataAnswer =
  | { readonly kind: 'ack'; readonly type: string; readonly bytes: number }
  | { readonly kind: 'error'; readonly message: string }
  | { readonly kind: 'other'; readonly text: string }

export function parseAnswer(payload: Uint8Array): DataAnswer {
  const text = fromUtf8(payload) ?? ''
  const match = /^ACK ([A-Z]+|UNKNOWN\([0-9]+\)) ([0-9]+) bytes$/.exec(text)
  if (match !== null) return { kind: 'ack', type: match[1]!, bytes: Number(match[2]) }
  return text.startsWith('ERR ')
    ? { kind: 'error', message: text.slice(4) }
    : { kind: 'other', text }
}

/** A TRACE payload (spec/07 §6.4): inner type u32, send time u64 in Unix nanoseconds, inner payload. */
export interface TracePayload {
  readonly innerType: number
  readonly sentAtNs: bigint
  readonly inner: Uint8Array
}

const TRACE_HEADER_BYTES = 12

export function encodeTrace({ innerType, sentAtNs, inner }: TracePayload): Uint8Array {
  const out = new Uint8Array(TRACE_HEADER_BYTES + inner.length)
  const view = viewOf(out)
  view.setUint32(0, innerType)
  view.setBigUint64(4, sentAtNs)
  out.set(inner, TRACE_HEADER_BYTES)
  return out
}

/** The inner payload is a view. @throws {WireError} `ERR_WIRE_TRUNCATED` below 12 bytes. */
export function decodeTrace(payload: Uint8Array): TracePayload {
  if (payload.length < TRACE_HEADER_BYTES)
    throw new WireError(
      'ERR_WIRE_TRUNCATED',
      `a trace needs ${TRACE_HEADER_BYTES} bytes, got ${payload.length}`,
    )
  const view = viewOf(payload)
  return {
    innerType: view.getUint32(0),
    sentAtNs: view.getBigUint64(4),
    inner: payload.subarray(TRACE_HEADER_BYTES),
  }
}

/** The JSON that answers a TRACE. Times are Unix nanoseconds, beyond what a JavaScript number holds. */
export function formatTraceAnswer(answer: {
  readonly sentAtNs: bigint
  readonly receivedAtNs: bigint
  readonly inboxWrittenAtNs: bigint
  readonly ackSentAtNs: bigint
  readonly innerAck: string
}): string {
  return (
    `{"sent_at_ns":${answer.sentAtNs},"received_at_ns":${answer.receivedAtNs},` +
    `"inbox_written_at_ns":${answer.inboxWrittenAtNs},"ack_sent_at_ns":${answer.ackSentAtNs},` +
    `"inner_ack":${JSON.stringify(answer.innerAck)}}`
  )
}
