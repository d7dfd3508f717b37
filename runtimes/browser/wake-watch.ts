/** Notices that the machine slept: a timer that fires much too late, or a wall clock that jumped ahead of it. */

const INTERVAL_MS = 1000

export interface WakeWatchOptions {
  /** What browsers delay timers by for reasons of their own, on this thread. */
  readonly toleranceMs: number
  readonly onwake: (sleptMs: number) => void
  /** Wall clock in ms: the monotonic one stands still during sleep on some systems. Default `Date.now`. */
  readonly now?: () => number
  /** Default 1000. */
  readonly intervalMs?: number
}

export class WakeWatch {
  readonly #timer: ReturnType<typeof setInterval>

  constructor({
    toleranceMs,
    onwake,
    now = () => Date.now(),
    intervalMs = INTERVAL_MS,
  }: WakeWatchOptions) {
    let last = now()
    this.#timer = setInterval(() => {
      const at = now()
      const sleptMs = at - last - intervalMs
      last = at
      if (sleptMs > toleranceMs) onwake(sleptMs)
    }, intervalMs)
  }

  stop(): void {
    clearInterval(this.#timer)
  }
}
