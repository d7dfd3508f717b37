/** What a row of measurements says. */

export interface Summary {
  readonly count: number
  readonly min: number
  readonly p50: number
  readonly p90: number
  readonly p99: number
  readonly max: number
}

/** Counted values above the bound before and up to `upTo`. */
export interface Bucket {
  readonly upTo: number
  readonly count: number
}

/** Buckets per power of ten: each is a quarter wider than the one before. */
const PER_DECADE = 10

/** Nearest rank: a value that was measured, never one in between. `NaN` for none. `sorted` ascends; `share` is 0 to 1. */
export function percentile(sorted: readonly number[], share: number): number {
  return sorted[Math.max(0, Math.ceil(sorted.length * share) - 1)] ?? Number.NaN
}

/** `undefined` when nothing was measured. */
export function summarize(values: readonly number[]): Summary | undefined {
  const sorted = ascending(values)
  const [min] = sorted
  if (min === undefined) return undefined
  return {
    count: sorted.length,
    min,
    p50: percentile(sorted, 0.5),
    p90: percentile(sorted, 0.9),
    p99: percentile(sorted, 0.99),
    max: sorted[sorted.length - 1]!,
  }
}

/** Logarithmic, from the bucket of the smallest value to that of the largest, empty ones between them included. */
export function histogram(values: readonly number[]): readonly Bucket[] {
  const counts = new Map<number, number>()
  for (const value of values) {
    const index = Math.ceil(Math.log10(Math.max(value, 1e-6)) * PER_DECADE - 1e-9)
    counts.set(index, (counts.get(index) ?? 0) + 1)
  }
  const indices = ascending([...counts.keys()])
  const buckets: Bucket[] = []
  for (let i = indices[0] ?? 0; i <= (indices.at(-1) ?? -1); i++)
    buckets.push({ upTo: 10 ** (i / PER_DECADE), count: counts.get(i) ?? 0 })
  return buckets
}

export function ascending(values: readonly number[]): number[] {
  return [...values].sort((a, b) => a - b)
}
