/** `npm run bench:link`: see `--help`, and README.md one folder up. */
import { spawn } from 'node:child_process'
import { mkdir, writeFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { quantile, shown } from '../report/statistics.ts'
import { BadLink, HERE, LineProcess, THERE } from './bad-link.ts'
import { type Cell, type Flow, HELP, type LinkOptions, parseLinkOptions } from './cells.ts'

interface Transfer {
  readonly megabits: number
  /** Sent beyond what arrived, headers included, as a share of it. */
  readonly overhead: number
  /** Mean time of a packet in the queue. */
  readonly queueMs: number
}

/** Empty where every transfer failed. */
type Results = { cell: Cell; transfers: Record<string, Transfer[]> }[]

/** Set in the process that has a network namespace of its own. */
const INSIDE = 'PILOT_BENCH_LINK_INSIDE'
const file = (name: string): string => fileURLToPath(new URL(name, import.meta.url))

async function main(args: readonly string[]): Promise<number> {
  let options: LinkOptions
  try {
    options = parseLinkOptions(args)
  } catch (error) {
    console.error(`${(error as Error).message}\n\n${HELP}`)
    return 2
  }
  if (options.showHelp) {
    console.log(HELP)
    return 0
  }
  if (process.platform !== 'linux' || process.getuid?.() !== 0) {
    console.error('network namespaces need Linux and root')
    return 1
  }
  if (process.env[INSIDE] !== '1') return inside(args)
  const results = await measure(options)
  console.log(`\n${table(results, options.flows)}`)
  const directory = new URL('../results/', import.meta.url)
  await mkdir(directory, { recursive: true })
  const name = new Date().toISOString().replaceAll(':', '-').replace(/\..*/, '')
  const json = new URL(`link-${name}.json`, directory)
  await writeFile(
    json,
    `${JSON.stringify({ node: process.version, ...options, results }, undefined, 2)}\n`,
  )
  console.log(`\n${fileURLToPath(json)}`)
  return 0
}

/** This program again, in a network namespace of its own. */
function inside(args: readonly string[]): Promise<number> {
  const child = spawn('unshare', ['--net', process.execPath, file('run.ts'), ...args], {
    stdio: 'inherit',
    env: { ...process.env, [INSIDE]: '1' },
  })
  return new Promise((resolve) => {
    child.once('error', (error) => {
      console.error(error.message)
      resolve(1)
    })
    child.once('exit', (code) => resolve(code ?? 1))
  })
}

async function measure({ cells, flows, seconds, runs }: LinkOptions): Promise<Results> {
  const results: Results = []
  for (const [i, cell] of cells.entries()) {
    const transfers: Record<string, Transfer[]> = {}
    for (const { id } of flows) transfers[id] = []
    results.push({ cell, transfers })
    process.stderr.write(`${i + 1} of ${cells.length}: ${title(cell)}\n`)
    for (let run = 0; run < runs; run++)
      for (const flow of flows) {
        // A link for each: nobody finds another's packets in the queue.
        const link = await BadLink.open(cell)
        try {
          const result = await transfer(flow, link, seconds)
          transfers[flow.id]?.push(result)
          process.stderr.write(`  ${flow.title}: ${shown(result.megabits)} Mbit/s\n`)
        } catch (error) {
          process.stderr.write(`  ${flow.title} failed: ${(error as Error).message}\n`)
        } finally {
          await link.close()
        }
      }
  }
  return results
}

async function transfer(flow: Flow, link: BadLink, seconds: number): Promise<Transfer> {
  if (flow.kind === 'tcp') link.useController(flow.congestion)
  const { congestion } = flow
  const setup = { host: THERE, local: HERE, durationMs: seconds * 1000, congestion }
  const worker = (role: string, more: object): string[] => [
    process.execPath,
    file('worker.ts'),
    `${flow.kind}-${role}`,
    JSON.stringify({ ...setup, ...more }),
  ]
  const server = new LineProcess('nsenter', [...link.inFar, ...worker('server', {})])
  const processes = [server]
  try {
    const { ready } = JSON.parse(await server.next(20_000)) as { ready: object }
    await link.counts()
    const [node, ...args] = worker('client', { ready })
    processes.push(new LineProcess(node!, args))
    const done = JSON.parse(await server.next(seconds * 1000 + 60_000))
    const { received, ms } = done as { received: number; ms: number }
    const { total } = JSON.parse(await server.next(120_000)) as { total: number }
    const [out] = await link.counts()
    return {
      megabits: (received * 8) / 1000 / ms,
      overhead: out.bytes / total - 1,
      queueMs: out.waitedMs / out.packets,
    }
  } finally {
    for (const one of processes) await one.end()
  }
}

function title({ loss, rttMs, megabits, bufferBytes, isBloated }: Cell): string {
  const queue = isBloated ? 'a queue of 1 s' : `${Math.round(bufferBytes / 1024)} KiB of queue`
  return `${+(loss * 100).toFixed(3)} % lost, ${rttMs} ms, ${megabits} Mbit/s, ${queue}`
}

/** Ratios are to the first flow. */
function table(results: Results, flows: readonly Flow[]): string {
  const lines = [['link', 'flow', 'Mbit/s', 'ratio', 'overhead', 'queue ms']]
  for (const { cell, transfers } of results) {
    const of = (id: string, key: keyof Transfer): number =>
      quantile(
        (transfers[id] ?? []).map((one) => one[key]),
        0.5,
      )
    const base = of(flows[0]!.id, 'megabits')
    for (const [i, flow] of flows.entries())
      lines.push([
        i === 0 ? title(cell) : '',
        flow.title,
        shown(of(flow.id, 'megabits')),
        i === 0 ? '' : `${shown(of(flow.id, 'megabits') / base)} ×`,
        `${shown(of(flow.id, 'overhead') * 100)} %`,
        shown(of(flow.id, 'queueMs')),
      ])
  }
  const widths = lines[0]!.map((_, i) => Math.max(...lines.map((cells) => cells[i]!.length)))
  return lines
    .map((cells) =>
      cells
        .map((text, i) => (i < 2 ? text.padEnd(widths[i]!) : text.padStart(widths[i]!)))
        .join('  '),
    )
    .join('\n')
}

process.exitCode = await main(process.argv.slice(2))
