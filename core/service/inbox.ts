/**
 * What received messages and files are called and what a message's file holds (spec/07 §6.3). Pure: the
 * caller gives the time, and writes.
 */
import { fromUtf8, lossyUtf8, toBase64, utf8 } from '../bytes.ts'
import { FILE_NAME_BYTES_MAX } from './data-exchange.ts'

/** A local time, taken apart. */
export interface TimeParts {
  readonly year: number
  readonly month: number // 1..12
  readonly day: number
  readonly hour: number
  readonly minute: number
  readonly second: number
  readonly millisecond: number
  /** East of UTC. */
  readonly offsetMinutes: number
}

/** `-20261120-074635.934` takes this much of a name, and a collision number a few more. */
const STAMP_BYTES = 28

/** `YYYYMMDD-HHMMSS.mmm`. */
export function formatStamp(time: TimeParts): string {
  return (
    `${pad(time.year, 4)}${pad(time.month, 2)}${pad(time.day, 2)}-` +
    `${pad(time.hour, 2)}${pad(time.minute, 2)}${pad(time.second, 2)}.${pad(time.millisecond, 3)}`
  )
}

/** RFC 3339 with seconds and the local offset, `Z` for UTC. */
export function formatReceivedAt(time: TimeParts): string {
  const offset = Math.abs(time.offsetMinutes)
  const zone =
    time.offsetMinutes === 0
      ? 'Z'
      : `${time.offsetMinutes < 0 ? '-' : '+'}${pad(Math.floor(offset / 60), 2)}:${pad(offset % 60, 2)}`
  return (
    `${pad(time.year, 4)}-${pad(time.month, 2)}-${pad(time.day, 2)}T` +
    `${pad(time.hour, 2)}:${pad(time.minute, 2)}:${pad(time.second, 2)}${zone}`
  )
}

/**
 * The name a peer's name comes down to: its last part, without control characters; `undefined` when that is
 * empty, `.` or `..`, or when the bytes are not UTF-8. At most 255 bytes with its stamp, the extension kept.
 */
export function sanitizeFileName(sent: Uint8Array): string | undefined {
  const text = fromUtf8(sent)
  if (text === undefined) return undefined
  const base = text.slice(Math.max(text.lastIndexOf('/'), text.lastIndexOf('\\')) + 1)
  const clean = base.replace(/\p{Cc}/gu, '')
  if (clean === '' || clean === '.' || clean === '..') return undefined
  const [stem, extension] = splitName(clean)
  const shortExtension = cut(extension, 64)
  const room = FILE_NAME_BYTES_MAX - STAMP_BYTES - utf8(shortExtension).length
  return cut(stem, room) + shortExtension
}

/**
 * A name every generation accepts (spec/07 §6.1): last part only, no `..` within, at most 255 bytes.
 * `undefined` when nothing is left.
 */
export function portableFileName(name: string): string | undefined {
  const clean = sanitizeFileName(utf8(name))?.replace(/\.{2,}/g, '.')
  return clean === undefined || clean === '' || clean === '.' ? undefined : clean
}

/**
 * Where a received file goes: `hi.txt` becomes `hi-<stamp>.txt`, with `-<attempt>` after the stamp when that
 * name is taken. `name` comes from `sanitizeFileName`.
 */
export function receivedFileName(name: string, time: TimeParts, attempt = 0): string {
  const [stem, extension] = splitName(name)
  return `${stem}-${formatStamp(time)}${attempt === 0 ? '' : `-${attempt}`}${extension}`
}

/** `TEXT-<stamp>.json`. */
export function inboxFileName(typeName: string, time: TimeParts, attempt = 0): string {
  return `${typeName}-${formatStamp(time)}${attempt === 0 ? '' : `-${attempt}`}.json`
}

/**
 * The compact JSON of an inbox file, members in the order of the base generation. Payloads that are not
 * UTF-8 come as base64 too; `data` then has U+FFFD in place of what is not text.
 */
export function inboxMessage(message: {
  readonly typeName: string
  /** Address text of the sender. */
  readonly from: string
  readonly payload: Uint8Array
  readonly time: TimeParts
}): string {
  const { typeName, from, payload, time } = message
  const text = fromUtf8(payload)
  const encoded = text === undefined ? { data_b64: toBase64(payload), data_encoding: 'base64' } : {}
  return JSON.stringify({
    bytes: payload.length,
    data: text ?? lossyUtf8(payload),
    ...encoded,
    from,
    received_at: formatReceivedAt(time),
    type: typeName,
  })
}

/** At the last dot: `.bashrc` has no stem, `noext` no extension. */
function splitName(name: string): readonly [stem: string, extension: string] {
  const dot = name.lastIndexOf('.')
  return dot < 0 ? [name, ''] : [name.slice(0, dot), name.slice(dot)]
}

/** The longest beginning of at most `bytes` UTF-8 bytes. */
function cut(text: string, bytes: number): string {
  let length = 0
  let out = ''
  for (const char of text) {
    length += utf8(char).length
    if (length > bytes) break
    out += char
  }
  return out
}

function pad(value: number, digits: number): string {
  return String(value).padStart(digits, '0')
}
