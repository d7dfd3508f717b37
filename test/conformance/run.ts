/**
 * The conformance suite in every runtime that is installed, each in processes or pages of its own, and then every
 * runtime to every other. Prints both tables; ends with 1 when a cell failed, with 77 when all that ran passed and a
 * runtime is missing. With an argument, e.g. `node,deno`, only in these. `--markdown` writes the tables into README.md
 * here.
 *
 * All of it runs in a network namespace of its own, which browsers need for WebRTC (test/browser/namespace.mjs).
 */
import { spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { inNamespace, namespaceHindrance, prepareBrowsers } from '../browser/namespace.mjs'
import { extrasOf } from './extras.ts'
import { NodeHost, type RendezvousHost, WorkerdHost } from './hosts.ts'
import { BrowserHost, isInstalled, type PageFiles, pageFiles } from './pages.ts'
import { type Launch, type OpenPage, Runner, type Worker } from './runner.ts'
import { BROWSER_NAMES, KIND_NAMES, PROCESSES, TRANSPORTS, type Transport } from './runtimes.ts'
import type { ScenarioResult } from './suite.ts'
import { asText, commit, Notes, type Table } from './tables.ts'
import type { TransferOutcome } from './worker.ts'

const SKIPPED = 77
const RUN_MS = 8 * 60_000
/** Set inside of the namespace. */
const INSIDE = 'PILOT_CONFORMANCE_NAMESPACE'

const { values: flags, positionals } = parseArgs({
  options: { markdown: { type: 'boolean', default: false } },
  allowPositionals: true,
})
const only = positionals[0]?.split(',')
const wanted = (name: string): boolean => only === undefined || only.includes(name)

interface Kind {
  readonly runtime: string
  readonly transport: Transport
  readonly name: string
  readonly launch: Launch | OpenPage
}

interface Peer {
  readonly worker: Worker
  readonly nodeId: number
  readonly hasWebRtc: boolean
}

const failures: string[] = []
const missing: string[] = []
const notes = new Notes()
/** Why a runtime cannot be what a name says, in its own words. */
const reasons = new Map<string, string>()
const tables: Table[] = []

process.exitCode = process.env[INSIDE] === undefined ? await enter() : await main()

function enter(): number | Promise<number> {
  const hindrance = namespaceHindrance()
  if (hindrance === undefined) {
    if (BROWSER_NAMES.some(wanted)) prepareBrowsers()
    const status = inNamespace(([command = '', ...prefix]) => {
      const args = [...prefix, process.execPath, ...process.argv.slice(1)]
      const env = { ...process.env, [INSIDE]: 'yes' }
      return spawnSync(command, args, { stdio: 'inherit', env, timeout: RUN_MS }).status ?? 1
    })
    if (status !== undefined) return status
  }
  for (const name of BROWSER_NAMES.filter(wanted))
    missing.push(`${name}: ${hindrance ?? 'network namespaces are not permitted here'}`)
  return main()
}

async function main(): Promise<number> {
  const home = mkdtempSync(join(tmpdir(), 'pilot-conformance-'))
  const browsers = new BrowserHost()
  const hasPages = process.env[INSIDE] !== undefined && BROWSER_NAMES.some(wanted)
  const files: PageFiles = hasPages ? await pageFiles() : new Map()
  const runner = await Runner.start(home, await NodeHost.start(home), files)
  try {
    const processes = processesIn(home)
    const pages = BROWSER_NAMES.filter((name) => {
      if (!hasPages || !wanted(name)) return false
      if (!isInstalled(name)) missing.push(`${name} is not installed`)
      return isInstalled(name)
    })
    const launches: readonly (readonly [string, Launch | OpenPage])[] = [
      ...processes,
      ...pages.map((name) => [name, browsers.opener(name)] as const),
    ]
    const kinds = launches.flatMap(([runtime, launch]) =>
      TRANSPORTS.map(
        (transport): Kind => ({ runtime, transport, name: `${runtime}-${transport}`, launch }),
      ),
    )
    await suites({ title: 'Conformance, ms', home, files, kinds, host: NodeHost })
    await matrix(runner, kinds, 'From (row) to (column): path, MB/s of 8 MiB there and back')
    if (wanted('workerd')) await atWorkerd(home, kinds)
    for (const line of notes.lines) console.log(line)
    await extras(runner, home, processes)
  } finally {
    await runner.close()
    await browsers.close()
    rmSync(home, { recursive: true, force: true })
  }
  for (const name of missing) console.log(`skipped: ${name}`)
  for (const failure of failures) console.log(`FAILED ${failure}`)
  if (failures.length > 0) return 1
  if (flags.markdown) {
    const shown = new Set(tables.flatMap(({ columns }) => columns))
    if (KIND_NAMES.every((name) => shown.has(name))) commit(tables, notes)
    else console.log('README.md is left alone: not every runtime ran')
  }
  return missing.length > 0 ? SKIPPED : 0
}

function processesIn(home: string): ReadonlyMap<string, Launch> {
  const installed = Object.entries(PROCESSES)
    .map(([name, launch]) => [name, launch(home)] as const)
    .filter(([name, { command }]) => {
      if (!wanted(name)) return false
      const isThere = spawnSync(command, ['--version'], { timeout: 20_000 }).status === 0
      if (!isThere) missing.push(`${name} is not installed (npm run setup)`)
      return isThere
    })
  return new Map(installed)
}

/** The same of the processes without UDP, where the rendezvous is a worker. */
async function atWorkerd(parent: string, all: readonly Kind[]): Promise<void> {
  const home = join(parent, 'at-workerd')
  mkdirSync(home)
  const kinds = all.filter(
    ({ launch, transport }) => transport === 'compat' && typeof launch !== 'function',
  )
  const title = 'Conformance at a rendezvous in workerd, ms'
  await suites({ title, home, files: new Map(), kinds, host: WorkerdHost })
  const runner = await Runner.start(home, await WorkerdHost.start(home))
  try {
    await matrix(runner, kinds, 'At a rendezvous in workerd: path, MB/s of 8 MiB there and back')
  } finally {
    await runner.close()
  }
}

interface SuitesOptions {
  readonly title: string
  readonly home: string
  readonly files: PageFiles
  readonly kinds: readonly Kind[]
  readonly host: { start(home: string): Promise<RendezvousHost> }
}

/** Each with a rendezvous of its own, which it restarts. */
async function suites({ title, home, files, kinds, host }: SuitesOptions): Promise<void> {
  const columns = new Map<string, readonly ScenarioResult[]>()
  await inPairs(kinds, async ({ name, transport, launch }) => {
    const directory = join(home, name)
    mkdirSync(directory)
    const runner = await Runner.start(directory, await host.start(directory), files)
    const worker = runner.launch(launch, { mode: 'suite', transport, name })
    try {
      const report = await worker.report('suite', 'cannot')
      if (report.type === 'cannot') reasons.set(name, report.reason)
      else {
        columns.set(name, report.results)
        for (const { name: scenario, failure } of report.results)
          if (failure !== '') failures.push(`${name}, ${scenario}: ${failure}`)
      }
      if (!(await worker.ends())) failures.push(`${name}: it does not end by itself`)
    } catch (error) {
      failures.push(String(error))
    }
    await runner.close()
  })
  const scenarios = new Set([...columns.values()].flatMap((one) => one.map(({ name }) => name)))
  print({
    title,
    rows: [...scenarios],
    columns: kinds.map(({ name }) => name),
    cell: (scenario, column) => {
      const result = columns.get(column)?.find(({ name }) => name === scenario)
      if (result === undefined) return unable(column) ?? 'FAIL'
      return result.failure === '' ? String(result.ms) : 'FAIL'
    },
  })
}

/** Message and 8 MiB there and back, from every kind to every kind. */
async function matrix(runner: Runner, kinds: readonly Kind[], title: string): Promise<void> {
  const peers = await startPeers(runner, kinds)
  const cells = new Map<string, TransferOutcome>()
  for (const [from, dialer] of peers)
    for (const [to, target] of peers) {
      const key = `${from} to ${to}`
      try {
        // Which one it is can be known only where there is an interface for WebRTC.
        const isKnown = from !== to && process.env[INSIDE] !== undefined
        const path = isKnown ? { path: pathBetween(from, dialer, to, target) } : {}
        dialer.worker.command({ type: 'dial', nodeId: target.nodeId, ...path })
        const { outcome } = await dialer.worker.report('transfer')
        cells.set(key, outcome)
        const expected = from === to ? 'ERR_DIAL_SELF' : ''
        if (outcome.failure !== expected) failures.push(`${key}: ${outcome.failure}`)
      } catch (error) {
        failures.push(`${key}: ${String(error)}`)
      }
    }
  for (const { worker } of peers.values()) worker.command({ type: 'end' })
  for (const [name, { worker }] of peers)
    if (!(await worker.ends())) failures.push(`${name}: it does not end by itself`)
  const names = kinds.map(({ name }) => name)
  print({
    title,
    rows: names,
    columns: names,
    cell: (from, to) => {
      const cell = cells.get(`${from} to ${to}`)
      if (cell === undefined) return unable(from) ?? unable(to) ?? 'FAIL'
      if (cell.failure === '') return `${cell.path} ${cell.megabytesPerSecond.toFixed(0)}`
      const self = `${cell.failure}: one node; two of a runtime talk in the table above`
      return from === to && cell.failure === 'ERR_DIAL_SELF' ? notes.mark(self) : 'FAIL'
    },
  })
}

/** Started once, and each trusted by every other. */
async function startPeers(
  runner: Runner,
  kinds: readonly Kind[],
): Promise<ReadonlyMap<string, Peer>> {
  const peers = new Map<string, Peer>()
  for (const { name, transport, launch } of kinds) {
    if (reasons.has(name)) continue
    const worker = runner.launch(launch, { mode: 'peer', transport, name: `${name}-peer` })
    try {
      const { nodeId, hasWebRtc } = await worker.report('ready')
      peers.set(name, { worker, nodeId, hasWebRtc })
    } catch (error) {
      failures.push(String(error))
    }
  }
  const ids = [...peers.values()].map(({ nodeId }) => nodeId)
  for (const { worker, nodeId } of peers.values())
    worker.command({ type: 'trust', nodeIds: ids.filter((id) => id !== nodeId) })
  for (const { worker } of peers.values()) await worker.report('trusting').catch(fail)
  return peers
}

/** What must carry it: UDP where both have it, else WebRTC where both have that, else the relay. */
function pathBetween(
  from: string,
  dialer: Peer,
  to: string,
  target: Peer,
): 'udp' | 'webrtc' | 'relay' {
  if (from.endsWith('-udp') && to.endsWith('-udp')) return 'udp'
  return dialer.hasWebRtc && target.hasWebRtc ? 'webrtc' : 'relay'
}

async function extras(
  runner: Runner,
  home: string,
  processes: ReadonlyMap<string, Launch>,
): Promise<void> {
  console.log('')
  const command = (runtime: string): string | undefined => processes.get(runtime)?.command
  await inPairs(await extrasOf({ home, ...runner.places, command }), async ([name, run]) => {
    const outcome = await run().then(
      () => 'ok',
      (error: unknown) => {
        failures.push(`${name}: ${String(error)}`)
        return 'FAIL'
      },
    )
    console.log(`${outcome.padEnd(6)}${name}`)
  })
}

/** Two at a time: much of what is done here is waiting. */
async function inPairs<T>(all: readonly T[], work: (one: T) => Promise<void>): Promise<void> {
  const waiting = [...all]
  const next = async (): Promise<void> => {
    for (let one = waiting.shift(); one !== undefined; one = waiting.shift()) await work(one)
  }
  await Promise.all([next(), next()])
}

function unable(name: string): string | undefined {
  const reason = reasons.get(name)
  return reason === undefined ? undefined : notes.mark(`${name}: ${reason}`)
}

function print(table: Table): void {
  tables.push(table)
  console.log(asText(table))
}

function fail(error: unknown): void {
  failures.push(String(error))
}
