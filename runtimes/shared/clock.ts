/** The monotonic clock every runtime has. */
import type { Instant } from '../../core/machine.ts'

export interface Clock {
  now(): Instant
  /** Calls `tick` once at or soon after `at`; returns what cancels it. */
  schedule(at: Instant, tick: () => void): () => void
}

export const systemClock: Clock = {
  now: () => performance.now(),
  schedule(at, tick) {
    const timer = setTimeout(tick, Math.max(0, Math.ceil(at - performance.now())))
    return () => clearTimeout(timer)
  },
}

/** Unix seconds, for signed timestamps only. */
export function unixNow(): number {
  return Math.floor(Date.now() / 1000)
}
