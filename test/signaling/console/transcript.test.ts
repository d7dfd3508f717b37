import { describe, expect, it } from 'vitest'
import { hexRows, LINES_MAX, Transcript } from '../../../signaling/console/model/transcript.ts'

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text)
const shown = (transcript: Transcript): string[] =>
  transcript.lines.map(({ direction, kind, text }) => `${direction} ${kind} ${text}`)

describe('a transcript', () => {
  it('joins chunks to lines, and characters that were cut', () => {
    const transcript = new Transcript()
    const text = bytes('hé😀\r\nnext')
    for (const byte of text) transcript.push('in', Uint8Array.of(byte))
    transcript.push('in', bytes(' line\nlast\n'))
    expect(shown(transcript)).toEqual(['in text hé😀', 'in text next line', 'in text last'])
  })
  it('keeps empty lines, and begins a new one after the other side spoke', () => {
    const transcript = new Transcript()
    transcript.push('in', bytes('a\n\nb'))
    transcript.push('out', bytes('c\n'))
    transcript.push('in', bytes('d'))
    expect(shown(transcript)).toEqual([
      'in text a',
      'in text ',
      'in text b',
      'out text c',
      'in text d',
    ])
  })
  it('shows what is no text as hex, counting from the beginning of its direction', () => {
    const transcript = new Transcript()
    transcript.push('in', bytes('abc\n'))
    transcript.push('in', Uint8Array.of(0, 255, 65))
    transcript.push('in', bytes('text\n'))
    const [, hex, text] = transcript.lines
    expect(hex?.text).toMatch(/^00000004 {2}00 ff 41 .* \|\.\.A\|$/)
    expect(text).toMatchObject({ kind: 'text', text: 'text' })
  })
  it('takes escape sequences for bytes, not for text', () => {
    const transcript = new Transcript()
    transcript.push('in', bytes('\u001b[2J\n'))
    expect(transcript.lines[0]?.kind).toBe('hex')
  })
  it('shows all as hex when told', () => {
    const transcript = new Transcript()
    transcript.push('out', bytes('hi\n'), 'hex')
    expect(transcript.lines[0]?.text).toContain('68 69 0a')
  })
  it('is bounded, in lines and in their length', () => {
    const transcript = new Transcript()
    transcript.push('in', bytes('x\n'.repeat(3 * LINES_MAX)))
    expect(transcript.lines).toHaveLength(LINES_MAX)
    expect(new Set(transcript.lines.map((line) => line.id)).size).toBe(LINES_MAX)
    const long = new Transcript()
    for (let i = 0; i < 50; i++) long.push('in', bytes('y'.repeat(1000)))
    expect(Math.max(...long.lines.map((line) => line.text.length))).toBeLessThanOrEqual(2000)
    expect(long.lines.reduce((sum, line) => sum + line.text.length, 0)).toBe(50_000)
  })
  it('rows of hex are those of hexdump -C', () => {
    expect(hexRows(bytes('0123456789abcdef!'))).toEqual([
      '00000000  30 31 32 33 34 35 36 37 38 39 61 62 63 64 65 66  |0123456789abcdef|',
      `00000010  21${' '.repeat(45)}  |!|`,
    ])
    expect(hexRows(new Uint8Array(0))).toEqual([])
    expect(hexRows(new Uint8Array(40_000))).toHaveLength(LINES_MAX)
  })
})
