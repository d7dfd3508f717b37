import { createHash } from 'node:crypto'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { WireError } from '../../../core/errors.ts'
import { DATA_FRAME, DataFrameDecoder } from '../../../core/service/data-exchange.ts'
import {
  FileReceiver,
  type FileReceiverEvent,
  type IncrementalHash,
} from '../../../core/service/file-receiver.ts'
import { FileSender, type FileSenderEvent } from '../../../core/service/file-sender.ts'
import {
  decodeFileStream,
  encodeFileStreamFrame,
  FILE_CHUNK_BYTES,
  type FileStreamMessage,
} from '../../../core/service/file-stream-message.ts'
import { generated, toBytes } from './support.ts'

const sha256 = (data: Uint8Array): Uint8Array => toBytes(createHash('sha256').update(data).digest())

function incremental(seen: Uint8Array): IncrementalHash {
  const hash = createHash('sha256').update(seen)
  return { update: (data) => void hash.update(data), digest: () => toBytes(hash.digest()) }
}

const transferId = generated(16)
const messages: FileStreamMessage[] = [
  {
    kind: 'init',
    transferId,
    size: 2 ** 40 + 3,
    sha256: generated(32),
    chunkBytes: 49_152,
    name: toBytes(Buffer.from('a.bin')),
  },
  { kind: 'chunk', transferId, offset: 98_304, data: generated(100) },
  { kind: 'ack', transferId, offset: 2 ** 33 },
  { kind: 'done', transferId },
  { kind: 'initAck', transferId, offset: 0 },
  { kind: 'complete', transferId, ok: false, message: 'hash mismatch' },
  { kind: 'abort', transferId, reason: 'disk full' },
]

const payload = (message: FileStreamMessage): Uint8Array =>
  encodeFileStreamFrame(message).subarray(8)

describe('messages', () => {
  it.each(messages)('round-trip: $kind', (message) => {
    const frame = encodeFileStreamFrame(message)
    const decoder = new DataFrameDecoder()
    decoder.push(frame)
    const { type, payload: body } = decoder.next()!
    expect(type).toBe(DATA_FRAME.fileStream)
    expect(decodeFileStream(body)).toEqual(message)
  })

  it('have the layout of spec/07 §6.5', () => {
    const frame = Buffer.from(encodeFileStreamFrame(messages[0]!)).toString('hex')
    const id = Buffer.from(transferId).toString('hex')
    expect(frame).toBe(
      `00000007${'00000044'}01${id}${'0000010000000003'}` +
        `${Buffer.from(generated(32)).toString('hex')}${'0000c000'}${'0005'}${'612e62696e'}`,
    )
  })

  it('are refused when cut', () => {
    for (const message of messages) {
      const body = payload(message)
      const fixed = { init: 68, chunk: 25, ack: 25, done: 17, initAck: 25, complete: 18, abort: 17 }
      for (let length = 0; length < fixed[message.kind]; length++)
        expect(() => decodeFileStream(body.subarray(0, length))).toThrow(WireError)
    }
  })

  it('are a value or a WireError for any bytes', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: 9 }),
        fc.uint8Array({ maxLength: 90 }),
        (kind, rest) => {
          try {
            decodeFileStream(Uint8Array.of(kind, ...rest))
          } catch (error) {
            expect(error).toBeInstanceOf(WireError)
          }
        },
      ),
    )
  })

  it('do not carry offsets a number cannot hold', () => {
    const body = payload({ kind: 'ack', transferId, offset: 0 })
    body.fill(0xff, 17)
    expect(() => decodeFileStream(body)).toThrow(/beyond 2\^53/)
  })
})

/** Both machines joined by a stream, and a disk. */
class Bench {
  readonly file: Uint8Array
  readonly sender: FileSender
  readonly receiver = new FileReceiver({ now: 0 })
  readonly senderEvents: FileSenderEvent[] = []
  readonly receiverEvents: FileReceiverEvent[] = []
  disk: Uint8Array
  stored: string | undefined
  maxAhead = 0
  /** Changes frames on their way to the receiver. */
  tamper: (frame: Uint8Array) => Uint8Array = (frame) => frame
  writesAtOnce = true
  #unwritten: (() => void)[] = []

