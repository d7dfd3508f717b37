/** Byte-string helpers that exist in every runtime without its globals: UTF-8, hex, base64. */

/** In memory of its own. */
export function concat(...parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  let length = 0
  for (const part of parts) length += part.length
  const out = new Uint8Array(length)
  let at = 0
  for (const part of parts) {
    out.set(part, at)
    at += part.length
  }
  return out
}

/** Not constant-time: for public values only. */
export function equals(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false
  return true
}

export function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}

const HEX = '0123456789abcdef'

/** Lower-case. */
export function toHex(bytes: Uint8Array): string {
  let text = ''
  for (const byte of bytes) text += HEX[byte >> 4]! + HEX[byte & 15]!
  return text
}

/** `undefined` when the text is not pairs of hex digits. */
export function fromHex(text: string): Uint8Array | undefined {
  if (text.length % 2 !== 0 || !/^[0-9a-fA-F]*$/.test(text)) return undefined
  const out = new Uint8Array(text.length / 2)
  for (let i = 0; i < out.length; i++) out[i] = Number.parseInt(text.slice(2 * i, 2 * i + 2), 16)
  return out
}

const BASE64 = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/'
const BASE64_VALUE: Int8Array = /* @__PURE__ */ (() => {
  const table = new Int8Array(128).fill(-1)
  for (let i = 0; i < 64; i++) table[BASE64.charCodeAt(i)] = i
  return table
})()

/** Standard alphabet with padding (RFC 4648 §4). */
export function toBase64(bytes: Uint8Array): string {
  let text = ''
  for (let i = 0; i < bytes.length; i += 3) {
    const left = bytes.length - i
    const word = (bytes[i]! << 16) | ((bytes[i + 1] ?? 0) << 8) | (bytes[i + 2] ?? 0)
    text += BASE64[word >> 18]! + BASE64[(word >> 12) & 63]!
    text += left > 1 ? BASE64[(word >> 6) & 63]! : '='
    text += left > 2 ? BASE64[word & 63]! : '='
  }
  return text
}

/**
 * Strict RFC 4648 §4: standard alphabet, padding required, no white space, unused bits zero.
 * `undefined` for anything else.
 */
export function fromBase64(text: string): Uint8Array | undefined {
  if (text.length % 4 !== 0) return undefined
  const padding = text.endsWith('==') ? 2 : text.endsWith('=') ? 1 : 0
  const out = new Uint8Array((text.length / 4) * 3 - padding)
  const digits = text.length - padding
  let word = 0
  let at = 0
  for (let i = 0; i < digits; i++) {
    const code = text.charCodeAt(i)
    const value = code < 128 ? BASE64_VALUE[code]! : -1
    if (value < 0) return undefined
    word = ((word << 6) | value) & 0xffffff
    if (i % 4 === 1) out[at++] = (word >> 4) & 0xff
    else if (i % 4 === 2) out[at++] = (word >> 2) & 0xff
    else if (i % 4 === 3) out[at++] = word & 0xff
  }
  if (padding === 2 && (word & 0x0f) !== 0) return undefined
  if (padding === 1 && (word & 0x03) !== 0) return undefined
  return out
}

/** UTF-8; lone surrogates become U+FFFD, as in TextEncoder. */
export function utf8(text: string): Uint8Array {
  const ascii = new Uint8Array(text.length)
  let at = 0
  for (; at < text.length; at++) {
    const code = text.charCodeAt(at)
    if (code >= 0x80) break
    ascii[at] = code
  }
  if (at === text.length) return ascii
  const out: number[] = []
  for (const char of text) {
    let code = char.codePointAt(0)!
    if (code >= 0xd800 && code <= 0xdfff) code = 0xfffd
    if (code < 0x80) out.push(code)
    else if (code < 0x800) out.push(0xc0 | (code >> 6), 0x80 | (code & 63))
    else if (code < 0x10000)
      out.push(0xe0 | (code >> 12), 0x80 | ((code >> 6) & 63), 0x80 | (code & 63))
    else
      out.push(
        0xf0 | (code >> 18),
        0x80 | ((code >> 12) & 63),
        0x80 | ((code >> 6) & 63),
        0x80 | (code & 63),
      )
  }
  return Uint8Array.from(out)
}

const ASCII_RUN = 4096

/** Text of well-formed UTF-8 (RFC 3629), else `undefined`. */
export function fromUtf8(bytes: Uint8Array): string | undefined {
  let text = ''
  for (let i = 0; i < bytes.length; ) {
    const lead = bytes[i++]!
    if (lead < 0x80) {
      // Runs at once: a string grown character by character takes 32 bytes for each.
      const from = i - 1
      const limit = Math.min(bytes.length, from + ASCII_RUN)
      while (i < limit && bytes[i]! < 0x80) i++
      text += String.fromCharCode(...bytes.subarray(from, i))
      continue
    }
    const more = lead >= 0xf0 ? 3 : lead >= 0xe0 ? 2 : 1
    if (lead < 0xc2 || lead > 0xf4 || i + more > bytes.length) return undefined
    let code = lead & (0x3f >> more)
    for (let k = 0; k < more; k++) {
      const next = bytes[i++]!
      if ((next & 0xc0) !== 0x80) return undefined
      code = (code << 6) | (next & 0x3f)
    }
    const least = more === 3 ? 0x10000 : more === 2 ? 0x800 : 0x80
    if (code < least || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff)) return undefined
    text += String.fromCodePoint(code)
  }
  return text
}

/** Text with one U+FFFD for every byte that is part of no UTF-8 sequence. */
export function lossyUtf8(bytes: Uint8Array): string {
  const whole = fromUtf8(bytes)
  if (whole !== undefined) return whole
  let text = ''
  for (let i = 0; i < bytes.length; ) {
    let length = 4
    while (length > 0) {
      const part = i + length <= bytes.length ? bytes.subarray(i, i + length) : undefined
      const decoded = part === undefined || !isOneSequence(part) ? undefined : fromUtf8(part)
      if (decoded !== undefined) {
        text += decoded
        break
      }
      length--
    }
    if (length === 0) text += '\ufffd'
    i += Math.max(1, length)
  }
  return text
}

/** True when the lead byte announces exactly this many bytes. */
function isOneSequence(bytes: Uint8Array): boolean {
  const lead = bytes[0]!
  const length = lead < 0x80 ? 1 : lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : lead >= 0xc0 ? 2 : 0
  return length === bytes.length
}
