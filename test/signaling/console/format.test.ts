import { describe, expect, it } from 'vitest'
import {
  displayLine,
  displayText,
  formatBytes,
  formatDuration,
  formatMs,
  percentile,
} from '../../../signaling/console/model/format.ts'

describe('quantities', () => {
  it.each([
    [0, '0 B'],
    [1023, '1023 B'],
    [1024, '1 KiB'],
    [1536, '1.5 KiB'],
    [1_048_575, '1 MiB'],
    [33_554_432, '32 MiB'],
    [5 * 2 ** 40, '5120 GiB'],
    [-1, '0 B'],
  ])('%d bytes are %s', (bytes, text) => expect(formatBytes(bytes)).toBe(text))

  it.each([
    [0, '0 ms'],
    [0.84, '840 µs'],
    [4.21, '4.2 ms'],
    [130.4, '130 ms'],
    [1234, '1.2 s'],
  ])('%d ms are %s', (ms, text) => expect(formatMs(ms)).toBe(text))

  it.each([
    [0, '0 s'],
    [7.2, '8 s'],
    [185, '3 min 5 s'],
    [7800, '2 h 10 min'],
    [Number.POSITIVE_INFINITY, '–'],
    [Number.NaN, '–'],
  ])('%d seconds are %s', (seconds, text) => expect(formatDuration(seconds)).toBe(text))

  it('percentiles are nearest ranks', () => {
    const values = [5, 1, 4, 2, 3]
    expect([percentile(values, 0.5), percentile(values, 0.95), percentile(values, 0)]).toEqual([
      3, 5, 1,
    ])
    expect(percentile([], 0.5)).toBeNaN()
  })
})

describe('text of others', () => {
  it('loses what would turn or hide the rest of a line', () => {
    expect(displayLine('a\u202Egnp.exe\u0000\nb')).toBe('a gnp.exe  b')
    expect(displayLine('  x\u200b\ufeff ')).toBe('x')
  })
  it('is cut between characters, not within', () => {
    expect(displayLine('😀'.repeat(10), 4)).toBe('😀😀😀…')
  })
  it('keeps lines where there may be several', () => {
    expect(displayText('a\r\n\tb\u202e\u0007c', 100)).toBe('a\n\tbc')
    expect(displayText('x'.repeat(12), 10)).toBe(`${'x'.repeat(10)}… (2 more)`)
  })
})
