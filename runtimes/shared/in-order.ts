/** Work that is done side by side and delivered strictly in the order it was begun. */

interface Entry<T> {
  isDone: boolean
  result: T | undefined
  readonly deliver: (result: T | undefined) => void
}

export class InOrder<T> {
  readonly #entries: Entry<T>[] = []
  readonly #delivered: () => void
  readonly #max: number

  /** `delivered` is called after each run of deliveries; at most `max` pieces of work are under way. */
  constructor(max: number, delivered: () => void) {
    this.#max = max
    this.#delivered = delivered
  }

  get isEmpty(): boolean {
    return this.#entries.length === 0
  }

  /** False when too much is under way: the piece is dropped. A rejection delivers `undefined`. */
  push(work: Promise<T | undefined>, deliver: (result: T | undefined) => void): boolean {
    if (this.#entries.length >= this.#max) return false
    const entry: Entry<T> = { isDone: false, result: undefined, deliver }
    this.#entries.push(entry)
    const settle = (result: T | undefined): void => {
      entry.isDone = true
      entry.result = result
      this.#flush()
    }
    work.then(settle, () => settle(undefined))
    return true
  }

  #flush(): void {
    let count = 0
    while (this.#entries[0]?.isDone === true) {
      const { deliver, result } = this.#entries.shift()!
      deliver(result)
      count++
    }
    if (count > 0) this.#delivered()
  }
}
