/** Bytes on a stream: `connect`, `send`, `recv` (spec/08 §3.4). */
import type { Command } from 'commander'
import { PORT } from '../../../../core/constants.ts'
import type { Cli, Target } from '../cli.ts'
import { Deadline } from '../deadline.ts'
import { CliError, lost, messageOf, requestFailure, usageError } from '../failure.ts'
import { readResponse } from '../response.ts'
import { textData } from '../text-data.ts'
import { formatDuration, isTrue, parseCount, parseDuration, parsePort } from '../values.ts'

export function addStreamCommands(program: Command, cli: Cli): void {
  program
    .command('connect')
    .description('Send one message on a new connection and print the answer')
    .argument('<target>', 'address, node id or hostname')
    .argument('[port]', 'virtual port', `${PORT.stdio}`)
    .option('--message <text>', 'what to send; without it standard input is sent')
    .option('--timeout <duration>', 'longest wait for the answer', '30s')
    .action(
      async (typed: string, portText: string, options: { message?: string; timeout: string }) => {
        const port = parsePort(portText)
        const timeoutMs = parseDuration(options.timeout, 'timeout')
        const message =
          options.message === undefined ? await readStdin(cli) : encode(options.message)
        await exchange(cli, await cli.target(typed), port, message, timeoutMs)
      },
    )

  program
    .command('send')
    .description('Send data to a port and print the answer')
    .argument('<target>', 'address, node id or hostname')
    .argument('<port>', 'virtual port')
    .option('--data <text>', 'what to send')
    .option('--timeout <duration>', 'longest wait for the answer', '30s')
    .action(
      async (typed: string, portText: string, options: { data?: string; timeout: string }) => {
        const port = parsePort(portText)
        if (options.data === undefined) throw usageError('--data is required')
        const timeoutMs = parseDuration(options.timeout, 'timeout')
        await exchange(cli, await cli.target(typed), port, encode(options.data), timeoutMs)
      },
    )

  program
    .command('recv')
    .description('Accept connections on a port and print the first data of each')
    .argument('<port>', 'virtual port')
    .option('--count <n>', 'connections to wait for', '1')
    .option('--timeout <duration>', 'stop waiting after this long; 0 waits for ever', '30s')
    .option('--strict [bool]', 'exit 1 when nothing came, with --json too')
    .action(receive.bind(undefined, cli))
}

async function exchange(
  cli: Cli,
  target: Target,
  port: number,
  message: Uint8Array,
  timeoutMs: number,
): Promise<void> {
  using deadline = new Deadline(timeoutMs, cli.io.signal)
  const { signal } = deadline
  const connection = await cli.dial(target, port, { signal })
  let response: Uint8Array
  try {
    await connection.write(message)
    response = await readResponse(connection, signal)
  } catch (error) {
    if (signal.aborted)
      throw new CliError('timeout', `no response within ${formatDuration(timeoutMs)}`)
    throw requestFailure('send', error)
  } finally {
    connection.close()
  }
  const text = textData(response)
  if (response.length === 0) cli.note(`sent ${message.length} bytes (no response)`)
  cli.result(
    {
      target: target.text,
      port,
      sent: textData(message).data,
      response: text.data,
      ...(text.data_b64 !== undefined && { response_b64: text.data_b64 }),
    },
    response.length === 0 ? [] : [text.data.replace(/\n$/, '')],
  )
}

async function receive(
  cli: Cli,
  portText: string,
  options: { count: string; timeout: string; strict?: string },
): Promise<void> {
  const port = parsePort(portText)
  const count = parseCount(options.count, 'count')
  const timeoutMs = parseDuration(options.timeout, 'timeout')
  const daemon = await cli.daemon()
  const listener = await daemon.listen(port).catch((error: unknown) => {
    const failure = requestFailure('recv', error)
    if (failure.code !== 'already_exists') throw failure
    throw new CliError(failure.code, failure.message, portHint(port), { cause: error })
  })
  using deadline = new Deadline(timeoutMs, cli.io.signal)
  const { signal } = deadline
  const messages: Record<string, unknown>[] = []
  while (messages.length < count && !deadline.isOver) {
    const connection = await listener.accept({ signal }).catch(() => undefined)
    if (connection === undefined) {
      if (!daemon.isConnected) throw requestFailure('recv', lost())
      break
    }
    const seq = messages.length
    try {
      const data = await readResponse(connection, signal)
      const text = textData(data)
      messages.push({ seq, port, ...text })
      if (!cli.json) cli.line(text.data.replace(/\n$/, ''))
    } catch (error) {
      messages.push({ seq, port, error: deadline.isOver ? 'timeout' : messageOf(error) })
    } finally {
      connection.close()
    }
  }
  listener.close()
  const timeout = messages.length < count
  if (timeout) cli.note('timeout')
  if (messages.length === 0) cli.failSoftly(options.strict !== undefined && isTrue(options.strict))
  cli.result({ messages, timeout }, [])
}

/** Everything on standard input without its last newline. */
async function readStdin(cli: Cli): Promise<Uint8Array> {
  if (cli.io.isStdinTerminal)
    throw usageError(
      '--message is required (interactive mode not supported)',
      'use --message to send a single message, or pipe data via stdin',
    )
  const pieces: Uint8Array[] = []
  for await (const piece of cli.io.stdin) pieces.push(piece)
  const all = Buffer.concat(pieces)
  if (all.length === 0)
    throw usageError(
      'nothing to send: standard input is empty',
      'to listen first, send an empty message: --message ""',
    )
  return all.at(-1) === 10 ? all.subarray(0, -1) : all
}

/** Ports of the daemon's own services, and how to free them. */
const SERVICE_FLAGS: ReadonlyMap<number, string> = new Map([
  [PORT.echo, '--no-echo'],
  [PORT.dataExchange, '--no-dataexchange'],
  [PORT.eventStream, '--no-eventstream'],
])

function portHint(port: number): string {
  const flag = SERVICE_FLAGS.get(port)
  if (port === PORT.trust) return 'the daemon needs this port itself; choose another'
  return flag === undefined
    ? 'another program of this machine has it; choose another port'
    : `the daemon's own service answers there; choose another port, or start the daemon with ${flag}`
}

function encode(text: string): Uint8Array {
  return new TextEncoder().encode(text)
}
