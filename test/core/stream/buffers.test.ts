/** The three stores of a stream against models that are slow and obvious. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { InFlight } from '../../../core/stream/in-flight.ts'
import { ReceiveBuffer } from '../../../core/stream/receive-buffer.ts'
import { SendBuffer } from '../../../core/stream/send-buffer.ts'
import { bytes } from './pair.ts'

describe('SendBuffer', () => {
  it('gives back what was written, at any offset', () => {
    const step = fc.record({ append: fc.nat(40_000), release: fc.nat(50_000) })
    fc.assert(
      fc.property(fc.array(step, { size: 'max', maxLength: 20 }), fc.nat(1000), (steps, cut) => {
        const buffer = new SendBuffer(100_000)
        let end = 0
        let start = 0
        for (const { append, release } of steps) {
          const taken = buffer.append(bytes(append, end))
          expect(taken).toBe(Math.min(append, 100_000 - (end - start)))
          end += taken
          const from = start + Math.floor(((end - start) * cut) / 1001)
          const out = new Uint8Array(end - from + 5)
          buffer.copy(from, end - from, out, 5)
          expect(Buffer.compare(out.subarray(5), bytes(end - from, from))).toBe(0)
          start = Math.min(end, start + release)
          buffer.release(start)
          expect([buffer.start, buffer.end, buffer.free]).toEqual([
            start,
            end,
            100_000 - (end - start),
          ])
        }
      }),
      { numRuns: 50 },
    )
  })
})

describe('ReceiveBuffer', () => {
  it('puts any overlapping pieces together, once each byte', () => {
    const piece = fc.record({ offset: fc.nat(3000), length: fc.integer({ min: 1, max: 700 }) })
    fc.assert(
      fc.property(
        fc.array(piece, { size: 'max', maxLength: 60 }),
        fc.nat(10),
        (pieces, readEvery) => {
          const buffer = new ReceiveBuffer(4000, 1000, 1000)
          const have = new Set<number>()
          const parts: Uint8Array[] = []
          let next = 0
          pieces.forEach(({ offset, length }, i) => {
            const before = have.size
            const result = buffer.accept(offset, bytes(length, offset))
            for (let k = offset; k < offset + length; k++) have.add(k)
            while (have.has(next)) next++
            expect(result === 'duplicate').toBe(have.size === before)
            expect(buffer.next).toBe(next)
            expect(buffer.highest).toBe(Math.max(next, ...have) + (have.size > next ? 1 : 0))
            const held = new Set<number>()
            let last = next
            for (let r = 0; r < buffer.rangeCount; r++) {
              expect(buffer.rangeLeft(r)).toBeGreaterThan(last) // ascending, and not touching
              last = buffer.rangeRight(r)
              for (let k = buffer.rangeLeft(r); k < last; k++) held.add(k)
            }
            const ahead = [...have].filter((k) => k >= next)
            expect(held.size).toBe(ahead.length)
            expect(ahead.every((k) => held.has(k))).toBe(true)
            if (readEvery > 0 && i % readEvery === 0) parts.push(buffer.read() ?? new Uint8Array(0))
          })
          for (let part = buffer.read(); part !== undefined; part = buffer.read()) parts.push(part)
          expect(Buffer.compare(Buffer.concat(parts), bytes(next))).toBe(0)
          expect(buffer.readableBytes).toBe(0)
        },
      ),
      { numRuns: 200 },
    )
  })

  it('joins what is read up to 64 KiB', () => {
    const buffer = new ReceiveBuffer(1 << 20, 0, 10)
    for (let i = 0; i < 100; i++) buffer.accept(i * 1000, bytes(1000, i * 1000))
    expect(buffer.read()!.length).toBe(65_000)
    expect(buffer.read()!.length).toBe(35_000)
    expect(buffer.read()).toBeUndefined()
  })

  it('never holds more than capacity and reserve', () => {
    const buffer = new ReceiveBuffer(1000, 500, 10)
    expect(buffer.accept(1400, bytes(101))).toBe('full')
    expect(buffer.accept(1400, bytes(100))).toBe('held')
    expect(buffer.accept(0, bytes(1400))).toBe('delivered')
    expect(buffer.readableBytes).toBe(1500)
    expect(buffer.accept(1500, bytes(1))).toBe('full')
  })
})

describe('InFlight', () => {
  interface Model {
    offset: number
    length: number
    sacked: boolean
    lost: boolean
    transmissions: number
    order: number
    sentAt: number
  }

  it('counts what a scan of all segments counts', () => {
    const step = fc.oneof(
      fc.record({ kind: fc.constant('push' as const), size: fc.integer({ min: 1, max: 9 }) }),
      fc.record({ kind: fc.constant('push' as const), size: fc.integer({ min: 1, max: 9 }) }),
      fc.record({ kind: fc.constant('ack' as const), size: fc.nat(20) }),
      fc.record({ kind: fc.constant('sack' as const), size: fc.nat(30), from: fc.nat(30) }),
      fc.record({ kind: fc.constant('detect' as const), windowMs: fc.nat(4) }),
      fc.record({ kind: fc.constantFrom('resend', 'timeout', 'found') }),
    )
    fc.assert(
      fc.property(fc.array(step, { size: 'max', maxLength: 120 }), (steps) => {
        const board = new InFlight()
        const model: Model[] = []
        let end = 0
        let una = 0
        let order = 0
        let rack = { order: 0, rttMs: 0 }
        steps.forEach((one, now) => {
          const deliver = (s: Model): void => {
            if (!s.sacked && s.order > rack.order) rack = { order: s.order, rttMs: now - s.sentAt }
          }
          const isOverdue = (s: Model, limit: number): boolean =>
            s.order < rack.order && now - s.sentAt >= limit
          board.beginAck(0, now)
          if (one.kind === 'push' && 'size' in one) {
            board.push(end, one.size, now)
            model.push({
              offset: end,
              length: one.size,
              sacked: false,
              lost: false,
              transmissions: 1,
              order: ++order,
              sentAt: now,
            })
            end += one.size
          } else if (one.kind === 'ack' && 'size' in one) {
            una = Math.min(end, una + one.size)
            board.acknowledge(una)
            while (model[0] !== undefined && model[0].offset + model[0].length <= una)
              deliver(model.shift()!)
            if (model[0] !== undefined && model[0].offset < una) {
              model[0].length -= una - model[0].offset
              model[0].offset = una
            }
          } else if (one.kind === 'sack' && 'from' in one) {
            const left = una + one.from
            const right = Math.min(end, left + one.size)
            if (left < right) {
              board.sack(left, right)
              for (const s of model)
                if (s.offset >= left && s.offset + s.length <= right) {
                  deliver(s)
                  s.sacked = true
                  s.lost = false
                }
            }
          } else if (one.kind === 'detect' && 'windowMs' in one) {
            const limit = rack.rttMs + one.windowMs
            const late = model.filter((s) => !s.sacked && !s.lost && isOverdue(s, limit))
            expect(board.detectLosses(one.windowMs, now)).toBe(late.length > 0)
            for (const s of late) s.lost = true
          } else if (one.kind === 'resend') {
            const lost = board.nextLost()
            const expected = model.find((s) => s.lost)
            expect(lost?.offset).toBe(expected?.offset)
            if (lost !== undefined) {
              board.retransmitLost(now)
              expected!.lost = false
              expected!.transmissions++
              expected!.order = ++order
              expected!.sentAt = now
            }
          } else if (one.kind === 'timeout') {
            if (model[0]?.sacked === true) for (const s of model) s.sacked = false
            board.loseOverdue(0, now)
            for (const s of model)
              if (!s.sacked && (s === model[0] || now - s.sentAt >= rack.rttMs)) s.lost = true
          } else if (one.kind === 'found') {
            board.findAll()
            for (const s of model) if (s.transmissions === 1) s.lost = false
          }
          const sum = (list: Model[]): number => list.reduce((n, s) => n + s.length, 0)
          expect({
            count: board.count,
            bytes: board.bytes,
            pipe: board.pipe,
            sacked: board.sackedCount,
            lost: board.lostCount,
          }).toEqual({
            count: model.length,
            bytes: sum(model),
            pipe: sum(model.filter((s) => !s.sacked && !s.lost)),
            sacked: model.filter((s) => s.sacked).length,
            lost: model.filter((s) => s.lost).length,
          })
        })
      }),
      { numRuns: 500 },
    )
  })
})
