/**
 * Live interop: our programs against the reference's, as processes on loopback.
 *
 *     npm run build
 *     PILOT_REFERENCE_G1=<folder> PILOT_REFERENCE_G2=<folder> node test/interop/live.ts [words]
 *
 * Each folder holds `daemon`, `pilotctl` and `rendezvous` of one generation. A generation without a folder is skipped,
 * and said so; so is the reference's library, a program that `PILOT_REFERENCE_DRIVER` names (official-driver.ts). What
 * cannot work is listed with the reason. With words only the scenarios whose name contains one of them run.
 * `PILOT_INTEROP_KEEP=1` keeps the homes and logs. Exit code 1 when a check failed.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import {
  type Combination,
  combinationName,
  combinations,
  exception,
  leftOut,
} from './combinations.ts'
import { type OfficialDriver, officialDrivers } from './official-driver.ts'
import { killAll } from './processes.ts'
import {
  GENERATIONS,
  type Generation,
  ourPrograms,
  type Programs,
  referenceFolder,
  referencePrograms,
} from './programs.ts'
import { Report } from './report.ts'
import { type Available, between, combination, library, pair, type Scenario } from './scenarios.ts'

/** Scenarios at the same time: they mostly wait for heartbeats and silence. */
const PARALLEL = 4

/** Nodes in depth at our rendezvous, every combination of programs, and the reference's library. */
function scenariosOf(available: Available, drivers: readonly OfficialDriver[]): Scenario[] {
  const ours = { kind: 'ours' } as const
  const scenarios: Scenario[] = []
  for (const kind of GENERATIONS) {
    if (available[kind] === undefined) continue
    for (const isPublic of [true, false])
      scenarios.push(
        pair(available, { kind }, ours, isPublic),
        pair(available, { kind: 'ours', pilotctl: kind }, { kind }, isPublic),
      )
  }
  if (available.G1 !== undefined && available.G2 !== undefined)
    for (const isPublic of [true, false]) scenarios.push(between(available, isPublic))
  for (const isPublic of [true, false]) scenarios.push(pair(available, ours, ours, isPublic))
  for (const one of combinationsOf(available))
    if (exception(one) === undefined) scenarios.push(combination(available, one))
  for (const driver of drivers) scenarios.push(library(available, driver))
  return scenarios
}

function combinationsOf(available: Available): Combination[] {
  return combinations((['ours', ...GENERATIONS] as const).filter((one) => available[one]))
}

/** What is not tried, grouped by the reason. */
function exceptionsOf(available: Available): string {
  const byReason = new Map<string, string[]>()
  const add = (reason: string, one: Combination): void => {
    byReason.set(reason, [...(byReason.get(reason) ?? []), combinationName(one)])
  }
  for (const one of combinationsOf(available)) {
    const reason = exception(one)
    if (reason !== undefined) add(`excepted: ${reason}`, one)
    else for (const [part, why] of leftOut(one)) add(`without ${part}: ${why}`, one)
  }
  return [...byReason].map(([reason, names]) => `${reason}\n  ${names.join('\n  ')}`).join('\n')
}

async function main(words: readonly string[]): Promise<number> {
  const found: Partial<Record<Generation, Programs>> = {}
  for (const generation of GENERATIONS) {
    const reference = referenceFolder(generation)
    if ('folder' in reference) found[generation] = referencePrograms(reference.folder)
    else console.log(`skipped: everything with ${generation} (${reference.missing})`)
  }
  // Without a reference there is no interop to check.
  if (Object.keys(found).length === 0) return 0
  const drivers = await officialDrivers()
  if (typeof drivers === 'string') console.log(`skipped: the reference's library (${drivers})`)
  const available = { ...found, ours: ourPrograms() }
  const scenarios = scenariosOf(available, typeof drivers === 'string' ? [] : drivers).filter(
    ({ name }) => words.length === 0 || words.some((word) => name.includes(word)),
  )
  const folder = mkdtempSync(join(tmpdir(), 'pilot-live-'))
  const report = new Report((line) => console.log(line))
  const started = performance.now()
  try {
    const waiting = scenarios.entries()
    const work = async (): Promise<void> => {
      for (const [i, scenario] of waiting) {
        const began = performance.now()
        await scenario.run(report, join(folder, `${i}`))
        console.log(`----  ${scenario.name}: ${seconds(performance.now() - began)}`)
      }
    }
    await Promise.all(Array.from({ length: PARALLEL }, work))
  } finally {
    killAll()
    if (process.env.PILOT_INTEROP_KEEP) console.log(`kept: ${folder}`)
    else rmSync(folder, { recursive: true, force: true })
  }
  const { entries, failures } = report
  console.log(`\n${report.table()}\n`)
  if (words.length === 0) console.log(`${exceptionsOf(available)}\n`)
  console.log(
    `${scenarios.length} scenarios, ${entries.length} checks, ${failures.length} failed, ${seconds(performance.now() - started)}`,
  )
  return failures.length === 0 && entries.length > 0 ? 0 : 1
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(1)} s`
}

for (const signal of ['SIGINT', 'SIGTERM'] as const)
  process.once(signal, () => {
    killAll()
    process.exit(130)
  })
process.on('exit', killAll)
process.exitCode = await main(process.argv.slice(2))
