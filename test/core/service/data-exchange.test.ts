import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { WireError } from '../../../core/errors.ts'
import {
  ackText,
  DATA_FRAME,
  type DataFrame,
  DataFrameDecoder,
  dataTypeName,
  decodeFilePayload,
  decodeTrace,
  encodeDataFrame,
  encodeFileFrame,
  encodeTrace,
  errorText,
  formatTraceAnswer,
  parseAnswer,
} from '../../../core/service/data-exchange.ts'
import { portableFileName, sanitizeFileName } from '../../../core/service/inbox.ts'
import { generated, hex, sha256Hex, type VectorCase, vectors } from '../../support.ts'

const bytesOf = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text))

function payloadOf(one: VectorCase): Uint8Array {
  return one.payload_hex === undefined ? generated(one.payload_len) : hex(one.payload_hex)
}

/** The stream of a decode case; long names are described, not spelled out. */
function streamOf(one: VectorCase): Uint8Array {
  if (one.hex !== undefined) return hex(one.hex)
  const nameBytes = Number(/name of (\d+) bytes/.exec(one.name)![1])
  const stream = Buffer.concat([
    hex(one.head_hex).subarray(0, 10),
    Buffer.alloc(nameBytes, 'n'),
    Buffer.from('tail'),
  ])
  expect(sha256Hex(stream)).toBe(one.stream_sha256)
  return Uint8Array.from(stream)
}

function decodeAll(stream: Uint8Array, chunk = stream.length): DataFrame[] {
  const decoder = new DataFrameDecoder()
  const frames: DataFrame[] = []
  for (let at = 0; at < stream.length; at += chunk) {
    decoder.push(stream.subarray(at, at + chunk))
    for (let frame = decoder.next(); frame !== undefined; frame = decoder.next()) frames.push(frame)
  }
  return frames
}

describe('dataexchange.json', () => {
  it.each(vectors('dataexchange', 'encode'))('encodes: $name', (one) => {
    const isFile = one.type === DATA_FRAME.file
    const name = one.filename ?? 'n'.repeat(one.filename_len ?? 0)
    if (isFile && Buffer.byteLength(name) > 0xffff) {
      // Deviation: the reference's length field wraps; we refuse.
      expect(() => encodeFileFrame(name, payloadOf(one))).toThrow(/65535 bytes, got 65536/)
      return
    }
    const frame = isFile
      ? encodeFileFrame(name, payloadOf(one))
      : encodeDataFrame(one.type, payloadOf(one))
    expect(frame.length).toBe(one.frame_len)
    if (one.frame_hex !== undefined) expect(frame).toEqual(hex(one.frame_hex))
    else expect(sha256Hex(frame)).toBe(one.frame_sha256)
    expect(dataTypeName(one.type)).toBe(one.type_name)
  })

  it.each(vectors('dataexchange', 'decode'))('decodes: $name', (one) => {
    const stream = streamOf(one)
    if (one.verdict === 'reject') {
      const decoder = new DataFrameDecoder()
      decoder.push(stream)
      if (one.error_message.startsWith('frame too large'))
        expect(() => decoder.next()).toThrow(WireError)
      else {
        expect(decoder.next()).toBeUndefined()
        expect(decoder.isAtBoundary).toBe(stream.length === 0)
      }
      return
    }
    for (const chunk of [stream.length, 1, 7]) {
      if (chunk === 1 && stream.length > 1000) continue
      const decoder = new DataFrameDecoder()
      let frame: DataFrame | undefined
      for (let at = 0; at < stream.length && frame === undefined; at += chunk) {
        decoder.push(stream.subarray(at, at + chunk))
        frame = decoder.next()
      }
      expect(frame).toBeDefined()
      // The names whose length makes the reference panic are names like any other.
      if (one.verdict === 'panic') continue
      const { name, data } =
        one.type === DATA_FRAME.file
          ? decodeFilePayload(frame!.payload)
          : { name: new Uint8Array(0), data: frame!.payload }
      expect([frame!.type, name.length, data.length]).toEqual([
        one.type,
        one.filename_len,
        one.payload_len,
      ])
      expect(data).toEqual(hex(one.payload_hex))
    }
  })

  it('takes several frames of one stream', () => {
    const stream = Buffer.concat([
      encodeDataFrame(1, bytesOf('a')),
      encodeDataFrame(2, new Uint8Array(0)),
      encodeDataFrame(99, bytesOf('ccc')),
    ])
    for (const chunk of [1, 3, 8, 100]) {
      const frames = decodeAll(Uint8Array.from(stream), chunk)
      expect(frames.map(({ type, payload }) => [type, payload.length])).toEqual([
        [1, 1],
        [2, 0],
        [99, 3],
      ])
    }
  })

  it.each(vectors('dataexchange', 'reply'))('answers: $name', (one) => {
    const [, name, bytes] = /^ACK ([A-Z]+) (\d+) bytes$/.exec(one.reply_text)!
    const type = { TEXT: 1, BINARY: 2, JSON: 3, FILE: 4 }[name!]!
    expect(ackText(type, Number(bytes))).toBe(one.reply_text)
    expect(parseAnswer(bytesOf(one.reply_text))).toEqual({
      kind: 'ack',
      type: name,
      bytes: Number(bytes),
    })
  })

  it.each(vectors('dataexchange-v19', 'decode'))('makes v1.9 file names safe: $name', (one) => {
    const frame = decodeAll(hex(one.hex))[0]!
    const { name, data } = decodeFilePayload(frame.payload)
    const safe = sanitizeFileName(name)
    // Deviation: v1.9 closes the connection on a path; we keep its last part, as the base generation does.
    if (one.verdict === 'accept') {
      expect(Buffer.from(name).toString()).toBe(one.filename)
      expect(data).toEqual(hex(one.payload_hex))
    }
    const sent = Buffer.from(name).toString()
    const last = sent.split(/[/\\]/).at(-1)!.replace('\0', '')
    if (last === '' || last === '.' || last === '..') expect(safe).toBeUndefined()
    else if (last.length <= 200) expect(safe).toBe(last)
    else expect(Buffer.byteLength(`${safe}-20261120-074635.934`)).toBeLessThanOrEqual(255)
  })
})

