/**
 * The conformance suite in every runtime that is installed, each in processes of its own against one rendezvous, and
 * then every runtime to every other. Prints both tables; ends with 1 when a cell failed, with 77 when all that ran
 * passed and a runtime is missing. With an argument, e.g. `node,deno`, only in these.
 */
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { extrasOf } from './extras.ts'
import { type Launch, Runner, type Worker } from './runner.ts'
import type { ScenarioResult } from './suite.ts'
import type { TransferOutcome, WorkerSettings } from './worker.ts'

type Transport = WorkerSettings['transport']

const TRANSPORTS: readonly Transport[] = ['udp', 'compat']
const SKIPPED = 77

const bin = join(import.meta.dirname, '../../node_modules/.bin')
const file = (name: string): string => join(import.meta.dirname, name)

const only = process.argv[2]

const RUNTIMES: Readonly<Record<string, (home: string) => Launch>> = {
  node: () => ({ command: process.execPath, arguments: [file('worker-node.ts')] }),
  deno: (home) => ({
    command: join(bin, 'deno'),
    arguments: [
      'run',
      '--no-prompt',
      '--unstable-net',
      // Every permission that is documented, and no other.
      '--allow-net=127.0.0.1',
      `--allow-read=${home}`,
      `--allow-write=${home}`,
      file('worker-deno.ts'),
    ],
  }),
  bun: () => ({ command: join(bin, 'bun'), arguments: ['run', file('worker-bun.ts')] }),
  workerd: () => ({ command: process.execPath, arguments: [file('worker-workerd.ts')] }),
}

/** There is no UDP in workers. */
const WITHOUT_UDP: ReadonlySet<string> = new Set(['workerd'])

const failures: string[] = []
const missing: string[] = []
const home = mkdtempSync(join(tmpdir(), 'pilot-conformance-'))
const runner = await Runner.start(home)
try {
  const installed = Object.entries(RUNTIMES).filter(([name, launch]) => {
    if (only !== undefined && !only.split(',').includes(name)) return false
    const { command } = launch(home)
    const isThere = spawnSync(command, ['--version'], { timeout: 20_000 }).status === 0
    if (!isThere) missing.push(name)
    return isThere
  })
  const kinds = installed.flatMap(([runtime, launch]) =>
    TRANSPORTS.filter((one) => one !== 'udp' || !WITHOUT_UDP.has(runtime)).map((transport) => ({
      runtime,
      transport,
      name: `${runtime}-${transport}`,
      launch: launch(home),
    })),
  )
  await suites(kinds)
  await matrix(kinds)
  await extras(new Map(kinds.map(({ runtime, launch }) => [runtime, launch.command])))
} finally {
  await runner.close()
  rmSync(home, { recursive: true, force: true })
}
for (const name of missing) console.log(`skipped: ${name} is not installed (npm run setup)`)
for (const failure of failures) console.log(`FAILED ${failure}`)
process.exitCode = failures.length > 0 ? 1 : missing.length > 0 ? SKIPPED : 0

interface Kind {
  readonly runtime: string
  readonly transport: Transport
  readonly name: string
  readonly launch: Launch
}

/** One after the other: each restarts the rendezvous. */
async function suites(kinds: readonly Kind[]): Promise<void> {
  const columns = new Map<string, readonly ScenarioResult[]>()
  for (const { name, transport, launch } of kinds) {
    const worker = runner.launch(launch, { mode: 'suite', transport, name })
    try {
      const { results } = await worker.report('suite')
      columns.set(name, results)
      for (const { name: scenario, failure } of results)
        if (failure !== '') failures.push(`${name}, ${scenario}: ${failure}`)
      if (!(await worker.ends())) failures.push(`${name}: the process does not end by itself`)
    } catch (error) {
      failures.push(String(error))
    }
    await worker.stop()
  }
  const scenarios = new Set([...columns.values()].flatMap((one) => one.map(({ name }) => name)))
  print('conformance, ms', [...scenarios], [...columns.keys()], (scenario, column) => {
    const result = columns.get(column)?.find(({ name }) => name === scenario)
    return result === undefined ? '-' : result.failure === '' ? String(result.ms) : 'FAIL'
  })
}

/** Message and 8 MiB there and back, from every kind to every kind of another runtime. */
async function matrix(kinds: readonly Kind[]): Promise<void> {
  const peers = new Map<string, { readonly worker: Worker; readonly nodeId: number }>()
  for (const { name, transport, launch } of kinds) {
    const worker = runner.launch(launch, { mode: 'peer', transport, name: `${name}-peer` })
    try {
      peers.set(name, { worker, nodeId: (await worker.report('ready')).nodeId })
    } catch (error) {
      failures.push(String(error))
    }
  }
  const cells = new Map<string, TransferOutcome>()
  for (const from of kinds)
    for (const to of kinds) {
      const [dialer, target] = [peers.get(from.name), peers.get(to.name)]
      if (from.runtime === to.runtime || dialer === undefined || target === undefined) continue
      const key = `${from.name} to ${to.name}`
      try {
        dialer.worker.command({ type: 'dial', nodeId: target.nodeId })
        const { outcome } = await dialer.worker.report('transfer')
        cells.set(key, outcome)
        if (outcome.failure !== '') failures.push(`${key}: ${outcome.failure}`)
      } catch (error) {
        failures.push(`${key}: ${String(error)}`)
      }
    }
  for (const { worker } of peers.values()) worker.command({ type: 'end' })
  for (const [name, { worker }] of peers)
    if (!(await worker.ends())) failures.push(`${name}: the process does not end by itself`)
  const names = kinds.map(({ name }) => name)
  print('from (row) to (column): path, MB/s of 8 MiB there and back', names, names, (from, to) => {
    const cell = cells.get(`${from} to ${to}`)
    if (cell === undefined) return '-'
    return cell.failure === '' ? `${cell.path} ${cell.megabytesPerSecond.toFixed(0)}` : 'FAIL'
  })
}

async function extras(commands: ReadonlyMap<string, string>): Promise<void> {
  console.log('')
  const all = extrasOf({ home, ...runner.places, command: (runtime) => commands.get(runtime) })
  for (const [name, run] of all) {
    const outcome = await run().then(
      () => 'ok',
      (error: unknown) => {
        failures.push(`${name}: ${String(error)}`)
        return 'FAIL'
      },
    )
    console.log(`${outcome.padEnd(6)}${name}`)
  }
}

function print(
  title: string,
  rows: readonly string[],
  columns: readonly string[],
  cell: (row: string, column: string) => string,
): void {
  const width = Math.max(12, ...columns.map((column) => column.length + 2))
  const first = Math.max(4, ...rows.map((row) => row.length)) + 2
  console.log(`\n${title}`)
  console.log(''.padEnd(first) + columns.map((column) => column.padStart(width)).join(''))
  for (const row of rows)
    console.log(
      row.padEnd(first) + columns.map((column) => cell(row, column).padStart(width)).join(''),
    )
}
