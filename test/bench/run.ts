/**
 * `npm run bench`: our figures beside raw TCP and bare sealed UDP, in the same run, in separate processes,
 * medians of several runs. Results also go to `test/bench/results/` (ignored by git). No figure is asserted.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Stage } from '../../examples/demo/stage.ts'
import { createRendezvous } from '../../signaling/index.ts'

const RUNS = Number(process.env.BENCH_RUNS ?? 3)
const BYTES = 64 << 20
const ROUNDS = 300
const worker = fileURLToPath(new URL('worker.ts', import.meta.url))

type Figures = Record<string, number>

function start(
  role: string,
  setup: object,
): { child: ChildProcess; line: Promise<Record<string, unknown>> } {
  const child = spawn(process.execPath, [worker, role, JSON.stringify(setup)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const line = new Promise<Record<string, unknown>>((resolve, reject) => {
    let text = ''
    child.stdout?.setEncoding('utf8').on('data', (chunk: string) => {
      text += chunk
      const end = text.indexOf('\n')
      if (end >= 0) resolve(JSON.parse(text.slice(0, end)) as Record<string, unknown>)
    })
    child.once('exit', (code) => reject(new Error(`${role} ended with ${code}`)))
  })
  return { child, line }
}

async function pair(kind: string, setup: object): Promise<Figures> {
  const server = start(`${kind}-server`, setup)
  const { ready } = await server.line
  const client = start(`${kind}-client`, { ...setup, port: ready })
  try {
    return (await client.line) as Figures
  } finally {
    client.child.kill()
    server.child.kill()
  }
}

async function daemons(): Promise<Figures> {
  const stage = await Stage.create()
  try {
    await stage.startRendezvous()
    const [a, b] = ['a', 'b'].map((name) => stage.addAgent(name, join(stage.directory, name)))
    for (const agent of [a!, b!]) {
      await mkdir(agent.home, { mode: 0o700 })
      await agent.start()
      await agent.ctl('set-public')
    }
    const path = join(stage.directory, 'data.bin')
    await writeFile(path, randomBytes(BYTES))
    const { pid } = (await a!.ctl('daemon', 'status')) as { pid: number }
    const idleRssMb = await rssMb(pid)
    await b!.ctl('ping', 'a', '--count', '1')
    const started = performance.now()
    await b!.ctl('send-file', 'a', path)
    const fileMs = performance.now() - started
    return { fileMbits: (BYTES * 8) / 1000 / fileMs, idleRssMb }
  } finally {
    await stage.close()
  }
}

async function rssMb(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8').catch(() => '')
  return Number(/VmRSS:\s+(\d+)/.exec(status)?.[1] ?? Number.NaN) / 1024
}

function summary(values: readonly number[]): { median: number; min: number; max: number } {
  const sorted = [...values].sort((a, b) => a - b)
  return { median: sorted[sorted.length >> 1]!, min: sorted[0]!, max: sorted.at(-1)! }
}

const collected: Record<string, Record<string, number[]>> = {}
const rendezvous = await createRendezvous({
  registryAddress: '127.0.0.1:0',
  beaconAddress: '127.0.0.1:0',
  limits: { registrationsPerMinute: 10_000 },
})
const setup = {
  registry: `127.0.0.1:${rendezvous.registryEndpoint.port}`,
  beacon: `127.0.0.1:${rendezvous.beaconEndpoint.port}`,
  bytes: BYTES,
  rounds: ROUNDS,
}
for (let run = 0; run < RUNS; run++)
  for (const [name, measure] of [
    ['pilot', () => pair('pilot', setup)],
    ['tcp', () => pair('tcp', setup)],
    ['udp', () => pair('udp', setup)],
    ['daemon', daemons],
  ] as const) {
    process.stderr.write(`run ${run + 1} of ${RUNS}: ${name}\n`)
    for (const [figure, value] of Object.entries(await measure())) {
      collected[name] ??= {}
      collected[name][figure] ??= []
      collected[name][figure].push(value)
    }
  }
await rendezvous.close()

const of = (name: string, figure: string): ReturnType<typeof summary> =>
  summary(collected[name]?.[figure] ?? [])
const rows: [string, string, string, string, string][] = []
function row(
  work: string,
  unit: string,
  [name, figure]: readonly [string, string],
  against?: readonly [string, string, string],
): void {
  const ours = of(name, figure)
  const theirs = against === undefined ? undefined : of(against[0], against[1])
  rows.push([
    work,
    `${ours.median.toFixed(2)} ${unit}`,
    `${ours.min.toFixed(2)}-${ours.max.toFixed(2)}`,
    theirs === undefined ? '' : `${against?.[2]} ${theirs.median.toFixed(2)}`,
    theirs === undefined ? '' : `${(ours.median / theirs.median).toFixed(2)} x`,
  ])
}
row(
  'bulk, 1152-byte segments, in-process API',
  'Mbit/s',
  ['pilot', 'bulkMbits'],
  ['udp', 'bulkMbits', 'bare sealed UDP'],
)
row('the same', 'Mbit/s', ['pilot', 'bulkMbits'], ['tcp', 'bulkMbits', 'raw TCP'])
row('64 MiB file, daemon to daemon, by pilotctl', 'Mbit/s', ['daemon', 'fileMbits'])
row(
  'ping through the tunnel',
  'ms',
  ['pilot', 'pingMs'],
  ['udp', 'pingMs', 'bare sealed UDP, 1 KB'],
)
row('1 KB echo on a stream', 'ms', ['pilot', 'echoMs'], ['tcp', 'echoMs', 'raw TCP'])
row('dial over an existing tunnel', 'ms', ['pilot', 'dialMs'], ['tcp', 'dialMs', 'raw TCP connect'])
row('first contact: registry, keys, stream, echo', 'ms', ['pilot', 'firstContactMs'])
row('RSS of an idle daemon', 'MB', ['daemon', 'idleRssMb'])

const header = ['work', 'median', 'min-max', 'beside it', 'ratio'] as const
const widths = header.map((title, i) =>
  Math.max(title.length, ...rows.map((cells) => cells[i]!.length)),
)
for (const cells of [header, ...rows])
  console.log(cells.map((cell, i) => cell.padEnd(widths[i]!)).join('  '))

const directory = fileURLToPath(new URL('results/', import.meta.url))
await mkdir(directory, { recursive: true })
const file = join(directory, `${new Date().toISOString().replaceAll(':', '-')}.json`)
await writeFile(
  file,
  JSON.stringify(
    { node: process.version, runs: RUNS, bytes: BYTES, figures: collected },
    undefined,
    2,
  ),
)
console.log(`\nresults: ${file}`)
