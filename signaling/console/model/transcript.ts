/** Bytes of a stream as lines of a terminal: text where it is text, else hex beside characters. */
import { concat, toHex } from '../../../core/bytes.ts'

export interface TranscriptLine {
  readonly id: number
  /** `note`: about the connection, not from it. */
  readonly direction: 'in' | 'out' | 'note'
  readonly kind: 'text' | 'hex'
  readonly text: string
}

export type Rendering = 'auto' | 'hex'

/** Lines kept; the oldest go. */
export const LINES_MAX = 2000
/** Characters of one line; a stream without line ends is cut there. */
const LINE_MAX = 2000
const ROW_BYTES = 16
const CARRIAGE_RETURN = 13
/** Anything a terminal would act upon, except tab and line ends. */
const CONTROL = /(?![\t\r\n])\p{Cc}/u

export class Transcript {
  lines: readonly TranscriptLine[] = []
  #lastId = 0
  #offset = { in: 0, out: 0 }
  /** An unfinished character, or half a line end, of what came in. */
  #pending: Uint8Array = new Uint8Array(0)
  /** The last line in goes on with the next chunk. */
  #isOpen = false

  note(text: string): void {
    this.#isOpen = false
    this.#append([{ direction: 'note', kind: 'text', text }])
  }

  push(direction: 'in' | 'out', chunk: Uint8Array, rendering: Rendering = 'auto'): void {
    const bytes = direction === 'in' ? concat(this.#pending, chunk) : chunk
    let whole = rendering === 'hex' ? bytes.length : wholeCharacters(bytes)
    if (direction === 'in' && rendering === 'auto' && bytes[whole - 1] === CARRIAGE_RETURN) whole--
    const text = rendering === 'hex' ? undefined : textOf(bytes.subarray(0, whole))
    if (direction === 'in')
      this.#pending = text === undefined ? new Uint8Array(0) : bytes.slice(whole)
    if (text === undefined) this.#pushHex(direction, bytes)
    else this.#pushText(direction, text)
    this.#offset[direction] += text === undefined ? bytes.length : whole
  }

  #pushText(direction: 'in' | 'out', text: string): void {
    if (text === '') return
    const parts = text.split(/\r?\n/)
    const last = this.lines.at(-1)
    if (this.#isOpen && direction === 'in' && last?.direction === 'in' && last.kind === 'text') {
      const joined = last.text + (parts.shift() ?? '')
      this.lines = this.lines.slice(0, -1)
      parts.unshift(joined)
    }
    // What follows the last line end is a line that has not ended; nothing, when nothing follows.
    const isEnded = parts.at(-1) === ''
    if (isEnded) parts.pop()
    this.#isOpen = !isEnded && direction === 'in'
    this.#append(
      parts.flatMap((part) => cut(part).map((line) => ({ direction, kind: 'text', text: line }))),
    )
  }

  #pushHex(direction: 'in' | 'out', bytes: Uint8Array): void {
    this.#isOpen = false
    this.#append(
      hexRows(bytes, this.#offset[direction]).map((text) => ({ direction, kind: 'hex', text })),
    )
  }

  #append(lines: readonly Omit<TranscriptLine, 'id'>[]): void {
    const added = lines.slice(-LINES_MAX).map((line) => ({ ...line, id: ++this.#lastId }))
    this.lines = [...this.lines, ...added].slice(-LINES_MAX)
  }
}

/** `00000010  68 65 6c 6c 6f …  |hello…|`, as `hexdump -C` prints. At most `LINES_MAX` rows, the last ones. */
export function hexRows(bytes: Uint8Array, offset = 0): string[] {
  const rows: string[] = []
  const first = Math.max(0, Math.ceil(bytes.length / ROW_BYTES) - LINES_MAX) * ROW_BYTES
  for (let at = first; at < bytes.length; at += ROW_BYTES) {
    const row = bytes.subarray(at, at + ROW_BYTES)
    const hex = toHex(row).replace(/(..)(?=.)/g, '$1 ')
    const characters = Array.from(row, (byte) =>
      byte >= 0x20 && byte < 0x7f ? String.fromCharCode(byte) : '.',
    ).join('')
    rows.push(
      `${(offset + at).toString(16).padStart(8, '0')}  ${hex.padEnd(3 * ROW_BYTES - 1)}  |${characters}|`,
    )
  }
  return rows
}

/** How many bytes are whole UTF-8 characters: all of them, unless the last one is cut off. */
function wholeCharacters(bytes: Uint8Array): number {
  for (let back = 1; back <= Math.min(3, bytes.length); back++) {
    const byte = bytes[bytes.length - back]!
    if (byte < 0x80) return bytes.length
    if (byte >= 0xc0) {
      const length = byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : 2
      return length > back ? bytes.length - back : bytes.length
    }
  }
  return bytes.length
}

/** `undefined` for what is no text. */
function textOf(bytes: Uint8Array): string | undefined {
  try {
    const text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
    return CONTROL.test(text) ? undefined : text
  } catch {
    return undefined
  }
}

function cut(line: string): string[] {
  const parts: string[] = []
  for (let at = 0; at < line.length || at === 0; at += LINE_MAX)
    parts.push(line.slice(at, at + LINE_MAX))
  return parts
}
