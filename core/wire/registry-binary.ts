/**
 * The registry's binary wire format, version 1 (spec/05 §4): after `PILT` and a version byte, frames of
 * u32 length, u8 type and payload. What the three operations say is translated to and from the JSON messages,
 * so that one registry serves both. Integers are big-endian, keys and signatures raw bytes.
 */
import { concat, fromBase64, fromUtf8, toBase64, utf8, viewOf } from '../bytes.ts'
import { WireError } from '../errors.ts'
import {
  parseRegistryMessage,
  REGISTRY_FRAME_MAX,
  type RegistryMessage,
} from './registry-message.ts'

/** `PILT`: as a JSON frame's length it would be above any limit. */
export const BINARY_MAGIC: Uint8Array = Uint8Array.of(0x50, 0x49, 0x4c, 0x54)
export const BINARY_VERSION = 1

export const BINARY_TYPE = {
  json: 0x00,
  heartbeat: 0x01,
  lookup: 0x02,
  resolve: 0x03,
  error: 0xff,
} as const
/** Added to a request's type in its answer. */
const ANSWER = 0x80
const SIGNATURE_BYTES = 64
const ERROR_BYTES_MAX = 65_000
const UNKNOWN_AGE = 0xffffffff

/**
 * The JSON message that a binary request stands for. `body` is a frame without its length.
 *
 * @throws {WireError} `ERR_WIRE_TRUNCATED`, `ERR_WIRE_TYPE`, `ERR_WIRE_VALUE`; the message is what the client
 * is told.
 */
export function decodeBinaryRequest(body: Uint8Array): RegistryMessage {
  const payload = body.subarray(1)
  const view = viewOf(payload)
  switch (body[0]) {
    case BINARY_TYPE.json:
      try {
        return parseRegistryMessage(payload)
      } catch (error) {
        throw new WireError('ERR_WIRE_VALUE', `json decode: ${(error as Error).message}`)
      }
    case BINARY_TYPE.heartbeat:
      needs(payload, 'heartbeat', 4 + SIGNATURE_BYTES)
      return { type: 'heartbeat', node_id: view.getUint32(0), signature: signature(payload, 4) }
    case BINARY_TYPE.lookup:
      needs(payload, 'lookup', 4)
      return { type: 'lookup', node_id: view.getUint32(0) }
    case BINARY_TYPE.resolve:
      // Target first, although the signature is over the requester first (spec/05 §23 T3).
      needs(payload, 'resolve', 8 + SIGNATURE_BYTES)
      return {
        type: 'resolve',
        node_id: view.getUint32(0),
        requester_id: view.getUint32(4),
        signature: signature(payload, 8),
      }
    default:
      throw new WireError(
        'ERR_WIRE_TYPE',
        `unknown message type 0x${(body[0] ?? 0).toString(16).padStart(2, '0')}`,
      )
  }
}

/** The answer to a request of this type, as a whole frame. */
export function encodeBinaryAnswer(type: number, reply: RegistryMessage): Uint8Array {
  if (type === BINARY_TYPE.json) return encodeBinaryFrame(type, utf8(JSON.stringify(reply)))
  if (typeof reply.error === 'string') return encodeBinaryError(reply.error)
  const answer =
    type === BINARY_TYPE.heartbeat
      ? heartbeatAnswer(reply)
      : type === BINARY_TYPE.lookup
        ? lookupAnswer(reply)
        : resolveAnswer(reply)
  return encodeBinaryFrame(type | ANSWER, answer)
}

export function encodeBinaryError(reason: string): Uint8Array {
  let text = utf8(reason)
  for (let end = ERROR_BYTES_MAX; text.length > ERROR_BYTES_MAX; end--)
    if (fromUtf8(text.subarray(0, end)) !== undefined) text = text.subarray(0, end)
  return encodeBinaryFrame(BINARY_TYPE.error, concat(u16(text.length), text))
}

/** @throws {WireError} `ERR_WIRE_LENGTH` above 2^20 bytes. */
export function encodeBinaryFrame(type: number, payload: Uint8Array): Uint8Array {
  if (payload.length >= REGISTRY_FRAME_MAX)
    throw new WireError('ERR_WIRE_LENGTH', `a frame of ${payload.length} bytes is too long`)
  return concat(u32(1 + payload.length), Uint8Array.of(type), payload)
}

function heartbeatAnswer({ time, key_expiry_warning: warns }: RegistryMessage): Uint8Array {
  const seconds = typeof time === 'number' ? time : 0
  return concat(
    u32(Math.floor(seconds / 0x1_0000_0000)),
    u32(seconds >>> 0),
    Uint8Array.of(warns === true ? 1 : 0),
  )
}

function lookupAnswer(reply: RegistryMessage): Uint8Array {
  const networks = list(reply.networks)
  const score = new Uint8Array(4)
  viewOf(score).setInt32(0, Number(reply.polo_score ?? 0))
  return concat(
    u32(Number(reply.node_id)),
    Uint8Array.of((reply.public === true ? 1 : 0) | (reply.task_exec === true ? 2 : 0)),
    score,
    u16(networks.length),
    ...networks.map((id) => u16(Number(id))),
    short(fromBase64(text(reply.public_key)) ?? new Uint8Array(0)),
    short(utf8(text(reply.hostname))),
    Uint8Array.of(list(reply.tags).length),
    ...list(reply.tags).map((tag) => short(utf8(text(tag)))),
    long(reply.real_addr),
    short(utf8(text(reply.external_id))),
  )
}

function resolveAnswer(reply: RegistryMessage): Uint8Array {
  const age = reply.key_age_days
  const lan = list(reply.lan_addrs)
  return concat(
    u32(Number(reply.node_id)),
    long(reply.real_addr),
    u16(lan.length),
    ...lan.map(long),
    u32(typeof age === 'number' ? age : UNKNOWN_AGE),
    short(fromBase64(text(reply.public_key)) ?? new Uint8Array(0)),
  )
}

function needs(payload: Uint8Array, name: string, bytes: number): void {
  if (payload.length < bytes)
    throw new WireError('ERR_WIRE_TRUNCATED', `${name} request too short: ${payload.length} bytes`)
}

function signature(payload: Uint8Array, at: number): string {
  return toBase64(payload.subarray(at, at + SIGNATURE_BYTES))
}

function text(value: unknown): string {
  return typeof value === 'string' ? value : ''
}

function list(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : []
}

function u16(value: number): Uint8Array {
  return Uint8Array.of(value >>> 8, value)
}

function u32(value: number): Uint8Array {
  return Uint8Array.of(value >>> 24, value >>> 16, value >>> 8, value)
}

/** u8 length and bytes. */
function short(bytes: Uint8Array): Uint8Array {
  const cut = bytes.subarray(0, 255)
  return concat(Uint8Array.of(cut.length), cut)
}

/** u16 length and text. */
function long(value: unknown): Uint8Array {
  const bytes = utf8(text(value))
  return concat(u16(bytes.length), bytes)
}
