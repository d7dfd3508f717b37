/** What is delivered, acknowledged and advertised: segment by segment at chosen times. */
import { describe, expect, it } from 'vitest'
import { Connection } from '../../../core/stream/connection.ts'
import { MemoryBudget } from '../../../core/stream/memory-budget.ts'
import { WindowTuner } from '../../../core/stream/window-tuner.ts'
import {
  ACK,
  bytes,
  drain,
  established,
  events,
  NONE,
  options,
  readAll,
  run,
  SYN,
  sackPayload,
  shown,
} from './pair.ts'

const MODERN = 1024

describe('acknowledging', () => {
  it('acknowledges two full segments at once', () => {
    const c = established()
    c.handleSegment(ACK, 1, 1001, 512, bytes(4096), 10)
    expect(shown(c, 10)).toEqual([])
    c.handleSegment(ACK, 4097, 1001, 512, bytes(4096), 11)
    expect(shown(c, 11)).toEqual(['ACK 1001 ack 8193'])
  })

  it('acknowledges our own kind every eight segments, or after 5 ms', () => {
    const c = established()
    for (let i = 0; i < 8; i++) {
      expect(shown(c, 10)).toEqual([])
      c.handleSegment(ACK, 1 + i * 1152, 1001, 600, bytes(1152), 10) // 600 slots: one of our kind
    }
    expect(shown(c, 10)).toEqual(['ACK 1001 ack 9217'])
    c.handleSegment(ACK, 9217, 1001, 600, bytes(1152), 20)
    expect(run(c, 20, 100)).toEqual([[25, 'ACK 1001 ack 10369']])
  })

  it('acknowledges any segment of a reference after 2 ms: it sends by Nagle, and cuts where it likes', () => {
    const c = established()
    c.handleSegment(ACK, 1, 1001, 512, bytes(1152), 10)
    expect(run(c, 10, 100)).toEqual([[12, 'ACK 1001 ack 1153']])
  })

  it('acknowledges the short end of a write after 2 ms, so that a Nagle sender goes on', () => {
    const c = established()
    c.handleSegment(ACK, 1, 1001, 512, bytes(8), 10)
    expect(run(c, 10, 100)).toEqual([[12, 'ACK 1001 ack 9']])
  })

  it('lets data carry the ACK', () => {
    const c = established()
    c.handleSegment(ACK, 1, 1001, 512, bytes(8), 10)
    c.write(bytes(3), 11)
    expect(run(c, 11, 100)).toEqual([[11, 'ACK 1001+3 ack 9']])
  })

  it('reports a gap at once, and what fills it', () => {
    const c = established()
    c.handleSegment(ACK, 11, 1001, 512, bytes(10, 10), 10)
    expect(shown(c, 10)).toEqual(['ACK 1001 ack 1 sack 11-21'])
    c.handleSegment(ACK, 31, 1001, 512, bytes(10, 30), 10)
    expect(shown(c, 10)).toEqual(['ACK 1001 ack 1 sack 11-21 sack 31-41'])
    c.handleSegment(ACK, 1, 1001, 512, bytes(10), 11)
    expect(shown(c, 11)).toEqual(['ACK 1001 ack 21 sack 31-41'])
    c.handleSegment(ACK, 21, 1001, 512, bytes(10, 20), 12)
    expect(shown(c, 12)).toEqual(['ACK 1001 ack 41'])
    expect(readAll(c, 12)).toEqual(bytes(40))
  })

  it('reports the three lowest ranges and the one that changed last', () => {
    const c = established()
    for (const seq of [11, 31, 51, 71, 91, 111]) {
      c.handleSegment(ACK, seq, 1001, 512, bytes(10), 10)
      drain(c, 10)
    }
    c.handleSegment(ACK, 101, 1001, 512, bytes(5), 11)
    expect(shown(c, 11)).toEqual(['ACK 1001 ack 1 sack 11-21 sack 31-41 sack 51-61 sack 91-106'])
  })

  it('covers a segment received again by a block, so that a racing sender stops (spec/03 §7.7)', () => {
    const c = established()
    c.handleSegment(ACK, 1, 1001, 512, bytes(10), 10)
    run(c, 10, 50)
    c.handleSegment(ACK, 1, 1001, 512, bytes(10), 60)
    expect(shown(c, 60)).toEqual(['ACK 1001 ack 11 sack 1-11'])
  })

  it('takes the new part of a segment that begins below what is expected', () => {
    const c = established()
    c.handleSegment(ACK, 1, 1001, 512, bytes(10), 10)
    c.handleSegment(ACK, 6, 1001, 512, bytes(10, 5), 10)
    expect(readAll(c, 10)).toEqual(bytes(15))
  })

  it('does not answer bytes before the stream began', () => {
    const c = established()
    c.handleSegment(ACK, 0xfffff000, 1001, 512, bytes(10), 10)
    expect(run(c, 10, 1000)).toEqual([])
    expect(c.readableBytes).toBe(0)
  })

  it('sends no third identical pure ACK to a reference', () => {
    const c = established({ receiveBufferBytes: 8 * 4096, receiveReserveBytes: 0 })
    c.handleSegment(ACK, 1, 1001, 512, bytes(8 * 4096), 10)
    expect(run(c, 10, 400)).toEqual([[160, 'ACK 1001 ack 32769']])
    readAll(c, 200)
    expect(drain(c, 200)).toEqual([]) // 8 slots opened: not worth a packet
    const big = established({ receiveBufferBytes: 1 << 20 })
    const acks: string[] = []
    for (let i = 0; i < 3; i++) {
      for (let k = 0; k < 255; k++)
        big.handleSegment(ACK, 1 + (i * 255 + k) * 4096, 1001, 512, bytes(4096), 10)
      acks.push(...shown(big, 10))
      readAll(big, 10)
      acks.push(...shown(big, 10))
    }
    const last = acks.slice(-2)
    expect(last).toEqual(['ACK 1001 ack 3133441', 'ACK 1001 ack 3133441'])
  })

  it('ignores an empty segment', () => {
    const c = established()
    c.handleSegment(ACK, 1, 1001, 512, NONE, 10)
    c.handleSegment(ACK, 50, 1001, 512, NONE, 10)
    expect(run(c, 10, 1000)).toEqual([])
  })

  it('ignores a packet without flags', () => {
    const c = established()
    c.handleSegment(0, 1, 1001, 512, bytes(10), 10)
    expect(c.readableBytes).toBe(0)
  })
})

