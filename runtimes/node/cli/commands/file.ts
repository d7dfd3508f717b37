/** `send-file` (spec/08 §3.4): done when the receiver holds a verified copy. */
import type { Command } from 'commander'
import { PORT } from '../../../../core/constants.ts'
import type { Cli, Target } from '../cli.ts'
import { Deadline } from '../deadline.ts'
import { CliError, requestFailure, usageError } from '../failure.ts'
import {
  fitsWhole,
  hashText,
  openSource,
  type Sent,
  type SourceFile,
  sendByStream,
  sendWhole,
} from '../file-transfer.ts'
import { byteProgress } from '../progress.ts'
import { formatBytes, formatDuration, parseDuration } from '../values.ts'

const PLACE = `(data exchange port ${PORT.dataExchange})`

export function addFileCommand(program: Command, cli: Cli): void {
  program
    .command('send-file')
    .description(
      "Put a file into a node's ~/.pilot/received; goes on where an earlier attempt stopped",
    )
    .argument('<target>', 'address, node id or hostname')
    .argument('<path>', 'file')
    .option(
      '--timeout <duration>',
      'longest wait for the connection, and for the acknowledgement',
      '90s',
    )
    .action(sendFile.bind(undefined, cli))
}

async function sendFile(
  cli: Cli,
  typed: string,
  path: string,
  flags: { timeout: string },
): Promise<void> {
  const timeoutMs = parseDuration(flags.timeout, 'timeout')
  await using source = await openSource(path)
  const target = await cli.target(typed).catch((error: unknown) => {
    // As the reference: elsewhere this is `not_found`.
    if (error instanceof CliError && error.code === 'not_found')
      throw usageError(error.message, error.hint)
    throw error
  })
  const started = performance.now()
  let sent = await byStream(cli, target, source, timeoutMs)
  if (sent === 'unsupported') sent = await whole(cli, target, source, timeoutMs)
  if (sent === 'unsupported') return
  const ms = Math.round(performance.now() - started)
  const rate = `${formatBytes(Math.round((source.size - sent.resumedFrom) / Math.max(0.001, ms / 1000)))}/s`
  cli.result(
    {
      filename: source.name,
      bytes: source.size,
      destination: target.text,
      ack: sent.ack,
      method: sent.method,
      sha256: hashText(source),
      duration_ms: ms,
      ...(sent.resumedFrom > 0 && { resumed_from: sent.resumedFrom }),
    },
    [
      `${source.name}: ${formatBytes(source.size)} delivered to ${target.text} in ${formatDuration(ms)} (${rate})`,
      sent.method === 'filestream'
        ? '  the receiver verified the SHA-256 of its copy'
        : `  the receiver answered: ${sent.ack}`,
      ...(sent.resumedFrom > 0 ? [`  resumed after ${formatBytes(sent.resumedFrom)}`] : []),
    ],
  )
}

async function byStream(
  cli: Cli,
  target: Target,
  source: SourceFile,
  timeoutMs: number,
): Promise<Sent> {
  using dialing = new Deadline(timeoutMs, cli.io.signal)
  const connection = await cli.dial(target, PORT.dataExchange, {
    place: PLACE,
    signal: dialing.signal,
  })
  const progress = byteProgress(cli, source.name, source.size)
  try {
    return await sendByStream(connection, source, (bytes) => progress.update(bytes), cli.io.signal)
  } catch (error) {
    throw requestFailure('send-file', error)
  } finally {
    progress.stop()
    connection.close()
  }
}

async function whole(
  cli: Cli,
  target: Target,
  source: SourceFile,
  timeoutMs: number,
): Promise<Sent> {
  if (!fitsWhole(source))
    throw new CliError(
      'unavailable',
      `${target.text} takes files of at most 16 MiB, this one has ${formatBytes(source.size)}`,
      'the peer runs an older version without resumable transfer; split the file, or update the peer',
    )
  using deadline = new Deadline(timeoutMs, cli.io.signal)
  const connection = await cli.dial(target, PORT.dataExchange, {
    place: PLACE,
    signal: deadline.signal,
  })
  try {
    return await sendWhole(connection, source, deadline.signal)
  } catch (error) {
    if (deadline.isOver)
      throw new CliError(
        'timeout',
        `no acknowledgement within ${formatDuration(timeoutMs)}: the file may or may not have arrived`,
        'give it more time with: --timeout <duration>',
      )
    throw requestFailure('send-file', error)
  } finally {
    connection.close()
  }
}
