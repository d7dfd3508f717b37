/** `subscribe` and `publish` (spec/08 §3.4, document 07 §7). */
import type { Command } from 'commander'
import { PORT } from '../../../../core/constants.ts'
import {
  EVENT_PAYLOAD_BYTES_MAX,
  EVENT_TOPIC_BYTES_MAX,
  EventDecoder,
  encodeEvent,
} from '../../../../core/service/event-stream.ts'
import type { DaemonConnection } from '../../ipc/client-connection.ts'
import { encodeJson } from '../../ipc/json.ts'
import type { Cli, Target } from '../cli.ts'
import { Deadline } from '../deadline.ts'
import { CliError, messageOf, requestFailure, usageError } from '../failure.ts'
import { printable } from '../table.ts'
import { textData } from '../text-data.ts'
import { isTrue, parseCount, parseDuration } from '../values.ts'

/** Dials in a row that may fail before a lost subscription is given up. */
const RESUBSCRIBE_TRIES = 5
const RESUBSCRIBE_MS = 1000

interface SubscribeFlags {
  readonly count: string
  readonly timeout: string
  readonly strict?: string
}

export function addEventCommands(program: Command, cli: Cli): void {
  program
    .command('subscribe')
    .description("Print the events of a topic of a node's broker")
    .argument('<target>', 'address, node id or hostname')
    .argument('<topic>', 'exact name, or * for all')
    .option('--count <n>', 'stop after so many; 0 goes on', '0')
    .option('--timeout <duration>', 'stop after this long; 0 never', '0')
    .option('--strict [bool]', 'exit 1 when nothing came, with --json too')
    .action(subscribe.bind(undefined, cli))

  program
    .command('publish')
    .description("Publish one event at a node's broker; only current subscribers get it")
    .argument('<target>', 'address, node id or hostname')
    .argument('<topic>')
    .option('--data <text>', 'payload')
    .option('--timeout <duration>', 'longest wait for the connection', '30s')
    .action(publish.bind(undefined, cli))
}

async function subscribe(
  cli: Cli,
  typed: string,
  topic: string,
  flags: SubscribeFlags,
): Promise<void> {
  const count = parseCount(flags.count, 'count')
  const timeoutMs = parseDuration(flags.timeout, 'timeout')
  requireTopic(topic)
  const target = await cli.target(typed)
  using deadline = new Deadline(timeoutMs, cli.io.signal)
  const events: Record<string, unknown>[] = []
  let seen = 0
  let failure: CliError | undefined
  const take = (name: Uint8Array, payload: Uint8Array): boolean => {
    seen++
    const event = { topic: Buffer.from(name).toString(), ...textData(payload) }
    if (!cli.json) cli.line(printable(`[${event.topic}] ${event.data}`))
    else if (count > 0) events.push(event)
    else cli.line(encodeJson(event))
    return count === 0 || seen < count
  }
  let connection = await openSubscription(cli, target, topic, deadline.signal, 'subscribe on')
  cli.note(`subscribed to "${topic}" on ${target.text} — waiting for events...`)
  try {
    while (await readEvents(connection, take, deadline)) {
      // The stream ended, not we: brokers of the reference close what is quiet for two minutes.
      connection = await resubscribe(cli, target, topic, deadline)
    }
  } catch (error) {
    if (!deadline.isOver) failure = requestFailure('recv', error)
  } finally {
    connection.close()
  }
  const timeout = deadline.isOver && !cli.io.signal.aborted && (count === 0 || seen < count)
  if (timeout) cli.note('timeout')
  if (failure !== undefined && (count === 0 || events.length === 0)) throw failure
  if (seen === 0 && !cli.io.signal.aborted)
    cli.failSoftly(flags.strict !== undefined && isTrue(flags.strict))
  if (count > 0)
    cli.result({ events, timeout, ...(failure !== undefined && { error: failure.message }) }, [])
}

/** True when the stream ended, false when enough was read or the time is up. */
async function readEvents(
  connection: DaemonConnection,
  take: (topic: Uint8Array, payload: Uint8Array) => boolean,
  deadline: Deadline,
): Promise<boolean> {
  const decoder = new EventDecoder()
  for (;;) {
    const chunk = await connection.read({ signal: deadline.signal })
    if (chunk === undefined) return !deadline.isOver
    decoder.push(chunk)
    for (let event = decoder.next(); event !== undefined; event = decoder.next())
      if (!take(event.topic, event.payload)) return false
  }
}

async function openSubscription(
  cli: Cli,
  target: Target,
  topic: string,
  signal: AbortSignal,
  verb: 'subscribe on' | 'publish on',
): Promise<DaemonConnection> {
  const place = `(event stream port ${PORT.eventStream})`
  let connection: DaemonConnection
  try {
    connection = await cli.dial(target, PORT.eventStream, { place, signal })
  } catch (error) {
    if (!(error instanceof CliError)) throw error
    const message = error.message.replace('cannot connect to', `cannot ${verb}`)
    throw new CliError(error.code, message, error.hint, { cause: error })
  }
  await connection.write(encodeEvent(topic, new Uint8Array(0)))
  return connection
}

async function resubscribe(
  cli: Cli,
  target: Target,
  topic: string,
  deadline: Deadline,
): Promise<DaemonConnection> {
  for (let tries = 1; ; tries++) {
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, RESUBSCRIBE_MS)
      deadline.signal.addEventListener(
        'abort',
        () => {
          clearTimeout(timer)
          resolve()
        },
        { once: true },
      )
    })
    try {
      const connection = await openSubscription(cli, target, topic, deadline.signal, 'subscribe on')
      cli.note(`subscribed again to "${topic}"; events in between are lost`)
      return connection
    } catch (error) {
      if (deadline.isOver) throw error
      if (tries >= RESUBSCRIBE_TRIES)
        throw new CliError(
          'connection_failed',
          `recv: EOF, and subscribing again failed: ${messageOf(error)}`,
        )
    }
  }
}

async function publish(
  cli: Cli,
  typed: string,
  topic: string,
  flags: { data?: string; timeout: string },
): Promise<void> {
  if (flags.data === undefined) throw usageError('--data is required')
  requireTopic(topic)
  const payload = new TextEncoder().encode(flags.data)
  if (payload.length > EVENT_PAYLOAD_BYTES_MAX) throw usageError('an event takes at most 16 MiB')
  const target = await cli.target(typed)
  using deadline = new Deadline(parseDuration(flags.timeout, 'timeout'), cli.io.signal)
  // A publisher subscribes first; its own event does not come back (spec/07 §7.2).
  const connection = await openSubscription(cli, target, topic, deadline.signal, 'publish on')
  try {
    await connection.write(encodeEvent(topic, payload))
  } catch (error) {
    throw requestFailure('publish', error)
  } finally {
    connection.close()
  }
  cli.result({ target: target.text, topic, bytes: payload.length })
}

function requireTopic(topic: string): void {
  if (Buffer.byteLength(topic) > EVENT_TOPIC_BYTES_MAX)
    throw usageError(`a topic takes at most ${EVENT_TOPIC_BYTES_MAX} bytes`)
}
