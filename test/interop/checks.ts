/** What the checks are made of: expectations, waiting, and a scenario's name on every check. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { LiveNode } from './live-node.ts'
import type { Report } from './report.ts'

/** Packets of both directions a node may send and receive in two quiet seconds (heartbeats, probes). */
const QUIET_PACKETS_MAX = 50
const QUIET_MS = 2000

/** One scenario's checks. */
export class Checks {
  readonly #report: Report
  readonly #scenario: string

  constructor(report: Report, scenario: string) {
    this.#report = report
    this.#scenario = scenario
  }

  check(name: string, work: () => Promise<string | undefined>): Promise<boolean> {
    return this.#report.check(this.#scenario, name, work)
  }

  /** A check without which the rest of the scenario is pointless. @throws {Error} when it fails. */
  async require(name: string, work: () => Promise<string | undefined>): Promise<void> {
    if (!(await this.check(name, work))) throw new Error(`${name} failed`)
  }

  /** No packet storm: what the nodes count in two seconds without traffic. */
  quiet(after: string, nodes: readonly LiveNode[]): Promise<boolean> {
    return this.check(`quiet after ${after}`, async () => {
      // Closing takes a moment: FIN, its answer, and base's 500 ms before it closes a handshake stream.
      await sleep(700)
      const before = await Promise.all(nodes.map((node) => node.packets()))
      await sleep(QUIET_MS)
      const counts = await Promise.all(
        nodes.map(async (node, i) => (await node.packets()) - before[i]!),
      )
      const text = nodes.map((node, i) => `${node.name} ${counts[i]}`).join(', ')
      if (counts.some((count) => count >= QUIET_PACKETS_MAX))
        throw new Error(`packets in ${QUIET_MS} ms: ${text}`)
      return `packets in 2 s: ${text}`
    })
  }
}

/** @throws {Error} `what`, expected and got. */
export function expectEqual(got: unknown, expected: unknown, what: string): void {
  if (got !== expected)
    throw new Error(`${what}: expected ${JSON.stringify(expected)}, got ${JSON.stringify(got)}`)
}

/**
 * Calls `probe` until it gives something, at most `withinMs`.
 *
 * @throws {Error} with `what` and the last failure of `probe`.
 */
export async function eventually<T>(
  withinMs: number,
  what: string,
  probe: () => Promise<T | undefined | false>,
): Promise<T> {
  const started = performance.now()
  let last = ''
  for (;;) {
    try {
      const found = await probe()
      if (found !== undefined && found !== false) return found
    } catch (error) {
      last = ` (${error instanceof Error ? error.message : String(error)})`
    }
    if (performance.now() - started > withinMs)
      throw new Error(`${what}: not within ${withinMs} ms${last}`)
    await sleep(150)
  }
}

export function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(2)} s`
}
