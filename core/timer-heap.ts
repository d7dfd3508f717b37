/**
 * Deadlines of many things behind one timer: a binary heap, updated lazily. Setting a later deadline costs
 * nothing until the earlier one fires, so that a retransmission timer may move with every acknowledgement.
 */
import type { Instant } from './machine.ts'

/** What can stand in the heap: these two fields are the heap's. */
export interface Timed {
  /** When to look at this next; `Infinity` when never. Kept by the heap. */
  heapAt: Instant
  /** -1 while not in the heap. */
  heapIndex: number
}

export class TimerHeap<T extends Timed> {
  readonly #items: T[] = []

  get size(): number {
    return this.#items.length
  }

  /** `at` undefined: needs no timer (an entry may stay until its old deadline, harmlessly). */
  set(item: T, at: Instant | undefined): void {
    if (at === undefined) return
    if (item.heapIndex >= 0) {
      if (at >= item.heapAt) return
      item.heapAt = at
      this.#up(item.heapIndex)
      return
    }
    item.heapAt = at
    item.heapIndex = this.#items.length
    this.#items.push(item)
    this.#up(item.heapIndex)
  }

  delete(item: T): void {
    const index = item.heapIndex
    if (index < 0) return
    item.heapIndex = -1
    const last = this.#items.pop()!
    if (last === item) return
    this.#items[index] = last
    last.heapIndex = index
    this.#up(index)
    this.#down(last.heapIndex)
  }

  /** The earliest item, taken out, if it is due. The caller sets its next deadline. */
  popDue(now: Instant): T | undefined {
    const first = this.#items[0]
    if (first === undefined || first.heapAt > now) return undefined
    this.delete(first)
    return first
  }

  /** Never later than any deadline set. */
  earliest(): Instant | undefined {
    return this.#items[0]?.heapAt
  }

  #up(start: number): void {
    let index = start
    const item = this.#items[index]!
    while (index > 0) {
      const parent = (index - 1) >> 1
      const above = this.#items[parent]!
      if (above.heapAt <= item.heapAt) break
      this.#items[index] = above
      above.heapIndex = index
      index = parent
    }
    this.#items[index] = item
    item.heapIndex = index
  }

  #down(start: number): void {
    let index = start
    const item = this.#items[index]!
    for (;;) {
      let child = 2 * index + 1
      if (child >= this.#items.length) break
      if (
        child + 1 < this.#items.length &&
        this.#items[child + 1]!.heapAt < this.#items[child]!.heapAt
      )
        child++
      const below = this.#items[child]!
      if (below.heapAt >= item.heapAt) break
      this.#items[index] = below
      below.heapIndex = index
      index = child
    }
    this.#items[index] = item
    item.heapIndex = index
  }
}
