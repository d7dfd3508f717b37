/** How fast something goes and when it will be done, over the last few seconds. */

const WINDOW_MS = 4000
const POINTS_MAX = 100

export class Progress {
  readonly #total: number
  #points: { readonly at: number; readonly bytes: number }[] = []

  constructor(total: number) {
    this.#total = total
  }

  /** `at` in ms, monotonic; `bytes` done by then. */
  add(at: number, bytes: number): void {
    const points = this.#points
    const last = points.at(-1)
    // Dense news would push the window's beginning out.
    if (points.length > 1 && last !== undefined && at - last.at < WINDOW_MS / POINTS_MAX)
      points.pop()
    points.push({ at, bytes })
    while (points.length > 2 && at - points[0]!.at > WINDOW_MS) points.shift()
  }

  /** 0 while unknown. */
  get bytesPerSecond(): number {
    const first = this.#points[0]
    const last = this.#points.at(-1)
    if (first === undefined || last === undefined || last.at <= first.at) return 0
    return ((last.bytes - first.bytes) * 1000) / (last.at - first.at)
  }

  /** Infinity while unknown. */
  get secondsLeft(): number {
    const left = this.#total - (this.#points.at(-1)?.bytes ?? 0)
    return left <= 0 ? 0 : left / this.bytesPerSecond
  }
}
