/**
 * Tells when an outlet that queues (a WebSocket, a data channel) has enough to do, and when there is room again:
 * what waits inside the node can still take another path, and is not late when it leaves.
 */

/** Outlets tell nothing when they drain, or not all of them. */
const POLL_MS = 2

export interface SendGaugeOptions {
  /** Full above `highBytes`, has room again from `lowBytes` down. */
  readonly highBytes: number
  readonly lowBytes: number
  /** Bytes that wait in the outlet. */
  readonly buffered: () => number
  readonly onchange: (isFull: boolean) => void
}

export class SendGauge {
  readonly #options: SendGaugeOptions
  /** On their way to the outlet, e.g. being sealed. */
  #announced = 0
  /** The outlet holds no more than this: what it held when it was last asked, which costs, and what was sent since. */
  #atMost = 0
  #isFull = false
  #timer: ReturnType<typeof setTimeout> | undefined

  constructor(options: SendGaugeOptions) {
    this.#options = options
  }

  /** Bytes will be handed to the outlet soon, or (negative) no more: they were, or were dropped. */
  announce(bytes: number): void {
    this.#announced += bytes
    this.check()
  }

  /** Bytes were handed to the outlet. */
  sent(bytes: number): void {
    this.#atMost += bytes
    this.check()
  }

  /** To be called when the outlet tells that it drained. */
  check(): void {
    const { highBytes, lowBytes, buffered, onchange } = this.#options
    if (!this.#isFull && this.#announced + this.#atMost <= highBytes) return
    this.#atMost = buffered()
    const waiting = this.#announced + this.#atMost
    if (waiting > (this.#isFull ? lowBytes : highBytes)) {
      this.#timer ??= setTimeout(() => {
        this.#timer = undefined
        this.check()
      }, POLL_MS)
      if (this.#isFull) return
      this.#isFull = true
      onchange(true)
    } else if (this.#isFull) {
      this.#isFull = false
      clearTimeout(this.#timer)
      this.#timer = undefined
      onchange(false)
    }
  }

  /** The outlet is gone, or starts over with nothing in it. */
  reset(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
    this.#atMost = 0
    const wasFull = this.#isFull
    this.#isFull = false
    if (wasFull) this.#options.onchange(false)
  }
}
