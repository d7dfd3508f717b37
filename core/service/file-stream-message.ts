/** Messages of FILESTREAM, payloads of type-7 frames (spec/07 §6.5): kind u8, transfer id 16, body, big-endian. */
import { concat, fromUtf8, utf8, viewOf } from '../bytes.ts'
import { WireError } from '../errors.ts'
import { DATA_FRAME, encodeDataFrame } from './data-exchange.ts'

export const TRANSFER_ID_BYTES = 16
export const SHA256_BYTES = 32
/** Data per CHUNK, and CHUNKs sent ahead of their ACK. */
export const FILE_CHUNK_BYTES = 49_152
export const FILE_WINDOW_CHUNKS = 16

const KIND = { init: 1, chunk: 2, ack: 3, done: 4, initAck: 5, complete: 6, abort: 7 } as const

/** Sizes and offsets are u64 on the wire and at most 2^53 - 1 here. */
export type FileStreamMessage = { readonly transferId: Uint8Array } & (
  | {
      readonly kind: 'init'
      readonly size: number
      readonly sha256: Uint8Array
      readonly chunkBytes: number
      /** Bytes: see `sanitizeFileName`. */
      readonly name: Uint8Array
    }
  | { readonly kind: 'chunk'; readonly offset: number; readonly data: Uint8Array }
  /** `offset`: bytes from the start that are on disk. */
  | { readonly kind: 'ack'; readonly offset: number }
  | { readonly kind: 'done' }
  /** `offset`: where to go on. */
  | { readonly kind: 'initAck'; readonly offset: number }
  | { readonly kind: 'complete'; readonly ok: boolean; readonly message: string }
  | { readonly kind: 'abort'; readonly reason: string }
)

/** The whole frame, header included. @throws {UsageError} `ERR_INVALID_ARGUMENT` when a name or chunk is too large. */
export function encodeFileStreamFrame(message: FileStreamMessage): Uint8Array {
  const head = concat(Uint8Array.of(KIND[message.kind]), message.transferId)
  return encodeDataFrame(DATA_FRAME.fileStream, head, bodyOf(message))
}

/**
 * Chunk data, hash and id are views.
 *
 * @throws {WireError} `ERR_WIRE_TRUNCATED` for missing bytes, `ERR_WIRE_TYPE` for an unknown kind,
 * `ERR_WIRE_LENGTH` for a name longer than the message, `ERR_WIRE_VALUE` for an offset or size above 2^53 - 1.
 */
export function decodeFileStream(payload: Uint8Array): FileStreamMessage {
  const head = 1 + TRANSFER_ID_BYTES
  if (payload.length < head) throw truncated(head, payload.length)
  const transferId = payload.subarray(1, head)
  const body = payload.subarray(head)
  switch (payload[0]) {
    case KIND.init:
      return { kind: 'init', transferId, ...decodeInit(body) }
    case KIND.chunk:
      return { kind: 'chunk', transferId, offset: u64(body, 0), data: body.subarray(8) }
    case KIND.ack:
      return { kind: 'ack', transferId, offset: u64(body, 0) }
    case KIND.done:
      return { kind: 'done', transferId }
    case KIND.initAck:
      return { kind: 'initAck', transferId, offset: u64(body, 0) }
    case KIND.complete:
      if (body.length < 1) throw truncated(1, body.length)
      return {
        kind: 'complete',
        transferId,
        ok: body[0] === 0,
        message: textOf(body.subarray(1)),
      }
    case KIND.abort:
      return { kind: 'abort', transferId, reason: textOf(body) }
    default:
      throw new WireError('ERR_WIRE_TYPE', `file stream message of kind ${payload[0]}`)
  }
}

function decodeInit(body: Uint8Array): {
  readonly size: number
  readonly sha256: Uint8Array
  readonly chunkBytes: number
  readonly name: Uint8Array
} {
  const nameAt = 8 + SHA256_BYTES + 6
  if (body.length < nameAt) throw truncated(nameAt, body.length)
  const view = viewOf(body)
  const nameBytes = view.getUint16(nameAt - 2)
  if (nameAt + nameBytes > body.length)
    throw new WireError(
      'ERR_WIRE_LENGTH',
      `name of ${nameBytes} bytes in ${body.length - nameAt} bytes`,
    )
  return {
    size: u64(body, 0),
    sha256: body.subarray(8, 8 + SHA256_BYTES),
    chunkBytes: view.getUint32(8 + SHA256_BYTES),
    name: body.subarray(nameAt, nameAt + nameBytes),
  }
}

function bodyOf(message: FileStreamMessage): Uint8Array {
  switch (message.kind) {
    case 'init': {
      const fixed = new Uint8Array(8 + SHA256_BYTES + 4)
      const view = viewOf(fixed)
      view.setBigUint64(0, BigInt(message.size))
      fixed.set(message.sha256, 8)
      view.setUint32(8 + SHA256_BYTES, message.chunkBytes)
      return concat(
        fixed,
        Uint8Array.of(message.name.length >> 8, message.name.length & 0xff),
        message.name,
      )
    }
    case 'chunk':
      return concat(offsetBytes(message.offset), message.data)
    case 'ack':
    case 'initAck':
      return offsetBytes(message.offset)
    case 'done':
      return new Uint8Array(0)
    case 'complete':
      return concat(Uint8Array.of(message.ok ? 0 : 1), utf8(message.message))
    case 'abort':
      return utf8(message.reason)
  }
}

function offsetBytes(offset: number): Uint8Array {
  const out = new Uint8Array(8)
  viewOf(out).setBigUint64(0, BigInt(offset))
  return out
}

function u64(bytes: Uint8Array, at: number): number {
  if (bytes.length < at + 8) throw truncated(at + 8, bytes.length)
  const value = viewOf(bytes).getBigUint64(at)
  if (value > BigInt(Number.MAX_SAFE_INTEGER))
    throw new WireError('ERR_WIRE_VALUE', `${value} is beyond 2^53 - 1`)
  return Number(value)
}

/** At most 512 bytes are shown of what a peer says. */
function textOf(bytes: Uint8Array): string {
  return fromUtf8(bytes.subarray(0, 512)) ?? '(not text)'
}

function truncated(need: number, got: number): WireError {
  return new WireError('ERR_WIRE_TRUNCATED', `need ${need} bytes, got ${got}`)
}
