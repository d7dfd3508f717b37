/** `send-message` (spec/08 §3.4, §6.2): done when the receiver says it stored the message. */
import type { Command } from 'commander'
import { PORT } from '../../../../core/constants.ts'
import {
  DATA_FRAME,
  DATA_FRAME_BYTES_MAX,
  encodeDataFrame,
  parseAnswer,
} from '../../../../core/service/data-exchange.ts'
import type { Cli, Target } from '../cli.ts'
import { DataExchangeClient } from '../data-exchange-client.ts'
import { Deadline } from '../deadline.ts'
import { CliError, requestFailure, usageError } from '../failure.ts'
import { type InboxMessage, inboxMessages } from '../inbox.ts'
import { formatDuration, parseDuration } from '../values.ts'

const TYPES = { text: DATA_FRAME.text, json: DATA_FRAME.json, binary: DATA_FRAME.binary } as const
const POLL_MS = 200

export function addMessageCommand(program: Command, cli: Cli): void {
  program
    .command('send-message')
    .description("Put a message into a node's inbox")
    .argument('<target>', 'address, node id or hostname')
    .option('--data <text>', 'the message')
    .option('--type <type>', 'text, json or binary', 'text')
    .option('--wait [duration]', 'wait for a message back in our inbox; 30s without a duration')
    .option('--timeout <duration>', 'longest wait for the acknowledgement', '30s')
    .action(sendMessage.bind(undefined, cli))
}

async function sendMessage(
  cli: Cli,
  typed: string,
  flags: { data?: string; type: string; wait?: string; timeout: string },
): Promise<void> {
  if (flags.data === undefined) throw usageError('--data is required')
  const type = TYPES[flags.type as keyof typeof TYPES]
  if (type === undefined)
    throw usageError(`invalid --type ${JSON.stringify(flags.type)}: text, json or binary`)
  const payload = new TextEncoder().encode(flags.data)
  if (payload.length > DATA_FRAME_BYTES_MAX) throw usageError('a message takes at most 16 MiB')
  const waitMs = waitTime(flags.wait)
  const timeoutMs = parseDuration(flags.timeout, 'timeout')
  const target = await cli.target(typed)
  // What is in the inbox now is no answer, whenever its clock says it came.
  const known = new Set(
    waitMs === undefined ? [] : inboxMessages(cli.paths.inbox).map(({ id }) => id),
  )
  const ack = await deliver(cli, target, encodeDataFrame(type, payload), timeoutMs)
  const data = { target: target.text, type: flags.type, bytes: payload.length, ack }
  if (waitMs === undefined) {
    cli.result(data)
    return
  }
  cli.note(`${ack}; waiting for an answer...`)
  const reply = await waitForReply(cli, target, known, waitMs)
  if (reply === undefined) cli.failSoftly(false)
  cli.result(
    {
      ...data,
      reply: reply === undefined ? null : { ...reply.content, id: reply.id },
      timeout: reply === undefined,
    },
    reply === undefined ? [`no answer within ${formatDuration(waitMs)}`] : [reply.data],
  )
}

async function deliver(
  cli: Cli,
  target: Target,
  frame: Uint8Array,
  timeoutMs: number,
): Promise<string> {
  using deadline = new Deadline(timeoutMs, cli.io.signal)
  const connection = await cli.dial(target, PORT.dataExchange, {
    place: `(data exchange port ${PORT.dataExchange})`,
    signal: deadline.signal,
  })
  const client = new DataExchangeClient(connection)
  try {
    const text = await client.exchange(frame, deadline.signal)
    if (parseAnswer(new TextEncoder().encode(text)).kind === 'error')
      throw new CliError('connection_failed', `${target.text} did not store the message: ${text}`)
    return text
  } catch (error) {
    if (deadline.isOver)
      throw new CliError(
        'timeout',
        `no acknowledgement within ${formatDuration(timeoutMs)}: the message may or may not have arrived`,
      )
    throw requestFailure('send-message', error)
  } finally {
    connection.close()
  }
}

async function waitForReply(
  cli: Cli,
  target: Target,
  known: ReadonlySet<string>,
  waitMs: number,
): Promise<InboxMessage | undefined> {
  using deadline = new Deadline(waitMs, cli.io.signal)
  while (!deadline.isOver) {
    const reply = inboxMessages(cli.paths.inbox).find(
      ({ id, content }) => !known.has(id) && content.from === target.text,
    )
    if (reply !== undefined) return reply
    await new Promise((resolve) => setTimeout(resolve, POLL_MS))
  }
  return undefined
}

/** `undefined`: do not wait. */
function waitTime(flag: string | undefined): number | undefined {
  if (flag === undefined || flag === 'false') return undefined
  return flag === 'true' ? 30_000 : parseDuration(flag, 'wait')
}