describe('the window', () => {
  const window = (c: Connection, now: number): number | undefined => drain(c, now).at(-1)?.window

  it('counts slots of 4096 bytes that are free', () => {
    const c = Connection.dial(options())
    expect(window(c, 0)).toBe(1024)
    c.handleSegment(SYN | ACK, 0, 1001, 512, NONE, 1)
    expect(window(c, 1)).toBe(1024)
    c.handleSegment(ACK, 1, 1001, 512, bytes(4000), 10)
    c.handleSegment(ACK, 4001, 1001, 512, bytes(4000), 10)
    expect(window(c, 10)).toBe(1022)
  })

  it('does not count what is held out of order', () => {
    const c = established()
    c.handleSegment(ACK, 100_001, 1001, 512, bytes(60_000), 10)
    expect(window(c, 10)).toBe(1024)
  })

  it('stays at 1 for a reference, which reads 0 as no limit, and slows it down by its ACKs', () => {
    const c = established({ receiveBufferBytes: 8192, receiveReserveBytes: 8192 })
    c.handleSegment(ACK, 1, 1001, 512, bytes(8192), 10)
    expect(window(c, 10)).toBeUndefined()
    expect(c.pollTimeout()).toBe(160)
    c.handleTimeout(160)
    expect(window(c, 160)).toBe(1)
  })

  it('is 0 for a peer of our own kind', () => {
    const c = established(
      { receiveBufferBytes: 8192, receiveReserveBytes: 8192 },
      { window: MODERN },
    )
    c.handleSegment(ACK, 1, 1001, MODERN, bytes(4096), 10)
    c.handleSegment(ACK, 4097, 1001, MODERN, bytes(4096), 10)
    c.handleTimeout(15)
    expect(window(c, 15)).toBe(0)
  })

  it('holds what a peer sends beyond it up to the reserve, and drops the rest without an ACK', () => {
    const c = established({ receiveBufferBytes: 8192, receiveReserveBytes: 8192 })
    for (let i = 0; i < 4; i++) c.handleSegment(ACK, 1 + i * 4096, 1001, 512, bytes(4096), 10)
    run(c, 10, 200)
    expect(c.readableBytes).toBe(16_384)
    c.handleSegment(ACK, 16_385, 1001, 512, bytes(4096), 300)
    expect(run(c, 300, 1000)).toEqual([])
    expect(c.readableBytes).toBe(16_384)
    readAll(c, 1000)
    c.handleSegment(ACK, 16_385, 1001, 512, bytes(4096), 1001)
    expect(readAll(c, 1001)).toEqual(bytes(4096))
  })

  it('is announced when it opens after having been small', () => {
    const c = established({ receiveBufferBytes: 1 << 20 }, { window: MODERN })
    for (let i = 0; i < 256; i++) c.handleSegment(ACK, 1 + i * 4096, 1001, MODERN, bytes(4096), 10)
    expect(window(c, 10)).toBe(0)
    readAll(c, 20)
    expect(drain(c, 20).map((packet) => packet.window)).toEqual([256])
  })

  it('limits pieces held out of order', () => {
    const c = established({ outOfOrderPiecesMax: 10 })
    for (let i = 0; i < 50; i++) c.handleSegment(ACK, 11 + 2 * i, 1001, 512, bytes(1), 10)
    expect(c.info().outOfOrderSegments).toBe(10)
  })
})

