/** What a run leaves as JSON. */
import type { Amount } from '../channel.ts'
import type { Row } from '../systems.ts'

export interface Result {
  /** ISO 8601. */
  readonly startedAt: string
  readonly seconds: number
  readonly machine: string
  readonly node: string
  readonly runs: number
  readonly amount: Amount
  readonly isQuick: boolean
  readonly rows: readonly Pick<Row, 'id' | 'title' | 'group' | 'encryption'>[]
  /** Rows that could not be measured, with the reason. */
  readonly missing: Readonly<Record<string, string>>
  /** Row, figure, one value a run. */
  readonly figures: Record<string, Record<string, number[]>>
}

export interface FigureInfo {
  readonly name: string
  readonly title: string
  readonly short: string
  readonly unit: string
  readonly isMoreBetter: boolean
}

const less = (name: string, short: string, title: string, unit: string): FigureInfo => ({
  name,
  short,
  title,
  unit,
  isMoreBetter: false,
})
const more = (name: string, short: string, title: string, unit: string): FigureInfo => ({
  ...less(name, short, title, unit),
  isMoreBetter: true,
})

export const FIGURES: readonly FigureInfo[] = [
  more('bulkMbits', 'bulk', 'One way, blocks of 1 MiB', 'Mbit/s'),
  more('messagesMbits', '64 KB msgs', 'One way, messages of 64 KB', 'Mbit/s'),
  less('echo1024P50Us', '1 KB p50', 'Request and response of 1 KB, p50', 'µs'),
  less('echo1024P99Us', '1 KB p99', 'Request and response of 1 KB, p99', 'µs'),
  less('echo65536P50Us', '64 KB p50', 'Request and response of 64 KB, p50', 'µs'),
  less('echo65536P99Us', '64 KB p99', 'Request and response of 64 KB, p99', 'µs'),
  less('echo1048576P50Us', '1 MB p50', 'Request and response of 1 MB, p50', 'µs'),
  less('echo1048576P99Us', '1 MB p99', 'Request and response of 1 MB, p99', 'µs'),
  less(
    'firstContactMs',
    'first contact',
    'First connection of new processes, to the first answer',
    'ms',
  ),
  less('connectMs', 'connect', 'A further connection, until it is usable', 'ms'),
  less('firstByteMs', 'to 1st byte', 'A further connection, to the first answer', 'ms'),
  less('cpuSPerGb', 'CPU s/GB', 'CPU of both ends, per GB one way', 's/GB'),
  less('rss1Mb', 'RSS 1', 'Resident memory of the server, 1 connection', 'MB'),
  less('rssManyMb', 'RSS 100', 'Resident memory of the server, 100 connections', 'MB'),
  less('heapPerConnectionKb', 'heap/conn', 'Heap of the client per idle connection', 'KB'),
  less('pingMs', 'ping', 'Ping by pilotctl, p50', 'ms'),
  less('fileMs', 'file', 'File of 300 KB by pilotctl, with the start of the program', 'ms'),
  more('echoedMbits', 'bench 1 MB', '1 MiB there and back by pilotctl bench', 'Mbit/s'),
]
