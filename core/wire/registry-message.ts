/**
 * Registry messages on a TCP stream (spec/04 §2): u32 big-endian body length, then one JSON object in
 * UTF-8. Owns framing and JSON; which fields a message has is the business of its two ends.
 */
import { viewOf } from '../bytes.ts'
import { WireError } from '../errors.ts'

/** Largest body either side accepts, in bytes (spec/04 §2). */
export const REGISTRY_FRAME_MAX = 1_048_576
/** Deepest nesting of arrays and objects in a body (spec/04 §2). */
export const REGISTRY_NESTING_MAX = 10_000

const PREFIX_BYTES = 4
const FIRST_BUFFER_BYTES = 1024

/** Members of a request or an answer as they are on the wire; nothing about them is checked yet. */
export type RegistryMessage = Record<string, unknown>

/**
 * Prefix and body in one buffer, so that one write carries the frame. Lone surrogates in strings become
 * escapes, which JSON allows.
 *
 * @throws {WireError} `ERR_WIRE_LENGTH` above 2^20 body bytes: no receiver would accept it.
 */
export function encodeRegistryFrame(message: RegistryMessage): Uint8Array {
  const text = JSON.stringify(message)
  const bodyBytes = utf8Length(text)
  if (bodyBytes > REGISTRY_FRAME_MAX)
    throw new WireError(
      'ERR_WIRE_LENGTH',
      `a registry message has at most ${REGISTRY_FRAME_MAX} bytes, this one ${bodyBytes}`,
    )
  const out = new Uint8Array(PREFIX_BYTES + bodyBytes)
  viewOf(out).setUint32(0, bodyBytes)
  writeUtf8(text, out, PREFIX_BYTES)
  return out
}

/**
 * Cuts a byte stream into messages. After every `push`, call `next` until it gives `undefined`. Memory
 * grows with the bytes that arrived, never with the length a prefix announces. Once `next` has thrown,
 * the stream cannot be read on: every later call throws the same error, and the connection must go.
 */
export class RegistryFrameDecoder {
  #buffer: Uint8Array = new Uint8Array(0)
  #start = 0
  #end = 0
  #error: WireError | undefined

  /** Bytes of a frame that has begun and is not complete; 0 between frames, once `next` gave `undefined`. */
  get pendingBytes(): number {
    return this.#end - this.#start
  }

  /** A copy of what has begun and is not complete: pushed into another decoder, it goes on there. */
  unread(): Uint8Array {
    return this.#buffer.slice(this.#start, this.#end)
  }

  /** Appends a copy of `bytes`. */
  push(bytes: Uint8Array): void {
    if (this.#error !== undefined || bytes.length === 0) return
    const pending = this.pendingBytes
    if (this.#end + bytes.length > this.#buffer.length) {
      const needed = pending + bytes.length
      const target =
        needed <= this.#buffer.length
          ? this.#buffer
          : new Uint8Array(Math.max(needed, FIRST_BUFFER_BYTES, 2 * pending))
      target.set(this.#buffer.subarray(this.#start, this.#end))
      this.#buffer = target
      this.#start = 0
      this.#end = pending
    }
    this.#buffer.set(bytes, this.#end)
    this.#end += bytes.length
  }

  /**
   * The next complete message, or `undefined` when more bytes are needed. Duplicate keys: the last one
   * wins; invalid UTF-8 becomes U+FFFD; the body `null` is a message without members (spec/04 §2).
   *
   * @throws {WireError} `ERR_WIRE_LENGTH` for an announced length above 2^20 (as soon as the prefix is
   * there), `ERR_WIRE_VALUE` for a body that is not one JSON object.
   */
  next(): RegistryMessage | undefined {
    const body = this.nextBody()
    if (body === undefined) return undefined
    try {
      return parseRegistryMessage(body)
    } catch (error) {
      throw error instanceof WireError ? this.#fail(error) : error
    }
  }

  /** The bytes of the next frame, a view that the next call invalidates. @throws {WireError} `ERR_WIRE_LENGTH`. */
  nextBody(): Uint8Array | undefined {
    if (this.#error !== undefined) throw this.#error
    const pending = this.pendingBytes
    if (pending < PREFIX_BYTES) return this.#idle(pending)
    const bodyBytes = viewOf(this.#buffer).getUint32(this.#start)
    if (bodyBytes > REGISTRY_FRAME_MAX)
      throw this.#fail(
        new WireError(
          'ERR_WIRE_LENGTH',
          `a registry message has at most ${REGISTRY_FRAME_MAX} bytes, ${bodyBytes} announced`,
        ),
      )
    if (pending < PREFIX_BYTES + bodyBytes) return undefined
    const from = this.#start + PREFIX_BYTES
    const body = this.#buffer.subarray(from, from + bodyBytes)
    this.#start = from + bodyBytes
    return body
  }

  /** Frees the buffer between frames, so that an idle connection holds none. */
  #idle(pending: number): undefined {
    if (pending === 0 && this.#buffer.length > 0) {
      this.#buffer = new Uint8Array(0)
      this.#start = 0
      this.#end = 0
    }
    return undefined
  }

  #fail(error: WireError): WireError {
    this.#error = error
    this.#buffer = new Uint8Array(0)
    this.#start = 0
    this.#end = 0
    return error
  }
}

/**
 * One body. The body `null` is a message without members.
 *
 * @throws {WireError} `ERR_WIRE_VALUE` when it is not one JSON object, or nested too deep.
 */
export function parseRegistryMessage(body: Uint8Array): RegistryMessage {
  const bad = (why: string): WireError =>
    new WireError('ERR_WIRE_VALUE', `registry message is ${why}`)
  if (body.length > REGISTRY_NESTING_MAX && nesting(body) > REGISTRY_NESTING_MAX)
    throw bad('nested too deep')
  let value: unknown
  try {
    value = JSON.parse(readUtf8(body))
  } catch {
    throw bad('not JSON')
  }
  if (value === null) return {}
  if (typeof value !== 'object' || Array.isArray(value)) throw bad('not a JSON object')
  return value as RegistryMessage
}

/** Deepest nesting of brackets outside strings. */
function nesting(json: Uint8Array): number {
  let depth = 0
  let deepest = 0
  let inString = false
  for (let i = 0; i < json.length; i++) {
    const byte = json[i]!
    if (inString) {
      if (byte === 0x5c) i++
      else if (byte === 0x22) inString = false
    } else if (byte === 0x22) inString = true
    else if (byte === 0x5b || byte === 0x7b) deepest = Math.max(deepest, ++depth)
    else if (byte === 0x5d || byte === 0x7d) depth--
  }
  return deepest
}

function utf8Length(text: string): number {
  let bytes = text.length
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i)
    // Two bytes from U+0080; three from U+0800, where a surrogate pair makes four of two units.
    if (unit >= 0x80) bytes += unit < 0x800 || (unit >= 0xd800 && unit <= 0xdfff) ? 1 : 2
  }
  return bytes
}

