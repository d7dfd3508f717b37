import { describe, expect, it } from 'vitest'
import {
  formatReceivedAt,
  inboxFileName,
  inboxMessage,
  receivedFileName,
  sanitizeFileName,
  type TimeParts,
} from '../../../core/service/inbox.ts'

const time: TimeParts = {
  year: 2026,
  month: 11,
  day: 20,
  hour: 7,
  minute: 46,
  second: 35,
  millisecond: 934,
  offsetMinutes: 60,
}
const utf8 = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text))

describe('names', () => {
  // The examples of spec/07 §6.3.
  it.each([
    ['hi.txt', 'hi-20261120-074635.934.txt'],
    ['b.tar.gz', 'b.tar-20261120-074635.934.gz'],
    ['.bashrc', '-20261120-074635.934.bashrc'],
    ['noext', 'noext-20261120-074635.934'],
    ['../../evil.txt', 'evil-20261120-074635.934.txt'],
    ['a\\b\\evil.txt', 'evil-20261120-074635.934.txt'],
    ['x\u0000\u0007y', 'xy-20261120-074635.934'],
  ])('stores %j as %s', (sent, stored) => {
    expect(receivedFileName(sanitizeFileName(utf8(sent))!, time)).toBe(stored)
  })

  it.each(['', '.', '..', '/', 'a/..', '\u0000'])('has no name for %j', (sent) => {
    expect(sanitizeFileName(utf8(sent))).toBeUndefined()
  })

  it('has no name for what is not UTF-8', () => {
    expect(sanitizeFileName(Uint8Array.of(0x61, 0xff))).toBeUndefined()
  })

  it('fits a file system with stamp and attempt, and keeps the extension', () => {
    const name = sanitizeFileName(utf8(`${'é'.repeat(300)}.txt`))!
    const stored = receivedFileName(name, time, 99)
    expect(Buffer.byteLength(stored)).toBeLessThanOrEqual(255)
    expect(stored).toMatch(/é-20261120-074635.934-99.txt$/)
  })

  it('counts attempts after the stamp', () => {
    expect(receivedFileName('hi.txt', time, 2)).toBe('hi-20261120-074635.934-2.txt')
    expect(inboxFileName('TEXT', time)).toBe('TEXT-20261120-074635.934.json')
    expect(inboxFileName('JSON', time, 1)).toBe('JSON-20261120-074635.934-1.json')
  })
})

describe('messages', () => {
  const message = (payload: Uint8Array): string =>
    inboxMessage({ typeName: 'TEXT', from: '0:0000.0000.0007', payload, time })

  it('have the members of the reference in its order', () => {
    expect(message(utf8('hello'))).toBe(
      '{"bytes":5,"data":"hello","from":"0:0000.0000.0007",' +
        '"received_at":"2026-11-20T07:46:35+01:00","type":"TEXT"}',
    )
  })

  it('carry what is not text as base64 too', () => {
    expect(JSON.parse(message(Uint8Array.of(0x68, 0xc3, 0xa9, 0xff, 0xc3, 0x21)))).toMatchObject({
      bytes: 6,
      data: 'hé\ufffd\ufffd!',
      data_b64: 'aMOp/8Mh',
      data_encoding: 'base64',
    })
  })

  it('tell the offset of the zone', () => {
    expect(formatReceivedAt({ ...time, offsetMinutes: 0 })).toBe('2026-11-20T07:46:35Z')
    expect(formatReceivedAt({ ...time, offsetMinutes: -210 })).toBe('2026-11-20T07:46:35-03:30')
  })
})
