/**
 * Who ended trust a moment ago. The reference tells the registry first and the peer second, and has to resolve
 * the peer anew for that (spec/03 §D.3): were it refused, a private peer would never hear of the end. It
 * learns nothing by it that it did not know; the peer it left cannot resolve it any more.
 */
import type { Instant } from '../core/machine.ts'
import { FAREWELL_MS, FAREWELLS_MAX } from './limits.ts'

export class Farewells {
  /** Ends of the grace, oldest first, by `<leaving node>:<peer>`. */
  readonly #until = new Map<string, Instant>()

  add(from: number, to: number, at: Instant): void {
    const key = `${from}:${to}`
    this.#until.delete(key)
    this.#until.set(key, at + FAREWELL_MS)
    for (const [oldest, until] of this.#until) {
      if (this.#until.size <= FAREWELLS_MAX && at < until) return
      this.#until.delete(oldest)
    }
  }

  has(from: number, to: number, at: Instant): boolean {
    const until = this.#until.get(`${from}:${to}`)
    return until !== undefined && at < until
  }
}
