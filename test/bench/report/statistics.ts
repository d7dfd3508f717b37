/** Medians and spread. */
export interface Spread {
  readonly median: number
  readonly min: number
  readonly max: number
}

/** The value that `share` (0..1) of the others do not pass; `NaN` of none. */
export function quantile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN
}

/** `undefined` where nothing was measured. */
export function spread(values: readonly number[] | undefined): Spread | undefined {
  const known = values?.filter((value) => Number.isFinite(value)) ?? []
  if (known.length === 0) return undefined
  return { median: quantile(known, 0.5), min: Math.min(...known), max: Math.max(...known) }
}

/** Three or four digits that count. */
export function shown(value: number): string {
  const size = Math.abs(value)
  if (!Number.isFinite(value)) return '-'
  if (size >= 100) return Math.round(value).toLocaleString('en-US')
  return value.toFixed(size >= 10 ? 1 : 2)
}
