/** `bench`: throughput and latency to a peer's echo port (spec/08 §3.7). */
import { writeFileSync } from 'node:fs'
import type { Command } from 'commander'
import { PORT } from '../../../../core/constants.ts'
import type { DaemonConnection } from '../../ipc/client-connection.ts'
import { VERSION } from '../../version.ts'
import { chart } from '../bench/chart.ts'
import { roundTrip, transfer } from '../bench/echo-transfer.ts'
import { emptyMeasurement, measure } from '../bench/measurement.ts'
import {
  measurementLines,
  measurementMembers,
  transferLines,
  transferMembers,
} from '../bench/report.ts'
import { summarize } from '../bench/statistics.ts'
import type { Cli, Target } from '../cli.ts'
import { Deadline } from '../deadline.ts'
import { CliError, messageOf, requestFailure, usageError } from '../failure.ts'
import { byteProgress, stepProgress } from '../progress.ts'
import { formatBytes, formatMs, formatUnixTime, parseDuration, roundMs } from '../values.ts'

const MIB = 1024 * 1024
const LATENCY_SAMPLES = 20
const LATENCY_BYTES = 64
/** Largest size, so that a typing error does not run for a day. */
const SIZE_MB_MAX = 100_000
const DURATION_MS = { min: 1000, max: 86_400_000, withSvg: 10_000 } as const

interface Options {
  readonly duration?: string
  readonly timeout: string
  readonly svg?: string
}

export function addBenchCommand(program: Command, cli: Cli): void {
  program
    .command('bench')
    .description('Send data to the echo port and check what comes back')
    .argument('<target>', 'address, node id or hostname')
    .argument('[size_mb]', 'MiB to send', '1')
    .option(
      '--duration <duration>',
      'measure connections, latency by size, and throughput for this long',
    )
    .option('--svg <file>', 'write a chart of that; without a duration 10s')
    .option('--timeout <duration>', 'give up after this long, beside the duration', '120s')
    .action(bench.bind(undefined, cli))
}

async function bench(cli: Cli, typed: string, sizeText: string, options: Options): Promise<void> {
  const size = Number(sizeText)
  if (!/^\d+(\.\d+)?$/.test(sizeText) || size <= 0 || size > SIZE_MB_MAX)
    throw usageError(`invalid size ${JSON.stringify(sizeText)} (need MiB above 0)`)
  const durationMs = durationOf(options)
  const timeoutMs = parseDuration(options.timeout, 'timeout') + (durationMs ?? 0)
  const target = await cli.target(typed)
  // An interrupt of the long measurement is no failure: it ends with what there is.
  const never = new AbortController().signal
  using deadline = new Deadline(timeoutMs, durationMs === undefined ? cli.io.signal : never)
  const signal = AbortSignal.any([deadline.signal, cli.io.signal])
  const started = performance.now()
  const connection = await cli.dial(target, PORT.echo, { place: 'echo port', signal })
  const firstDialMs = performance.now() - started
  try {
    if (durationMs === undefined)
      await quickBench(cli, target, connection, Math.round(size * MIB), deadline.signal)
    else {
      const plan = { connection, firstDialMs, durationMs, signal: deadline.signal }
      await longBench(cli, target, plan, options.svg)
    }
  } catch (error) {
    if (deadline.isOver) throw new CliError('timeout', 'bench: not finished in time')
    throw requestFailure('bench', error)
  } finally {
    connection.close()
  }
}

async function quickBench(
  cli: Cli,
  target: Target,
  connection: DaemonConnection,
  totalBytes: number,
  signal: AbortSignal,
): Promise<void> {
  if (!cli.json) cli.line(`BENCH ${target.text} — sending ${formatBytes(totalBytes)} via echo port`)
  const times: number[] = []
  const progress = byteProgress(cli, 'echoed', totalBytes)
  try {
    for (let i = 0; i < LATENCY_SAMPLES; i++)
      times.push(await roundTrip(connection, LATENCY_BYTES, signal))
    const result = await transfer(
      connection,
      { totalBytes, onprogress: (bytes) => progress.update(bytes) },
      signal,
    )
    progress.stop()
    const { min, p50, max } = summarize(times)!
    cli.result(
      {
        target: target.text,
        ...transferMembers(result),
        latency_ms: { min: roundMs(min), median: roundMs(p50), max: roundMs(max) },
      },
      [
        ...transferLines(result),
        `  Latency:  min ${formatMs(min)}  median ${formatMs(p50)}  max ${formatMs(max)} (${LATENCY_BYTES} bytes, ${times.length} times)`,
      ],
    )
  } finally {
    progress.stop()
  }
}

async function longBench(
  cli: Cli,
  target: Target,
  plan: {
    readonly connection: DaemonConnection
    readonly firstDialMs: number
    readonly durationMs: number
    readonly signal: AbortSignal
  },
  svg: string | undefined,
): Promise<void> {
  // Now, not after a minute of work.
  if (svg !== undefined) writeChart(svg, '')
  if (!cli.json)
    cli.line(`BENCH ${target.text} — sending for ${plan.durationMs / 1000} s via echo port`)
  const interrupt = cli.io.signal
  const measurement = emptyMeasurement()
  const progress = stepProgress(cli)
  try {
    const to = { address: target.address, port: PORT.echo }
    const onstep = (text: string, share: number): void => progress.update(text, share)
    const { socketPath } = cli
    const daemon = await cli.daemon()
    await measure(measurement, { ...plan, daemon, socketPath, to, interrupt, onstep })
  } finally {
    progress.stop()
  }
  const isInterrupted = interrupt.aborted
  const time = formatUnixTime(Date.now() / 1000)
  if (svg !== undefined)
    writeChart(
      svg,
      chart(measurement, { target: target.typed, time, version: VERSION, isInterrupted }),
    )
  const { throughput } = measurement
  cli.result(
    {
      target: target.text,
      ...(throughput !== undefined && transferMembers(throughput)),
      ...measurementMembers(measurement),
      ...(svg !== undefined && { svg }),
      interrupted: isInterrupted,
    },
    [
      ...measurementLines(measurement),
      ...(svg === undefined ? [] : [`  Chart:    ${svg}`]),
      ...(isInterrupted ? ['  Interrupted: what was measured until then.'] : []),
    ],
  )
  if (isInterrupted) cli.exitCode = 130
}

/** @throws {CliError} `invalid_argument`. */
function durationOf({ duration, svg }: Options): number | undefined {
  if (duration === undefined) return svg === undefined ? undefined : DURATION_MS.withSvg
  const ms = parseDuration(duration, 'duration')
  if (ms < DURATION_MS.min || ms > DURATION_MS.max)
    throw usageError(`invalid duration ${JSON.stringify(duration)} (need 1s to 24h)`)
  return ms
}

/** @throws {CliError} `internal`. */
function writeChart(path: string, text: string): void {
  try {
    writeFileSync(path, text)
  } catch (error) {
    throw new CliError('internal', `cannot write ${path}: ${messageOf(error)}`)
  }
}
