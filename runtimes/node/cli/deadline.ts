/** Time limits of commands. */

export class Deadline implements Disposable {
  readonly #controller = new AbortController()
  readonly #timer: NodeJS.Timeout | undefined
  readonly #stop: () => void

  /** Aborts after `ms` (never when it is 0), or with `outer`. */
  constructor(ms: number, outer: AbortSignal) {
    const abort = (): void => this.#controller.abort()
    if (ms > 0) this.#timer = setTimeout(abort, Math.min(ms, 2 ** 31 - 1))
    outer.addEventListener('abort', abort, { once: true })
    if (outer.aborted) abort()
    this.#stop = () => {
      clearTimeout(this.#timer)
      outer.removeEventListener('abort', abort)
    }
  }

  get signal(): AbortSignal {
    return this.#controller.signal
  }

  get isOver(): boolean {
    return this.#controller.signal.aborted
  }

  [Symbol.dispose](): void {
    this.#stop()
  }
}