  constructor(file: Uint8Array, partial: Uint8Array = new Uint8Array(0), name = 'dir/big.bin') {
    this.file = file
    this.disk = partial
    this.sender = new FileSender({ size: file.length, sha256: sha256(file), name, now: 0 })
  }

  run(now = 0): void {
    for (let moved = true; moved; ) {
      moved = false
      for (let read = this.sender.pollRead(); read !== undefined; read = this.sender.pollRead()) {
        this.sender.provide(this.file.subarray(read.offset, read.offset + read.length), now)
        moved = true
      }
      for (
        let out = this.sender.pollTransmit();
        out !== undefined;
        out = this.sender.pollTransmit()
      ) {
        this.receiver.handleFrame(frameOf(this.tamper(out)), now)
        this.maxAhead = Math.max(this.maxAhead, this.receiver.pendingBytes)
        moved = true
      }
      for (
        let event = this.receiver.pollEvent();
        event !== undefined;
        event = this.receiver.pollEvent()
      ) {
        this.#handle(event, now)
        moved = true
      }
      for (const write of this.#unwritten.splice(0)) {
        write()
        moved = true
      }
      for (
        let out = this.receiver.pollTransmit();
        out !== undefined;
        out = this.receiver.pollTransmit()
      ) {
        this.sender.handleFrame(frameOf(out), now)
        moved = true
      }
      for (
        let event = this.sender.pollEvent();
        event !== undefined;
        event = this.sender.pollEvent()
      )
        this.senderEvents.push(event)
    }
  }

  #handle(event: FileReceiverEvent, now: number): void {
    this.receiverEvents.push(event)
    if (event.type === 'open') {
      if (this.disk.length > event.size) this.disk = new Uint8Array(0)
      this.receiver.opened(this.disk.length, incremental(this.disk), now)
    } else if (event.type === 'write') {
      const write = (): void => {
        this.disk = toBytes(Buffer.concat([this.disk, event.data]))
        this.receiver.written(this.disk.length, now)
      }
      if (this.writesAtOnce) write()
      else this.#unwritten.push(write)
    } else if (event.type === 'verified') {
      this.stored = event.name
      this.receiver.stored()
    }
  }
}

function frameOf(bytes: Uint8Array): { type: number; payload: Uint8Array } {
  const decoder = new DataFrameDecoder()
  decoder.push(bytes)
  return decoder.next()!
}

