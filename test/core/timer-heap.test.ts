import fc from 'fast-check'
import { expect, it } from 'vitest'
import { TimerHeap } from '../../core/timer-heap.ts'

it('hands out what is due, earliest first, and never later than asked', () => {
  const operation = fc.record({
    item: fc.nat(20),
    at: fc.option(fc.nat(1000), { nil: undefined }),
    advance: fc.nat(60),
  })
  fc.assert(
    fc.property(fc.array(operation, { maxLength: 200 }), (operations) => {
      const heap = new TimerHeap<{ heapAt: number; heapIndex: number; id: number }>()
      const items = Array.from({ length: 21 }, (_, id) => ({ heapAt: 0, heapIndex: -1, id }))
      const wanted = new Map<number, number>()
      let now = 0
      for (const { item, at, advance } of operations) {
        now += advance
        if (at === undefined) {
          heap.delete(items[item]!)
          wanted.delete(item)
        } else {
          heap.set(items[item]!, now + at)
          wanted.set(item, Math.min(wanted.get(item) ?? Number.POSITIVE_INFINITY, now + at))
        }
        let last = Number.NEGATIVE_INFINITY
        for (let due = heap.popDue(now); due !== undefined; due = heap.popDue(now)) {
          expect(due.heapAt).toBeGreaterThanOrEqual(last)
          last = due.heapAt
          wanted.delete(due.id)
        }
        for (const deadline of wanted.values()) expect(deadline).toBeGreaterThan(now)
        expect(heap.earliest()).toBe(wanted.size === 0 ? undefined : Math.min(...wanted.values()))
        expect(heap.size).toBe(wanted.size)
      }
    }),
  )
})
