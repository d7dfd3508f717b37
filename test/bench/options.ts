/** Command line of `run.ts`. */
import { parseArgs } from 'node:util'
import type { Amount } from './channel.ts'

export const HELP = `npm run bench -- [options]

Speed and memory of ours beside what else could be used, in one run on this machine. Nothing is asserted.

  --only <names>   systems, by id, beginning of an id, or group (ours, ceilings, peers, reference); with commas
  --runs <n>       of everything; medians are shown (3)
  --bytes <MiB>    one way per measurement (256)
  --quick          one run of 32 MiB and few round trips: whether everything works, not how fast
  --no-memory      leaves out resident memory and heap
  --list           names the systems
  --help

Results: a table here, and JSON and a page with charts in test/bench/results/.
Environment: BENCH_PROFILE=<folder> leaves CPU profiles of all processes there; PILOT_REFERENCE_G1 and PILOT_REFERENCE_G2
name folders with the reference's daemon, pilotctl and rendezvous.
`

export interface Options {
  readonly only: readonly string[]
  readonly runs: number
  readonly amount: Amount
  readonly hasMemory: boolean
  readonly isQuick: boolean
  readonly show: 'help' | 'list' | undefined
}

/** @throws {Error} that says what is wrong with the command line. */
export function parseOptions(args: readonly string[]): Options {
  const { values } = parseArgs({
    args: [...args],
    options: {
      only: { type: 'string' },
      runs: { type: 'string' },
      bytes: { type: 'string' },
      quick: { type: 'boolean', default: false },
      'no-memory': { type: 'boolean', default: false },
      list: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  })
  const isQuick = values.quick
  const megabytes = whole('--bytes', values.bytes, isQuick ? 32 : 256, 1, 65_536)
  return {
    only: (values.only ?? '').split(',').filter((word) => word !== ''),
    runs: whole('--runs', values.runs, isQuick ? 1 : 3, 1, 100),
    amount: {
      bulkBytes: megabytes << 20,
      rounds: isQuick
        ? { 1024: 200, 65536: 50, 1048576: 10 }
        : { 1024: 3000, 65536: 500, 1048576: 60 },
      connects: isQuick ? 10 : 100,
      idle: 100,
    },
    hasMemory: !values['no-memory'],
    isQuick,
    show: values.help ? 'help' : values.list ? 'list' : undefined,
  }
}

function whole(
  name: string,
  text: string | undefined,
  otherwise: number,
  min: number,
  max: number,
): number {
  if (text === undefined) return otherwise
  const value = Number(text)
  if (!Number.isInteger(value) || value < min || value > max)
    throw new Error(`${name} is a whole number from ${min} to ${max}, got ${text}`)
  return value
}