describe('a transfer', () => {
  it.each([0, 1, FILE_CHUNK_BYTES, FILE_CHUNK_BYTES + 1, 2_000_000])(
    'of %i bytes ends with a verified copy',
    (size) => {
      const bench = new Bench(generated(size))
      bench.run()
      expect(bench.senderEvents.at(-1)).toEqual({ type: 'complete', message: 'ok' })
      expect(bench.receiverEvents.at(-1)).toEqual({ type: 'complete' })
      expect(Buffer.compare(bench.disk, bench.file)).toBe(0)
      expect(bench.stored).toBe('big.bin')
      expect(bench.sender.pollTimeout()).toBeUndefined()
      expect(bench.receiver.pollTimeout()).toBeUndefined()
    },
  )

  it('resumes where an earlier one ended', () => {
    const file = generated(300_000)
    const bench = new Bench(file, file.slice(0, 123_456))
    bench.run()
    expect(bench.senderEvents[0]).toEqual({ type: 'resume', offset: 123_456 })
    const writes = bench.receiverEvents.filter((event) => event.type === 'write')
    expect(writes[0]).toMatchObject({ offset: 123_456 })
    expect(Buffer.compare(bench.disk, file)).toBe(0)
    expect(bench.stored).toBe('big.bin')
  })

  it('ends at once when everything is there already', () => {
    const file = generated(1000)
    const bench = new Bench(file, file)
    bench.run()
    expect(bench.senderEvents.at(-1)?.type).toBe('complete')
  })

  it('is at most 16 chunks ahead of the disk', () => {
    const bench = new Bench(generated(3_000_000))
    bench.writesAtOnce = false
    bench.run()
    expect(bench.senderEvents.at(-1)?.type).toBe('complete')
    expect(bench.maxAhead).toBe(16 * FILE_CHUNK_BYTES)
  })

  it('with a changed byte fails, and keeps nothing', () => {
    const bench = new Bench(generated(100_000))
    bench.tamper = (frame) => {
      if (frame[8] === 2) frame[100]! ^= 1
      return frame
    }
    bench.run()
    expect(bench.senderEvents.at(-1)).toEqual({ type: 'failed', reason: 'hash mismatch' })
    expect(bench.receiverEvents.at(-1)).toEqual({
      type: 'failed',
      reason: 'hash mismatch',
      keepPartial: false,
    })
    expect(bench.stored).toBeUndefined()
  })

  it('of a file that shrank meanwhile is aborted, and what came is kept', () => {
    const bench = new Bench(generated(100_000))
    bench.sender.handleFrame(
      frameOf(
        encodeFileStreamFrame({ kind: 'initAck', transferId: bench.sender.transferId, offset: 0 }),
      ),
      0,
    )
    bench.sender.provide(new Uint8Array(10), 0)
    bench.run()
    expect(bench.senderEvents.at(-1)).toMatchObject({
      type: 'failed',
      reason: 'the file changed while it was sent',
    })
  })
})

describe('the sender', () => {
  const make = (): FileSender =>
    new FileSender({ size: 100_000, sha256: sha256(generated(100_000)), name: 'x', now: 0 })
  const events = (sender: FileSender): FileSenderEvent[] => {
    const list: FileSenderEvent[] = []
    for (let event = sender.pollEvent(); event !== undefined; event = sender.pollEvent())
      list.push(event)
    return list
  }

  it('takes any other answer for no support', () => {
    const sender = make()
    sender.handleFrame({ type: 1, payload: toBytes(Buffer.from('ACK UNKNOWN(7) 68 bytes')) }, 10)
    expect(events(sender)).toEqual([{ type: 'unsupported' }])
  })

  it('takes five silent seconds, and a closed stream, for no support', () => {
    const silent = make()
    silent.handleTimeout(4999)
    expect(silent.pollTimeout()).toBe(5000)
    silent.handleTimeout(5000)
    expect(events(silent)).toEqual([{ type: 'unsupported' }])
    const closed = make()
    closed.handleEnd()
    expect(events(closed)).toEqual([{ type: 'unsupported' }])
  })

  it('gives every later step a minute', () => {
    const sender = make()
    const ack = { kind: 'initAck', transferId: sender.transferId, offset: 0 } as const
    sender.handleFrame(frameOf(encodeFileStreamFrame(ack)), 100)
    expect(sender.pollTimeout()).toBe(60_100)
    sender.handleTimeout(60_100)
    expect(events(sender).at(-1)).toEqual({ type: 'failed', reason: 'no answer in time' })
    expect(decodeFileStream(frameOf(sender.pollTransmit()!).payload).kind).toBe('abort')
  })

  it.each<[string, (id: Uint8Array) => FileStreamMessage]>([
    [
      'a resume offset beyond the file',
      (id) => ({ kind: 'initAck', transferId: id, offset: 100_001 }),
    ],
    ['chunks', (id) => ({ kind: 'chunk', transferId: id, offset: 0, data: generated(1) })],
    [
      'complete before the end',
      (id) => ({ kind: 'complete', transferId: id, ok: true, message: '' }),
    ],
  ])('aborts on %s', (_, message) => {
    const sender = make()
    sender.handleFrame(frameOf(encodeFileStreamFrame(message(sender.transferId))), 1)
    expect(events(sender).at(-1)?.type).toBe('failed')
  })

  it('ignores other transfers', () => {
    const sender = make()
    sender.handleFrame(
      frameOf(encodeFileStreamFrame({ kind: 'abort', transferId, reason: 'x' })),
      1,
    )
    expect(events(sender)).toEqual([])
  })
})