describe('decoder', () => {
  it('gives frames or WireError for any bytes, however they are cut', () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 40 }), { maxLength: 8 }), (chunks) => {
        const decoder = new DataFrameDecoder(1000)
        try {
          for (const chunk of chunks) {
            decoder.push(chunk)
            while (decoder.next() !== undefined);
          }
        } catch (error) {
          expect(error).toBeInstanceOf(WireError)
        }
      }),
    )
  })

  it('gives back what was encoded, however it is cut', () => {
    const frame = fc.tuple(fc.integer({ min: 0, max: 0xffffffff }), fc.uint8Array())
    fc.assert(
      fc.property(
        fc.array(frame, { maxLength: 6 }),
        fc.integer({ min: 1, max: 30 }),
        (frames, chunk) => {
          const stream = Buffer.concat(
            frames.map(([type, payload]) => encodeDataFrame(type, payload)),
          )
          expect(decodeAll(Uint8Array.from(stream), chunk)).toEqual(
            frames.map(([type, payload]) => ({ type, payload })),
          )
        },
      ),
    )
  })

  it('allocates by what arrived, not by what was announced', () => {
    const decoders = Array.from({ length: 1000 }, () => new DataFrameDecoder())
    const before = process.memoryUsage().arrayBuffers
    for (const decoder of decoders) {
      decoder.push(hex('0000000101000000ff')) // 16 MiB announced, one byte of it here
      decoder.next()
    }
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(20_000_000)
  })

  it('refuses more than its limit', () => {
    expect(() => encodeDataFrame(1, new Uint8Array(16_777_217))).toThrow(/16777216 bytes/)
    const decoder = new DataFrameDecoder(4)
    decoder.push(encodeDataFrame(1, bytesOf('12345')))
    expect(() => decoder.next()).toThrow(/frame of 5 bytes exceeds 4/)
  })
})

describe('answers and traces', () => {
  it('are told apart', () => {
    expect(parseAnswer(bytesOf(ackText(9, 3)))).toEqual({
      kind: 'ack',
      type: 'UNKNOWN(9)',
      bytes: 3,
    })
    expect(parseAnswer(bytesOf(errorText(4, 'disk full')))).toEqual({
      kind: 'error',
      message: 'FILE save failed: disk full',
    })
    expect(parseAnswer(bytesOf('hello'))).toEqual({ kind: 'other', text: 'hello' })
    expect(parseAnswer(Uint8Array.of(0xff))).toEqual({ kind: 'other', text: '' })
  })

  it('carry times beyond 2^53', () => {
    const trace = { innerType: 1, sentAtNs: 1_763_636_400_123_456_789n, inner: bytesOf('hi') }
    expect(decodeTrace(encodeTrace(trace))).toEqual(trace)
    for (let length = 0; length < 12; length++)
      expect(() => decodeTrace(encodeTrace(trace).subarray(0, length))).toThrow(WireError)
    expect(
      formatTraceAnswer({
        sentAtNs: trace.sentAtNs,
        receivedAtNs: 2n,
        inboxWrittenAtNs: 3n,
        ackSentAtNs: 4n,
        innerAck: 'ACK TEXT 2 bytes',
      }),
    ).toBe(
      '{"sent_at_ns":1763636400123456789,"received_at_ns":2,"inbox_written_at_ns":3,' +
        '"ack_sent_at_ns":4,"inner_ack":"ACK TEXT 2 bytes"}',
    )
  })
})

describe('portableFileName', () => {
  it.each([
    ['report.txt', 'report.txt'],
    ['/home/x/report.txt', 'report.txt'],
    ['C:\\x\\y.bin', 'y.bin'],
    ['a..b', 'a.b'],
    ['..', undefined],
    ['', undefined],
    ['dir/', undefined],
    ['...', undefined],
  ])('makes %j %j', (name, expected) => {
    expect(portableFileName(name)).toBe(expected)
  })
})
