/** Keeps what strangers can cause at will from filling the log. */

export interface LogLimitOptions {
  /** One line per key and so many ms. */
  readonly perKeyMs: number
  /** Keys with a line in that time; more are not logged. */
  readonly keysMax: number
}

export class LogLimit {
  readonly #options: LogLimitOptions
  /** When each key was logged, oldest first. */
  readonly #logged = new Map<number, number>()

  constructor(options: LogLimitOptions) {
    this.#options = options
  }

  /** True when a line may be written now; then it counts as written. */
  take(key: number, now: number): boolean {
    const { perKeyMs, keysMax } = this.#options
    for (const [old, at] of this.#logged) {
      if (now - at < perKeyMs) break
      this.#logged.delete(old)
    }
    if (this.#logged.has(key) || this.#logged.size >= keysMax) return false
    this.#logged.set(key, now)
    return true
  }
}
