/** What HTTP tells of a rendezvous, made anew no more often than it is worth. */
import type { RendezvousView } from './app.ts'
import {
  prometheusText,
  type RegistryStats,
  registryStats,
  type StatisticsSources,
} from './statistics.ts'

/** Statistics are made anew at most this often, and at most for 2 % of the time. */
const STATS_LIFETIME_MS = 1000
const STATS_LIFETIME_PER_COST = 50

/** `now` is the clock that the sources were made with. */
export function viewOf(
  sources: StatisticsSources,
  now: () => number,
  isHealthy: () => boolean,
): RendezvousView {
  let stats: RegistryStats | undefined
  let staleAt = 0
  return {
    isHealthy,
    metrics: () => prometheusText(sources, now()),
    stats: () => {
      const at = now()
      if (stats !== undefined && at < staleAt) return stats
      stats = registryStats(sources, at)
      const costMs = now() - at
      staleAt = at + Math.max(STATS_LIFETIME_MS, STATS_LIFETIME_PER_COST * costMs)
      return stats
    },
  }
}