/** `JSON.stringify` leaves no lone surrogates (it escapes them), so pairs are complete here. */
function writeUtf8(text: string, out: Uint8Array, offset: number): void {
  let at = offset
  for (let i = 0; i < text.length; i++) {
    let code = text.charCodeAt(i)
    if (code < 0x80) {
      out[at++] = code
      continue
    }
    if (code < 0x800) out[at++] = 0xc0 | (code >> 6)
    else {
      if (code >= 0xd800 && code <= 0xdfff) {
        code = 0x10000 + ((code & 0x3ff) << 10) + (text.charCodeAt(++i) & 0x3ff)
        out[at++] = 0xf0 | (code >> 18)
        out[at++] = 0x80 | ((code >> 12) & 63)
      } else out[at++] = 0xe0 | (code >> 12)
      out[at++] = 0x80 | ((code >> 6) & 63)
    }
    out[at++] = 0x80 | (code & 63)
  }
}

const CHUNK_BYTES = 4096
const REPLACEMENT = 0xfffd

/** Text of UTF-8; each byte that is not part of a well-formed sequence becomes U+FFFD. */
function readUtf8(bytes: Uint8Array): string {
  let text = ''
  const units: number[] = []
  for (let i = 0; i < bytes.length; ) {
    const lead = bytes[i]!
    if (lead < 0x80) {
      units.push(lead)
      i++
    } else {
      const code = sequence(bytes, i)
      if (code < 0) {
        units.push(REPLACEMENT)
        i++
      } else if (code < 0x10000) {
        units.push(code)
        i += code < 0x800 ? 2 : 3
      } else {
        units.push(0xd7c0 + (code >> 10), 0xdc00 + (code & 0x3ff))
        i += 4
      }
    }
    if (units.length >= CHUNK_BYTES) {
      text += String.fromCharCode.apply(null, units)
      units.length = 0
    }
  }
  return text + String.fromCharCode.apply(null, units)
}

/** Code point of the well-formed multi-byte sequence at `at` (RFC 3629), or -1. */
function sequence(bytes: Uint8Array, at: number): number {
  const lead = bytes[at]!
  const more = lead >= 0xf0 ? 3 : lead >= 0xe0 ? 2 : 1
  if (lead < 0xc2 || lead > 0xf4 || at + more >= bytes.length) return -1
  let code = lead & (0x3f >> more)
  for (let i = 1; i <= more; i++) {
    const next = bytes[at + i]!
    if ((next & 0xc0) !== 0x80) return -1
    code = (code << 6) | (next & 0x3f)
  }
  const least = more === 3 ? 0x10000 : more === 2 ? 0x800 : 0x80
  return code < least || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff) ? -1 : code
}
