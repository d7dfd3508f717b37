/** The two clocks of the process. */
import type { RegistryNow } from './registry.ts'

export function now(): RegistryNow {
  return { at: performance.now(), unixSeconds: Math.floor(Date.now() / 1000) }
}
