/** `bench`: throughput and latency to a peer's echo port (spec/08 §3.7). */
import type { Command } from 'commander'
import { PORT } from '../../../../core/constants.ts'
import type { DaemonConnection } from '../../ipc/client-connection.ts'
import type { Cli } from '../cli.ts'
import { Deadline } from '../deadline.ts'
import { CliError, requestFailure, usageError } from '../failure.ts'
import { byteProgress, type Progress } from '../progress.ts'
import { formatBytes, formatMs, parseDuration, roundMs } from '../values.ts'

const MIB = 1024 * 1024
const BLOCK_BYTES = 64 * 1024
const LATENCY_SAMPLES = 20
const LATENCY_BYTES = 64
/** Largest size, so that a typing error does not run for a day. */
const SIZE_MB_MAX = 100_000

export function addBenchCommand(program: Command, cli: Cli): void {
  program
    .command('bench')
    .description('Send data to the echo port and check what comes back')
    .argument('<target>', 'address, node id or hostname')
    .argument('[size_mb]', 'MiB to send', '1')
    .option('--duration <duration>', 'send for this long instead of a fixed size')
    .option('--timeout <duration>', 'give up after this long', '120s')
    .action(bench.bind(undefined, cli))
}

async function bench(
  cli: Cli,
  typed: string,
  sizeText: string,
  options: { duration?: string; timeout: string },
): Promise<void> {
  const size = Number(sizeText)
  if (!/^\d+(\.\d+)?$/.test(sizeText) || size <= 0 || size > SIZE_MB_MAX)
    throw usageError(`invalid size ${JSON.stringify(sizeText)} (need MiB above 0)`)
  const durationMs =
    options.duration === undefined ? undefined : parseDuration(options.duration, 'duration')
  const timeoutMs = parseDuration(options.timeout, 'timeout') + (durationMs ?? 0)
  const target = await cli.target(typed)
  using deadline = new Deadline(timeoutMs, cli.io.signal)
  const { signal } = deadline
  const connection = await cli.dial(target, PORT.echo, { place: 'echo port', signal })
  const totalBytes = durationMs === undefined ? Math.round(size * MIB) : undefined
  if (!cli.json)
    cli.line(
      `BENCH ${target.text} — ${totalBytes === undefined ? `sending for ${options.duration}` : `sending ${formatBytes(totalBytes)}`} via echo port`,
    )
  let result: Transfer
  let latencies: number[]
  const progress = byteProgress(cli, 'echoed', totalBytes ?? 0)
  try {
    latencies = await measureLatency(connection, signal)
    result = await transfer(connection, totalBytes, durationMs, progress, signal)
  } catch (error) {
    if (deadline.isOver) throw new CliError('timeout', 'bench: not finished in time')
    throw requestFailure('bench', error)
  } finally {
    progress.stop()
    connection.close()
  }
  report(cli, target.text, result, latencies)
}

interface Transfer {
  readonly sentBytes: number
  readonly receivedBytes: number
  readonly sendMs: number
  readonly totalMs: number
}

async function measureLatency(
  connection: DaemonConnection,
  signal: AbortSignal,
): Promise<number[]> {
  const times: number[] = []
  const block = pattern().subarray(0, LATENCY_BYTES)
  for (let i = 0; i < LATENCY_SAMPLES; i++) {
    const started = performance.now()
    await connection.write(block)
    let got = 0
    while (got < LATENCY_BYTES) got += (await readSome(connection, signal)).length
    times.push(performance.now() - started)
  }
  return times.sort((a, b) => a - b)
}

/** Writes and reads at once; every byte that comes back is compared. */
async function transfer(
  connection: DaemonConnection,
  totalBytes: number | undefined,
  durationMs: number | undefined,
  progress: Progress,
  signal: AbortSignal,
): Promise<Transfer> {
  const block = pattern()
  const started = performance.now()
  let sentBytes = 0
  let sendMs = 0
  let isSent = false
  let failure: unknown
  const send = async (): Promise<void> => {
    const until = started + (durationMs ?? Number.POSITIVE_INFINITY)
    while (!signal.aborted && sentBytes < (totalBytes ?? Number.POSITIVE_INFINITY)) {
      if (performance.now() >= until) break
      const take = Math.min(BLOCK_BYTES, (totalBytes ?? Number.POSITIVE_INFINITY) - sentBytes)
      await connection.write(take === BLOCK_BYTES ? block : block.subarray(0, take))
      sentBytes += take
    }
    sendMs = performance.now() - started
    isSent = true
  }
  const sending = send().catch((error: unknown) => {
    failure = error
  })
  let receivedBytes = 0
  while (failure === undefined && !(isSent && receivedBytes >= sentBytes)) {
    const piece = await readSome(connection, signal)
    check(piece, receivedBytes, block)
    receivedBytes += piece.length
    progress.update(receivedBytes)
    // With a duration the last byte is known only once sending is over.
    if (receivedBytes >= sentBytes && !isSent) await Promise.race([sending, immediate()])
  }
  await sending
  if (failure !== undefined) throw failure
  return { sentBytes, receivedBytes, sendMs, totalMs: performance.now() - started }
}

function report(cli: Cli, target: string, result: Transfer, latencies: readonly number[]): void {
  const { sentBytes, receivedBytes, sendMs, totalMs } = result
  const rate = (bytes: number, ms: number): number => (ms === 0 ? 0 : bytes / MIB / (ms / 1000))
  const [min, median, max] = [latencies[0]!, latencies[latencies.length >> 1]!, latencies.at(-1)!]
  const send = rate(sentBytes, sendMs)
  const total = rate(receivedBytes, totalMs)
  cli.result(
    {
      target,
      sent_bytes: sentBytes,
      recv_bytes: receivedBytes,
      send_duration_ms: Math.round(sendMs),
      total_duration_ms: Math.round(totalMs),
      // MiB per second under the reference's name, and under its own.
      send_mbps: send,
      total_mbps: total,
      send_mib_per_s: send,
      total_mib_per_s: total,
      latency_ms: { min: roundMs(min), median: roundMs(median), max: roundMs(max) },
    },
    [
      `  Sent:     ${formatBytes(sentBytes)} handed to the daemon in ${formatMs(sendMs)} (${send.toFixed(1)} MiB/s)`,
      `  Echoed:   ${formatBytes(receivedBytes)} in ${formatMs(totalMs)} (${total.toFixed(1)} MiB/s round-trip, every byte compared)`,
      `  Latency:  min ${formatMs(min)}  median ${formatMs(median)}  max ${formatMs(max)} (${LATENCY_BYTES} bytes, ${latencies.length} times)`,
    ],
  )
}

async function readSome(connection: DaemonConnection, signal: AbortSignal): Promise<Uint8Array> {
  const piece = await connection.read({ signal })
  if (piece === undefined)
    throw new CliError('connection_failed', 'bench: the peer closed the connection')
  return piece
}

/** @throws {CliError} `connection_failed` at the first byte that is not what was sent. */
function check(piece: Uint8Array, offset: number, block: Uint8Array): void {
  for (let at = 0; at < piece.length; ) {
    const from = (offset + at) % BLOCK_BYTES
    const take = Math.min(piece.length - at, BLOCK_BYTES - from)
    if (Buffer.compare(piece.subarray(at, at + take), block.subarray(from, from + take)) !== 0)
      throw new CliError('connection_failed', `bench: bytes near ${offset + at} came back changed`)
    at += take
  }
}

function pattern(): Uint8Array {
  return Uint8Array.from({ length: BLOCK_BYTES }, (_, i) => (i * 31 + (i >> 8)) & 255)
}

function immediate(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}
