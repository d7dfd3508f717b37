/**
 * STUN binding requests (RFC 8489) beside beacon messages on one UDP port: a client that knows no beacon,
 * such as a browser, learns its public endpoint. Requests begin with the bytes 00 01, beacon messages with
 * 01 to 09. Nothing is authenticated and nothing remembered.
 */
import { concat, viewOf } from '../core/bytes.ts'
import { ipBytes } from '../core/ip.ts'
import type { Endpoint } from '../core/machine.ts'
import { crc32 } from '../core/wire/crc32.ts'

const HEADER_BYTES = 20
const MAGIC_COOKIE = 0x2112a442
const BINDING_REQUEST = 0x0001
const BINDING_SUCCESS = 0x0101
const BINDING_ERROR = 0x0111
const ATTRIBUTE = {
  errorCode: 0x0009,
  unknownAttributes: 0x000a,
  xorMappedAddress: 0x0020,
  fingerprint: 0x8028,
} as const
/** From here on attributes may be ignored (RFC 8489 §14). */
const OPTIONAL_FROM = 0x8000
/**
 * Required ones that need no understanding here: what authenticates to a server that wants it, and the
 * priority and candidate use of ICE checks.
 */
const HARMLESS: ReadonlySet<number> = new Set([
  0x0006, 0x0008, 0x0014, 0x0015, 0x001c, 0x001d, 0x001e, 0x0024, 0x0025,
])
const FINGERPRINT_XOR = 0x5354554e
const FINGERPRINT_BYTES = 8
/** A request longer than this is none of a client that wants its address; named back are at most so many. */
const REQUEST_MAX = 548
const UNKNOWN_MAX = 8

/** First byte of every STUN request; no beacon message has it. */
export const STUN_FIRST_BYTE = 0x00

/**
 * The answer to a binding request, or `undefined` for anything else. A success is 12 (IPv4) or 24 (IPv6) bytes
 * longer than the shortest request, 8 more when the request has a fingerprint.
 */
export function answerStun(request: Uint8Array, from: Endpoint): Uint8Array | undefined {
  if (request.length < HEADER_BYTES || request.length > REQUEST_MAX) return undefined
  const view = viewOf(request)
  if (
    view.getUint16(0) !== BINDING_REQUEST ||
    view.getUint16(2) !== request.length - HEADER_BYTES ||
    request.length % 4 !== 0 ||
    view.getUint32(4) !== MAGIC_COOKIE
  )
    return undefined
  const unknown: number[] = []
  let hasFingerprint = false
  for (let at = HEADER_BYTES; at < request.length; ) {
    if (hasFingerprint || at + 4 > request.length) return undefined // the fingerprint is the last
    const type = view.getUint16(at)
    const length = view.getUint16(at + 2)
    if (at + 4 + length > request.length) return undefined
    if (type === ATTRIBUTE.fingerprint) {
      if (length !== 4 || view.getUint32(at + 4) !== fingerprint(request.subarray(0, at)))
        return undefined
      hasFingerprint = true
    } else if (type < OPTIONAL_FROM && !HARMLESS.has(type) && unknown.length < UNKNOWN_MAX)
      unknown.push(type)
    at += 4 + length + ((4 - (length % 4)) % 4)
  }
  const transaction = request.subarray(4, HEADER_BYTES)
  const answer =
    unknown.length === 0
      ? message(BINDING_SUCCESS, transaction, hasFingerprint, xorMappedAddress(from, transaction))
      : message(
          BINDING_ERROR,
          transaction,
          hasFingerprint,
          // 420 Unknown Attribute, without a phrase.
          attribute(ATTRIBUTE.errorCode, Uint8Array.of(0, 0, 4, 20)),
          attribute(ATTRIBUTE.unknownAttributes, uint16s(unknown)),
        )
  return answer
}

/** `transaction`: the magic cookie and the 12 bytes after it. */
function message(
  type: number,
  transaction: Uint8Array,
  hasFingerprint: boolean,
  ...attributes: readonly Uint8Array[]
): Uint8Array {
  const body = concat(...attributes)
  const out = new Uint8Array(HEADER_BYTES + body.length + (hasFingerprint ? FINGERPRINT_BYTES : 0))
  const view = viewOf(out)
  view.setUint16(0, type)
  view.setUint16(2, out.length - HEADER_BYTES)
  out.set(transaction, 4)
  out.set(body, HEADER_BYTES)
  if (!hasFingerprint) return out
  const at = out.length - FINGERPRINT_BYTES
  view.setUint16(at, ATTRIBUTE.fingerprint)
  view.setUint16(at + 2, 4)
  view.setUint32(at + 4, fingerprint(out.subarray(0, at)))
  return out
}

/** RFC 8489 §14.2: the port under the cookie's first half, the address under cookie and transaction. */
function xorMappedAddress({ address, port }: Endpoint, transaction: Uint8Array): Uint8Array {
  const ip = ipBytes(address) ?? new Uint8Array(4)
  const value = new Uint8Array(4 + ip.length)
  value[1] = ip.length === 4 ? 1 : 2
  viewOf(value).setUint16(2, port ^ (MAGIC_COOKIE >>> 16))
  for (let i = 0; i < ip.length; i++) value[4 + i] = ip[i]! ^ transaction[i]!
  return attribute(ATTRIBUTE.xorMappedAddress, value)
}

/** Padded with zeros to a multiple of 4. */
function attribute(type: number, value: Uint8Array): Uint8Array {
  const out = new Uint8Array(4 + Math.ceil(value.length / 4) * 4)
  const view = viewOf(out)
  view.setUint16(0, type)
  view.setUint16(2, value.length)
  out.set(value, 4)
  return out
}

function uint16s(values: readonly number[]): Uint8Array {
  const out = new Uint8Array(2 * values.length)
  const view = viewOf(out)
  values.forEach((value, i) => {
    view.setUint16(2 * i, value)
  })
  return out
}

function fingerprint(before: Uint8Array): number {
  return (crc32(before) ^ FINGERPRINT_XOR) >>> 0
}
