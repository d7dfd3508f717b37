/** The monotonic clock every runtime has. */
import type { Instant } from '../../core/machine.ts'

export interface Clock {
  now(): Instant
  /** Calls `tick` once at or soon after `at`; returns what cancels it. */
  schedule(at: Instant, tick: () => void): () => void
  /** Calls `tick` once, after what this turn of the event loop still does; returns what cancels it. */
  soon?(tick: () => void): () => void
}

/** Node, Deno and Bun. */
const { setImmediate, clearImmediate } = globalThis as {
  readonly setImmediate?: (tick: () => void) => unknown
  readonly clearImmediate?: (immediate: unknown) => void
}

export const systemClock: Clock = {
  now: () => performance.now(),
  schedule(at, tick) {
    const timer = setTimeout(tick, Math.max(0, Math.ceil(at - performance.now())))
    return () => clearTimeout(timer)
  },
  soon(tick) {
    if (setImmediate === undefined || clearImmediate === undefined) return afterTurn(tick)
    const immediate = setImmediate(tick)
    return () => clearImmediate(immediate)
  },
}

/** A timer of 0 ms is one of 1 to 4 ms in pages; a message is not. */
function afterTurn(tick: () => void): () => void {
  const { port1, port2 } = new MessageChannel()
  let isDone = false
  const end = (): void => {
    isDone = true
    port1.close()
  }
  port1.onmessage = () => {
    if (isDone) return
    end()
    tick()
  }
  port2.postMessage(0)
  return end
}

/** Unix seconds, for signed timestamps only. */
export function unixNow(): number {
  return Math.floor(Date.now() / 1000)
}
