/**
 * Bytes that the streams of a node hold for their readers. Each stream has a limit of its own; this is the one of all, for
 * thousands of streams that nobody reads.
 */
export class MemoryBudget {
  readonly #limitBytes: number
  #usedBytes = 0

  constructor(limitBytes: number) {
    this.#limitBytes = limitBytes
  }

  /** Negative once peers sent into windows that were advertised before. */
  get freeBytes(): number {
    return this.#limitBytes - this.#usedBytes
  }
  get usedBytes(): number {
    return this.#usedBytes
  }

  /** A stream holds so many bytes more, or less. */
  change(bytes: number): void {
    this.#usedBytes += bytes
  }
}
