/** Which links, and who goes through them. */
import { parseArgs } from 'node:util'

export interface Cell {
  /** Share of packets lost, each way, 0..1. */
  readonly loss: number
  /** Of both ways together, without any queue. */
  readonly rttMs: number
  readonly megabits: number
  /** Of the queue in front of the link, each way. */
  readonly bufferBytes: number
  readonly isBloated: boolean
}

export interface Flow {
  readonly id: string
  readonly title: string
  readonly kind: 'tcp' | 'pilot'
  /** The controller: the kernel's, or ours. */
  readonly congestion: string
}

export const FLOWS: readonly Flow[] = [
  { id: 'tcp-cubic', title: 'kernel TCP, CUBIC', kind: 'tcp', congestion: 'cubic' },
  { id: 'tcp-bbr', title: 'kernel TCP, BBR', kind: 'tcp', congestion: 'bbr' },
  { id: 'ours', title: 'ours, auto', kind: 'pilot', congestion: 'auto' },
  { id: 'ours-cubic', title: 'ours, CUBIC', kind: 'pilot', congestion: 'cubic' },
  { id: 'ours-bbr', title: 'ours, BBR', kind: 'pilot', congestion: 'bbr' },
]

export const HELP = `npm run bench:link -- [options]

Streams of ours beside the kernel's TCP through one and the same link, made of two network namespaces and a program between
them. Linux, root, iproute2, util-linux, Python 3. Nothing is asserted.

  --loss <%>      lost each way, with commas (0,0.1,1,2,5)
  --rtt <ms>      with commas (0,30,100,200)
  --mbits <n>     with commas (10,100,1000)
  --buffer <KiB>  queue in front of the link; without it one round trip's worth, 64 at least
  --bloat         a queue of one second, without loss
  --flows <ids>   of ${FLOWS.map(({ id }) => id).join(', ')} (tcp-cubic,ours)
  --seconds <n>   of each transfer (8)
  --runs <n>      of everything; medians are shown (1)
  --matrix        every loss with every round trip and rate, and every rate with a queue of one second: some 25 minutes
  --help

With none of loss, rtt, mbits, bloat and matrix: a dozen links that differ in one thing each, in less than five minutes.
Results: a table here, and JSON in test/bench/results/.
`

const LOSSES = [0, 0.1, 1, 2, 5]
const RTTS = [0, 30, 100, 200]
const RATES = [10, 100, 1000]
const BUFFER_BYTES_MIN = 65_536

export interface LinkOptions {
  readonly cells: readonly Cell[]
  readonly flows: readonly Flow[]
  readonly seconds: number
  readonly runs: number
  readonly showHelp: boolean
}

/** @throws {Error} that says what is wrong with the command line. */
export function parseLinkOptions(args: readonly string[]): LinkOptions {
  const { values } = parseArgs({
    args: [...args],
    options: {
      loss: { type: 'string' },
      rtt: { type: 'string' },
      mbits: { type: 'string' },
      buffer: { type: 'string' },
      bloat: { type: 'boolean', default: false },
      flows: { type: 'string', default: 'tcp-cubic,ours' },
      seconds: { type: 'string', default: '8' },
      runs: { type: 'string', default: '1' },
      matrix: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  })
  const { loss, rtt, mbits, buffer, bloat, matrix } = values
  const bytes = buffer === undefined ? undefined : numbers('--buffer', buffer, 1, 65_536)[0]! * 1024
  const isChosen = [loss, rtt, mbits].some((text) => text !== undefined) || bloat
  const losses = loss === undefined ? (matrix ? LOSSES : [0]) : numbers('--loss', loss, 0, 50)
  const rtts = rtt === undefined ? (matrix ? RTTS : [30]) : numbers('--rtt', rtt, 0, 2000)
  const rates =
    mbits === undefined ? (matrix ? RATES : [100]) : numbers('--mbits', mbits, 1, 10_000)
  const cells: Cell[] = []
  if (isChosen || matrix) {
    if (!bloat)
      for (const megabits of rates)
        for (const rttMs of rtts)
          for (const percent of losses) cells.push(cell(percent, rttMs, megabits, bytes))
    if (bloat || matrix) for (const megabits of rates) cells.push(bloated(megabits, rtts[0] ?? 30))
  } else cells.push(...selection(bytes))
  return {
    cells,
    flows: flowsOf(values.flows),
    seconds: numbers('--seconds', values.seconds, 1, 600)[0]!,
    runs: numbers('--runs', values.runs, 1, 100)[0]!,
    showHelp: values.help,
  }
}

/** A good link of 100 Mbit/s and 30 ms, and then something is worse each time. */
function selection(bufferBytes: number | undefined): Cell[] {
  return [
    cell(0, 30, 100, bufferBytes),
    ...LOSSES.slice(1).map((percent) => cell(percent, 30, 100, bufferBytes)),
    cell(0, 0, 100, bufferBytes),
    cell(2, 0, 100, bufferBytes),
    cell(0, 100, 100, bufferBytes),
    cell(1, 100, 100, bufferBytes),
    cell(1, 200, 10, bufferBytes),
    cell(0.1, 100, 1000, bufferBytes),
    bloated(10, 30),
    bloated(100, 30),
  ]
}

function cell(percent: number, rttMs: number, megabits: number, bufferBytes?: number): Cell {
  const trip = Math.round(rttMs * megabits * 125)
  return {
    loss: percent / 100,
    rttMs,
    megabits,
    bufferBytes: bufferBytes ?? Math.max(BUFFER_BYTES_MIN, trip),
    isBloated: false,
  }
}

function bloated(megabits: number, rttMs: number): Cell {
  return { loss: 0, rttMs, megabits, bufferBytes: megabits * 125_000, isBloated: true }
}

function flowsOf(text: string): Flow[] {
  const ids = text.split(',')
  for (const id of ids)
    if (!FLOWS.some((flow) => flow.id === id)) throw new Error(`no flow is called ${id}`)
  return FLOWS.filter(({ id }) => ids.includes(id))
}

function numbers(name: string, text: string, min: number, max: number): number[] {
  return text.split(',').map((part) => {
    const value = Number(part)
    if (part === '' || !(value >= min && value <= max))
      throw new Error(`${name} is a number from ${min} to ${max}, got ${JSON.stringify(part)}`)
    return value
  })
}
