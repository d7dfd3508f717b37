/**
 * Live interop: our programs against the reference's, as processes on loopback.
 *
 *     npm run build
 *     PILOT_REFERENCE_G1=<folder> PILOT_REFERENCE_G2=<folder> node test/interop/live.ts [words]
 *
 * Each folder holds `daemon` and `pilotctl` of one generation. A generation without a folder is skipped, and said
 * so. With words only the scenarios whose name contains one of them run. `PILOT_INTEROP_KEEP=1` keeps the homes
 * and logs. Exit code 1 when a check failed.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
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
import { type Available, between, pair, type Scenario, services } from './scenarios.ts'

/** Scenarios at the same time: they mostly wait for heartbeats and silence. */
const PARALLEL = 4

function scenariosOf(available: Available): Scenario[] {
  const ours = { kind: 'ours' } as const
  const scenarios: Scenario[] = []
  for (const kind of GENERATIONS) {
    if (available[kind] === undefined) continue
    for (const isPublic of [true, false])
      scenarios.push(
        pair(available, { kind }, ours, isPublic),
        pair(available, { kind: 'ours', pilotctl: kind }, { kind }, isPublic),
      )
    scenarios.push(
      services(available, { kind }, ours),
      services(available, { kind: 'ours', pilotctl: kind }, { kind, pilotctl: 'ours' }),
    )
  }
  if (available.G1 !== undefined && available.G2 !== undefined)
    for (const isPublic of [true, false]) scenarios.push(between(available, isPublic))
  for (const isPublic of [true, false]) scenarios.push(pair(available, ours, ours, isPublic))
  scenarios.push(services(available, ours, ours))
  return scenarios
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
  const scenarios = scenariosOf({ ...found, ours: ourPrograms() }).filter(
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