describe('the receiver', () => {
  const init = (over: Partial<Extract<FileStreamMessage, { kind: 'init' }>> = {}) => {
    const hash = over.sha256 ?? generated(32)
    return {
      kind: 'init',
      transferId: hash.slice(0, 16),
      size: 100,
      sha256: hash,
      chunkBytes: 49_152,
      name: toBytes(Buffer.from('x.txt')),
      ...over,
    } as const
  }
  const feed = (receiver: FileReceiver, message: FileStreamMessage): void =>
    receiver.handleFrame(frameOf(encodeFileStreamFrame(message)), 0)
  const last = (receiver: FileReceiver): FileReceiverEvent | undefined => {
    let found: FileReceiverEvent | undefined
    for (let event = receiver.pollEvent(); event !== undefined; event = receiver.pollEvent())
      found = event
    return found
  }

  it.each([
    ['no usable name', init({ name: toBytes(Buffer.from('..')) })],
    ['too large a file', init({ size: 2 ** 31 + 1 })],
    ['no chunk size', init({ chunkBytes: 0 })],
    ['too large chunks', init({ chunkBytes: 2 ** 21 })],
    ['an id that is not the hash', init({ transferId: new Uint8Array(16) })],
  ])('refuses %s', (_, message) => {
    const receiver = new FileReceiver({ now: 0 })
    feed(receiver, message)
    expect(last(receiver)?.type).toBe('failed')
    expect(decodeFileStream(frameOf(receiver.pollTransmit()!).payload).kind).toBe('abort')
  })

  it.each<[string, Partial<FileStreamMessage>]>([
    ['a gap', { kind: 'chunk', offset: 5, data: generated(10) }],
    ['bytes beyond the file', { kind: 'chunk', offset: 0, data: generated(101) }],
    ['done too early', { kind: 'done' }],
    ['a second INIT', init()],
    ['its own kinds', { kind: 'ack', offset: 0 }],
  ])('aborts on %s', (_, message) => {
    const receiver = new FileReceiver({ now: 0 })
    feed(receiver, init())
    receiver.opened(0, incremental(new Uint8Array(0)), 0)
    feed(receiver, { transferId: generated(16), ...message } as FileStreamMessage)
    expect(last(receiver)).toMatchObject({ type: 'failed', keepPartial: true })
  })

  it('refuses a sender that runs ahead of its disk', () => {
    const receiver = new FileReceiver({ now: 0 })
    feed(receiver, init({ size: 10_000_000 }))
    receiver.opened(0, incremental(new Uint8Array(0)), 0)
    const data = generated(FILE_CHUNK_BYTES)
    for (let i = 0; i < 18; i++)
      feed(receiver, { kind: 'chunk', transferId: generated(16), offset: i * data.length, data })
    expect(last(receiver)).toMatchObject({ type: 'failed', reason: 'more than 16 chunks ahead' })
  })

  it('fails when the stream ends or nothing comes for a minute', () => {
    const ended = new FileReceiver({ now: 0 })
    ended.handleEnd()
    expect(last(ended)).toMatchObject({ type: 'failed', keepPartial: true })
    const silent = new FileReceiver({ now: 0 })
    silent.handleTimeout(60_000)
    expect(last(silent)).toMatchObject({ type: 'failed' })
    expect(silent.isOver).toBe(true)
  })

  it('never throws, whatever frames come', () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 90 }), { maxLength: 10 }), (frames) => {
        const receiver = new FileReceiver({ now: 0 })
        const sender = new FileSender({ size: 10, sha256: generated(32), name: 'x', now: 0 })
        for (const one of frames) {
          receiver.handleFrame({ type: 7, payload: one }, 0)
          sender.handleFrame({ type: 7, payload: one }, 0)
        }
      }),
    )
  })
})
