/** Serial number arithmetic on uint32 sequence numbers (RFC 1982, spec/03 §1). */

export function serialAdd(a: number, n: number): number {
  return (a + n) >>> 0
}

/** Signed distance from `b` to `a`: positive when `a` is after `b`, in -2^31..2^31-1. */
export function serialDistance(a: number, b: number): number {
  return (a - b) | 0
}

/** Whether `a` is after `b`. */
export function serialAfter(a: number, b: number): boolean {
  return ((a - b) | 0) > 0
}

/** Whether `a` is after `b`, or the same. */
export function serialAtOrAfter(a: number, b: number): boolean {
  return ((a - b) | 0) >= 0
}
