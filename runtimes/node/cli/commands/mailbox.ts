/** What others sent: `inbox` and `received`, read from the user's home (spec/08 §3.7, document 07 §6.3). */
import { readdirSync, rmSync, statSync } from 'node:fs'
import { join } from 'node:path'
import type { Command } from 'commander'
import type { Cli } from '../cli.ts'
import { CliError, messageOf, usageError } from '../failure.ts'
import { type InboxMessage, inboxMessages } from '../inbox.ts'
import { formatTable } from '../table.ts'
import { formatBytes, formatUnixTime, isTrue, parseCount, parseDuration } from '../values.ts'

const PREVIEW_CHARACTERS = 80

interface MailboxFlags {
  readonly clear?: string
  readonly limit?: string
  readonly since?: string
  readonly before?: string
}

interface InboxFlags extends MailboxFlags {
  readonly from?: string
  readonly latest?: string
  readonly full?: string
}

export function addMailboxCommands(program: Command, cli: Cli): void {
  program
    .command('inbox')
    .description('Messages that arrived, oldest first')
    .argument('[read id...]', 'print one message whole')
    .option('--from <node>', 'only from this address or node id')
    .option('--since <time>', 'only newer: RFC 3339, or a duration back from now')
    .option('--before <time>', 'only older')
    .option('--limit <n>', 'only the newest so many')
    .option('--latest [bool]', 'only the newest')
    .option('--full [bool]', 'do not shorten')
    .option('--clear [bool]', 'delete them')
    .action((words: string[], flags: InboxFlags) => showInbox(cli, words, flags))

  program
    .command('received')
    .description('Files that arrived')
    .option('--since <time>', 'only newer: RFC 3339, or a duration back from now')
    .option('--before <time>', 'only older')
    .option('--limit <n>', 'only the newest so many')
    .option('--clear [bool]', 'delete them')
    .action((flags: MailboxFlags) => showReceived(cli, flags))
}

function showInbox(cli: Cli, words: readonly string[], flags: InboxFlags): void {
  const dir = cli.paths.inbox
  if (isSet(flags.clear)) {
    clear(cli, dir, 'inbox message(s)')
    return
  }
  const all = inboxMessages(dir)
  if (words[0] === 'read') {
    const id = words[1]
    if (id === undefined) throw usageError('usage: pilotctl inbox read <id>')
    const message = all.find((one) => one.id === id || `${one.id}.json` === id)
    if (message === undefined)
      throw new CliError('not_found', `no message ${id}`, 'list them: pilotctl inbox')
    cli.result(contentOf(message), [head(message), message.data])
    return
  }
  const [after, before] = [timeOf(flags.since, 'since'), timeOf(flags.before, 'before')]
  let shown = all.filter(
    (one) =>
      (flags.from === undefined || isFrom(one, flags.from)) &&
      (after === undefined || one.receivedAt >= after) &&
      (before === undefined || one.receivedAt < before),
  )
  const limit = isSet(flags.latest) ? 1 : countOf(flags.limit)
  if (limit !== undefined) shown = limit === 0 ? [] : shown.slice(-limit)
  const data = { messages: shown.map(contentOf), total: shown.length, dir }
  if (shown.length === 0) {
    cli.result(data, [
      all.length === 0 ? 'inbox is empty' : 'no message matches',
      '  messages appear here when someone sends: pilotctl send-message <your-hostname> --data "hello"',
    ])
    return
  }
  cli.result(data, [
    `Inbox (${shown.length} messages):`,
    '',
    ...shown.flatMap((one) => [
      `  ${head(one)}`,
      ...(isSet(flags.full) ? one.data.split('\n') : [preview(one.data)]).map(
        (line) => `    ${line}`,
      ),
    ]),
    '',
    'read one with: pilotctl inbox read <id>   clear with: pilotctl inbox --clear',
  ])
}