describe('SACK or data', () => {
  it('takes blocks within what was sent for a SACK', () => {
    const c = established()
    c.write(bytes(20), 1)
    drain(c, 1)
    c.handleSegment(ACK, 1, 1001, 512, sackPayload([1011, 1021]), 10)
    expect(c.readableBytes).toBe(0)
    expect(c.stats.sacksReceived).toBe(1)
  })

  it.each([
    ['beyond what was sent', sackPayload([1011, 1022])],
    ['before our stream', sackPayload([900, 1011])],
    ['empty', sackPayload([1011, 1011])],
    ['reversed', sackPayload([1015, 1011])],
    ['followed by a byte', Uint8Array.from([...sackPayload([1011, 1021]), 0])],
    ['text', Uint8Array.from(Buffer.from('SACK\x01hello wo'))],
  ])('delivers as data what has the pattern but is %s', (_, payload) => {
    const c = established()
    c.write(bytes(20), 1)
    drain(c, 1)
    c.handleSegment(ACK, 1, 1001, 512, payload, 10)
    expect(readAll(c, 10)).toEqual(payload)
  })
})

describe('reading', () => {
  it('tells once that there is something, and again after read gave nothing', () => {
    const c = established()
    c.handleSegment(ACK, 1, 1001, 512, bytes(5), 10)
    c.handleSegment(ACK, 6, 1001, 512, bytes(5, 5), 10)
    expect(events(c)).toEqual(['readable'])
    expect(c.readableBytes).toBe(10)
    expect(c.read(10)).toEqual(bytes(10))
    c.handleSegment(ACK, 11, 1001, 512, bytes(5), 11)
    expect(events(c)).toEqual([])
    expect(c.read(11)).toEqual(bytes(5))
    expect(c.read(11)).toBeUndefined()
    c.handleSegment(ACK, 16, 1001, 512, bytes(5), 12)
    expect(events(c)).toEqual(['readable'])
  })

  it('keeps small segments in memory of their own size', () => {
    const c = established()
    const arena = new Uint8Array(1 << 20)
    for (let i = 0; i < 1000; i++) {
      arena[i] = i
      c.handleSegment(ACK, 1 + i, 1001, 512, arena.subarray(i, i + 1), 10)
    }
    c.handleSegment(ACK, 1001, 1001, 512, arena.subarray(5000, 6000), 10)
    arena.fill(0) // memory that was much larger than what it held was copied
    expect(readAll(c, 10).subarray(0, 1000)).toEqual(bytes(1000))
  })
})

describe('memory', () => {
  const window = (c: Connection, now: number): number => {
    c.handleTimeout(now)
    return drain(c, now).at(-1)!.window
  }

  it('of a stream grows to twice what is read in a round trip, up to its maximum', () => {
    const tuner = new WindowTuner(1000, 5000)
    expect(tuner.handleRead(400, 100, 1000)).toBe(false)
    expect(tuner.handleRead(800, 100, 1050)).toBe(false)
    expect(tuner.handleRead(800, 100, 1100)).toBe(true)
    expect(tuner.bytes).toBe(3200)
    tuner.handleRead(90_000, 100, 1200)
    expect(tuner.bytes).toBe(5000)
    // Without a round trip nothing is known.
    const blind = new WindowTuner(1000, 5000)
    expect(blind.handleRead(90_000, 0, 1000)).toBe(false)
  })

  it('of all streams of a node bounds the windows of each, and comes back when they are read or closed', () => {
    const memory = new MemoryBudget(100_000)
    const open = (id: number): Connection => {
      const c = Connection.accept({ ...options(), id, memory }, 0, MODERN)
      drain(c, 0)
      c.handleSegment(ACK, 1, 1001, MODERN, NONE, 0)
      return c
    }
    const [a, b] = [open(1), open(2)]
    a!.handleSegment(ACK, 1, 1001, MODERN, bytes(60_000), 1)
    expect(window(a!, 10)).toBe(Math.floor(40_000 / 4096))
    b!.handleSegment(ACK, 5001, 1001, MODERN, bytes(50_000), 2)
    expect(memory.freeBytes).toBe(-10_000)
    expect(window(b!, 10)).toBe(0)
    // Nothing more is held out of order; what the reader waits for is.
    b!.handleSegment(ACK, 60_001, 1001, MODERN, bytes(5000), 3)
    expect(memory.usedBytes).toBe(110_000)
    b!.handleSegment(ACK, 1, 1001, MODERN, bytes(5000), 3)
    expect(b!.readableBytes).toBe(55_000)
    expect(readAll(a!, 4).length).toBe(60_000)
    expect(memory.usedBytes).toBe(55_000)
    b!.reset(5)
    expect(memory.usedBytes).toBe(0)
  })
})
