/** `npm run bench`: see README.md beside this. */
import { mkdir, writeFile } from 'node:fs/promises'
import { cpus, release, type } from 'node:os'
import { fileURLToPath } from 'node:url'
import { createRendezvous } from '../../signaling/index.ts'
import { selfSignedCertificate } from '../../signaling/serve-certificate.ts'
import { killAll } from '../interop/processes.ts'
import type { Figures } from './channel.ts'
import { measureCommands, programsOf } from './commands.ts'
import { compile } from './compile.ts'
import { type Kind, measure } from './measure.ts'
import { HELP, type Options, parseOptions } from './options.ts'
import { installPeers } from './peers.ts'
import { comparisons } from './report/comparisons.ts'
import { page } from './report/page.ts'
import type { Result } from './report/result.ts'
import { comparisonTable, figureTable } from './report/table.ts'
import { ROWS, type Row, rowsOf } from './systems.ts'

const root = new URL('../../', import.meta.url).href

function say(text: string): void {
  process.stderr.write(`${text}\n`)
}

async function run(options: Options, rows: readonly Row[]): Promise<Result> {
  const programs = await compile(root)
  const missing = new Map<string, string>()
  if (rows.some(({ module }) => module.startsWith('peers/'))) {
    const failed = await installPeers(say)
    for (const { id, module } of rows)
      if (failed !== undefined && module.startsWith('peers/')) missing.set(id, failed)
  }
  for (const { id, commands } of rows) {
    const found = commands === undefined ? undefined : programsOf(commands)
    if (typeof found === 'string') missing.set(id, found)
  }
  const rendezvous = await createRendezvous({
    registryAddress: '127.0.0.1:0',
    beaconAddress: '127.0.0.1:0',
    limits: { registrationsPerMinute: 100_000 },
  })
  const common = {
    root,
    ...selfSignedCertificate(Date.now()),
    registry: `127.0.0.1:${rendezvous.registryEndpoint.port}`,
    beacon: `127.0.0.1:${rendezvous.beaconEndpoint.port}`,
    amount: options.amount,
  }
  const one = (row: Row, kind: Kind): Promise<Figures> =>
    row.commands === undefined
      ? measure(row, kind, common, programs)
      : measureCommands(row.commands, say)
  const figures: Record<string, Record<string, number[]>> = {}
  const startedAt = new Date()
  try {
    // Everything once, then everything again: what else the machine does meets all alike.
    for (let count = 1; count <= options.runs; count++)
      for (const row of rows) {
        if (missing.has(row.id)) continue
        const kinds = kindsOf(row, options)
        for (const kind of kinds) {
          say(`run ${count} of ${options.runs}: ${row.title}${kind === 'memory' ? ', memory' : ''}`)
          try {
            collect(figures, row.id, await one(row, kind))
          } catch (error) {
            const why = (error as Error).message
            say(`  failed: ${why}`)
            if (figures[row.id] === undefined) missing.set(row.id, why.split('\n')[0] ?? '')
          }
        }
      }
  } finally {
    await rendezvous.close()
  }
  return {
    startedAt: startedAt.toISOString(),
    seconds: (Date.now() - startedAt.getTime()) / 1000,
    machine: `${type()} ${release()}, ${cpus().length} × ${cpus()[0]?.model ?? 'CPU'}`,
    node: process.version,
    runs: options.runs,
    amount: options.amount,
    isQuick: options.isQuick,
    rows: rows.map(({ id, title, group, encryption }) => ({ id, title, group, encryption })),
    missing: Object.fromEntries(missing),
    figures,
  }
}

function kindsOf({ group, commands }: Row, { hasMemory }: Options): Kind[] {
  const hasOnlySpeed = group === 'ceiling' || commands !== undefined
  return hasMemory && !hasOnlySpeed ? ['speed', 'memory'] : ['speed']
}

function collect(all: Result['figures'], id: string, figures: Figures): void {
  all[id] ??= {}
  for (const [name, value] of Object.entries(figures)) {
    all[id][name] ??= []
    all[id][name].push(value)
  }
}

async function main(): Promise<number> {
  let options: Options
  let rows: Row[]
  try {
    options = parseOptions(process.argv.slice(2))
    rows = rowsOf(options.only)
  } catch (error) {
    console.error(`${(error as Error).message}\n\n${HELP}`)
    return 2
  }
  if (options.show === 'help') console.log(HELP)
  if (options.show === 'list')
    for (const { id, group, title } of ROWS)
      console.log(`${id.padEnd(18)}${group.padEnd(11)}${title}`)
  if (options.show !== undefined) return 0
  const result = await run(options, rows)
  console.log(`\n${figureTable(result)}\n`)
  const against = comparisons(result)
  if (against.length > 0) console.log(`${comparisonTable(against)}\n`)
  for (const [id, why] of Object.entries(result.missing)) console.log(`left out: ${id}: ${why}`)
  const directory = new URL('results/', import.meta.url)
  await mkdir(directory, { recursive: true })
  const name = result.startedAt.replaceAll(':', '-').replace(/\..*/, '')
  const [json, html] = [new URL(`${name}.json`, directory), new URL(`${name}.html`, directory)]
  await writeFile(json, `${JSON.stringify(result, undefined, 2)}\n`)
  await writeFile(html, page(result))
  console.log(`\n${Math.round(result.seconds)} s; ${fileURLToPath(json)}, ${fileURLToPath(html)}`)
  return 0
}

for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(130))
process.on('exit', killAll)
process.exitCode = await main()