function showReceived(cli: Cli, flags: MailboxFlags): void {
  const dir = cli.paths.received
  if (isSet(flags.clear)) {
    clear(cli, dir, 'received file(s)')
    return
  }
  const names = listFiles(dir)
  if (names === undefined) {
    cli.result({ files: [], total: 0 }, noFiles())
    return
  }
  const [after, before] = [timeOf(flags.since, 'since'), timeOf(flags.before, 'before')]
  let files = names.flatMap((name) => {
    const path = join(dir, name)
    const stat = statSync(path, { throwIfNoEntry: false })
    return stat?.isFile() ? [{ name, path, bytes: stat.size, at: stat.mtimeMs }] : []
  })
  files = files.filter(
    ({ at }) => (after === undefined || at >= after) && (before === undefined || at < before),
  )
  const limit = countOf(flags.limit)
  if (limit !== undefined)
    files = limit === 0 ? [] : files.sort((a, b) => a.at - b.at).slice(-limit)
  const shown = files.map(({ name, path, bytes, at }) => ({
    name,
    bytes,
    modified: formatUnixTime(at / 1000),
    path,
  }))
  cli.result(
    { files: shown, total: shown.length, dir },
    shown.length === 0
      ? noFiles()
      : [
          `Received files (${dir}):`,
          '',
          ...formatTable(
            ['NAME', 'SIZE', 'RECEIVED'],
            shown.map((one) => [one.name, formatBytes(one.bytes), one.modified]),
          ).map((line) => `  ${line}`),
          '',
          `total: ${shown.length}`,
        ],
  )
}

function noFiles(): string[] {
  return [
    'no received files',
    '  files appear here when someone sends: pilotctl send-file <your-hostname> <file>',
  ]
}

function contentOf({ id, content }: InboxMessage): Record<string, unknown> {
  return { ...content, id }
}

function head(message: InboxMessage): string {
  const { received_at, from, type } = message.content
  return `[${received_at ?? '?'}] from ${from ?? '?'} type=${type ?? '?'} id=${message.id}`
}

function preview(text: string): string {
  const line = text.replace(/\s+/g, ' ')
  return line.length > PREVIEW_CHARACTERS ? `${line.slice(0, PREVIEW_CHARACTERS)}...` : line
}

function isFrom({ content }: InboxMessage, wanted: string): boolean {
  const from = `${content.from ?? ''}`
  if (from === wanted) return true
  if (!/^\d+$/.test(wanted)) return false
  const [, high = '', low = ''] = /\.([0-9A-Fa-f]{4})\.([0-9A-Fa-f]{4})$/.exec(from) ?? []
  return Number.parseInt(high + low, 16) === Number(wanted)
}

/** @throws {CliError} `not_found` when the directory is missing. */
function clear(cli: Cli, dir: string, what: string): void {
  const names = listFiles(dir)
  if (names === undefined)
    throw new CliError('not_found', `nothing to clear: ${dir} does not exist`)
  let cleared = 0
  for (const name of names) {
    const path = join(dir, name)
    if (!statSync(path, { throwIfNoEntry: false })?.isFile()) continue
    try {
      rmSync(path)
      cleared++
    } catch (error) {
      throw new CliError('internal', `cannot delete ${path}: ${messageOf(error)}`)
    }
  }
  cli.result({ cleared }, [`cleared ${cleared} ${what}`])
}

/** Names in order, temporary ones left out; `undefined` when there is no such directory. */
function listFiles(dir: string): string[] | undefined {
  try {
    return readdirSync(dir)
      .filter((name) => !name.startsWith('.') || statSync(join(dir, name)).isFile())
      .sort()
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw new CliError('internal', `cannot read ${dir}: ${messageOf(error)}`)
  }
}

function isSet(flag: string | undefined): boolean {
  return flag !== undefined && isTrue(flag)
}

function countOf(text: string | undefined): number | undefined {
  return text === undefined ? undefined : parseCount(text, 'limit')
}

/** Unix ms. */
function timeOf(text: string | undefined, flag: string): number | undefined {
  if (text === undefined) return undefined
  const at = Date.parse(text)
  return /^\d{4}-/.test(text) && !Number.isNaN(at) ? at : Date.now() - parseDuration(text, flag)
}
