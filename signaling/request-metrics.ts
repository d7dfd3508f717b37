/** Counts of registry requests by type (spec/04 §17). Types nobody knows share one label (§22 W16). */
import { REGISTRY_REQUEST_TYPES } from './registry.ts'

/** Upper bounds of the duration histogram in seconds; one more bucket takes the rest. */
export const DURATION_BOUNDS: readonly number[] = [
  0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1,
]
const OTHER = 'other'

export interface TypeMetrics {
  requests: number
  errors: number
  seconds: number
  /** Not cumulative, one per bound and one above. */
  readonly buckets: number[]
}

export class RequestMetrics {
  readonly #byType = new Map<string, TypeMetrics>()
  #requests = 0

  constructor() {
    for (const type of [...REGISTRY_REQUEST_TYPES, OTHER].sort())
      this.#byType.set(type, {
        requests: 0,
        errors: 0,
        seconds: 0,
        buckets: new Array<number>(DURATION_BOUNDS.length + 1).fill(0),
      })
  }

  observe(type: unknown, isError: boolean, seconds: number): void {
    const metrics =
      (typeof type === 'string' ? this.#byType.get(type) : undefined) ?? this.#byType.get(OTHER)!
    this.#requests++
    metrics.requests++
    if (isError) metrics.errors++
    metrics.seconds += seconds
    const bucket = DURATION_BOUNDS.findIndex((bound) => seconds <= bound)
    metrics.buckets[bucket < 0 ? DURATION_BOUNDS.length : bucket]!++
  }

  get total(): number {
    return this.#requests
  }

  /** Requests of this type that succeeded. */
  succeeded(type: string): number {
    const { requests, errors } = this.#byType.get(type)!
    return requests - errors
  }

  /** Sorted by type; only those ever seen. */
  *seen(): IterableIterator<readonly [string, TypeMetrics]> {
    for (const entry of this.#byType) if (entry[1].requests > 0) yield entry
  }
}
