/** Segments sent again, in the order in which they were: (index, order) pairs in a ring that is reused. */
const NONE = new Float64Array(0)

export class Retransmissions {
  #pairs = NONE
  #head = 0
  #tail = 0

  get isEmpty(): boolean {
    return this.#head === this.#tail
  }
  /** Index of the segment sent again first, and the order of that transmission. */
  get index(): number {
    return this.#pairs[2 * (this.#head & this.#mask)]!
  }
  get order(): number {
    return this.#pairs[2 * (this.#head & this.#mask) + 1]!
  }

  push(index: number, order: number): void {
    if (2 * (this.#tail - this.#head) === this.#pairs.length) this.#grow()
    const at = 2 * (this.#tail++ & this.#mask)
    this.#pairs[at] = index
    this.#pairs[at + 1] = order
  }

  shift(): void {
    this.#head++
  }

  /** Forgets all, and lets a large ring go. */
  clear(): void {
    this.#pairs = NONE
    this.#head = this.#tail = 0
  }

  get #mask(): number {
    return this.#pairs.length / 2 - 1
  }

  #grow(): void {
    const count = this.#tail - this.#head
    const pairs = new Float64Array(Math.max(32, this.#pairs.length * 2))
    for (let i = 0; i < count; i++) {
      const from = 2 * ((this.#head + i) & this.#mask)
      pairs[2 * i] = this.#pairs[from]!
      pairs[2 * i + 1] = this.#pairs[from + 1]!
    }
    this.#pairs = pairs
    this.#head = 0
    this.#tail = count
  }
}
