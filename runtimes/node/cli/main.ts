/** `pilotctl`: from arguments to exit code (spec/08 §2). */
import { Command, CommanderError } from 'commander'
import { normalizeArguments, takeJsonFlag } from './arguments.ts'
import { Cli, type CliIo } from './cli.ts'
import { addBenchCommand } from './commands/bench.ts'
import { addContextCommand } from './commands/context.ts'
import { addDaemonCommands } from './commands/daemon.ts'
import { addDatagramCommands } from './commands/datagram.ts'
import { addDiagnosticCommands } from './commands/diagnostics.ts'
import { addEventCommands } from './commands/events.ts'
import { addFileCommand } from './commands/file.ts'
import { addGatewayCommands } from './commands/gateway.ts'
import { addInfoCommands } from './commands/info.ts'
import { addLookupCommands } from './commands/lookup.ts'
import { addMailboxCommands } from './commands/mailbox.ts'
import { addMessageCommand } from './commands/message.ts'
import { addNamingCommands } from './commands/naming.ts'
import { addNetworkCommands } from './commands/network.ts'
import { addOperatorCommands } from './commands/operator.ts'
import { addPolicyCommands } from './commands/policy.ts'
import { addSetupCommands } from './commands/setup.ts'
import { addStreamCommands } from './commands/stream.ts'
import { addTaskCommands } from './commands/task.ts'
import { addTrustCommands } from './commands/trust.ts'
import { addWebhookCommands } from './commands/webhook.ts'
import { type CliError, usageError } from './failure.ts'
import { closest, plainHelp, wrap } from './help.ts'
import { ABOUT, AFTER, HELP_TEXTS, type HelpText } from './help-texts.ts'
import { RETURNS } from './returns.ts'

/** `argv` without the program names. Returns the exit code; never rejects. */
export async function runPilotctl(argv: readonly string[], io: CliIo): Promise<number> {
  const { json, rest } = takeJsonFlag(argv)
  const cli = new Cli(io, json)
  let leaf: Command | undefined
  try {
    const program = createProgram(cli)
    const [word] = rest
    if (word === undefined || !isKnown(program, word)) return unknownCommand(cli, program, word)
    if (word === 'help') return help(cli, program, rest.slice(1))
    const { argv: normal, ignored, command } = normalizeArguments(program, rest)
    leaf = command
    for (const flag of ignored) warnOfFlag(cli, command, flag)
    await program.parseAsync(normal, { from: 'user' })
  } catch (error) {
    if (!(error instanceof CommanderError)) cli.fail(error)
    else if (error.code === 'commander.help') return groupHelp(cli, leaf)
    else if (error.exitCode !== 0) cli.fail(usageOf(error, leaf))
  } finally {
    await cli.close()
  }
  return cli.exitCode
}

export function createProgram(cli: Cli): Command {
  const program = new Command('pilotctl')
  // Before any command is added: they inherit it.
  plainHelp(program)
    .description(ABOUT)
    .usage('<command> [arguments] [--json]')
    .helpOption('-h, --help', 'print this')
    .addHelpText('after', AFTER)
    .allowExcessArguments(true)
    .showSuggestionAfterError(true)
    .exitOverride()
    .configureOutput({
      writeOut: (text) => cli.io.stdout(text),
      writeErr: () => {}, // reported in our own form
    })
  program.commandsGroup('Daemon:')
  addDaemonCommands(program, cli)
  addInfoCommands(program, cli)
  program.commandsGroup('Trust:')
  addTrustCommands(program, cli)
  program.commandsGroup('Talk:')
  addStreamCommands(program, cli)
  addMessageCommand(program, cli)
  addFileCommand(program, cli)
  addMailboxCommands(program, cli)
  addEventCommands(program, cli)
  addDatagramCommands(program, cli)
  program.commandsGroup('Work:')
  addTaskCommands(program, cli)
  program.commandsGroup('Bridge:')
  addGatewayCommands(program, cli)
  program.commandsGroup('Measure:')
  addDiagnosticCommands(program, cli)
  addBenchCommand(program, cli)
  program.commandsGroup('Networks:')
  addNetworkCommands(program, cli)
  addPolicyCommands(program, cli)
  program.commandsGroup('Registry, by its admin token:')
  addOperatorCommands(program, cli)
  program.commandsGroup('This node:')
  addNamingCommands(program, cli)
  addWebhookCommands(program, cli)
  addLookupCommands(program, cli)
  addSetupCommands(program, cli)
  program.commandsGroup('Help:')
  addContextCommand(program, cli)
  program.helpCommand('help [command]', 'Explain a command')
  explain(program, '')
  return program
}

/** Gives every command its line in the list, its notes and its examples. */
function explain(command: Command, path: string): void {
  for (const one of command.commands) {
    const name = path === '' ? one.name() : `${path} ${one.name()}`
    const text = HELP_TEXTS[name]
    if (text !== undefined) {
      one.summary(text.summary).addHelpText('after', afterwards(text, RETURNS[name]))
    }
    explain(one, name)
  }
}

function afterwards({ notes, examples }: HelpText, returns: string | undefined): string {
  return [
    ...(notes === undefined ? [] : ['', notes]),
    '',
    examples.length === 1 ? 'Example:' : 'Examples:',
    ...examples.map((example) => `  ${example}`),
    ...(returns === undefined ? [] : ['', ...wrap(`With --json: ${returns}`)]),
  ].join('\n')
}

/** The reference ignores what it does not know; so do we, and say so. */
function warnOfFlag(cli: Cli, command: Command, flag: string): void {
  const [name = ''] = flag.split('=')
  const known = command.options.flatMap((option) => option.long ?? [])
  const close = closest(name.replace(/^-(?=[^-])/, '--'), known)
  const guess = close === undefined ? '' : ` (did you mean ${close}?)`
  cli.note(`warning: unknown flag ${name} ignored${guess}`)
}

function help(cli: Cli, program: Command, words: readonly string[]): number {
  let command: Command | undefined = program
  for (const word of words) command = command?.commands.find((one) => one.name() === word)
  if (command === undefined) return unknownCommand(cli, program, words.join(' '))
  command.outputHelp()
  return 0
}

function isKnown(program: Command, word: string): boolean {
  return (
    word === 'help' ||
    word === '--help' ||
    word === '-h' ||
    program.commands.some((command) => command.name() === word)
  )
}

/** Usage and exit 2 for people, an error object and exit 1 with `--json` (spec/08 §2). */
function unknownCommand(cli: Cli, program: Command, word: string | undefined): number {
  const what = word === undefined ? 'no command' : `unknown command: ${word}`
  if (cli.json) {
    cli.fail(usageError(what, "run 'pilotctl context' for the full command list"))
    return cli.exitCode
  }
  if (word === undefined) cli.io.stderr(`${program.helpInformation()}${AFTER}\n`)
  else {
    const names = program.commands.map((command) => command.name())
    const close = closest(word, names)
    const guess = close === undefined ? '' : `did you mean: pilotctl ${close}\n`
    cli.io.stderr(
      `${what}\n${guess}usage: pilotctl ${program.usage()}; pilotctl --help lists them\n`,
    )
  }
  return 2
}

/** A group without its subcommand, e.g. `daemon`. */
function groupHelp(cli: Cli, command: Command | undefined): number {
  const names = command?.commands.map((one) => one.name()).filter((name) => name !== 'help') ?? []
  if (cli.json) {
    cli.fail(usageError(`${command?.name() ?? ''} needs one of: ${names.join(', ')}`))
    return cli.exitCode
  }
  cli.io.stderr(command?.helpInformation() ?? '')
  return 2
}

function usageOf(error: CommanderError, command: Command | undefined): CliError {
  const text = error.message
    .replace(/^error: /, '')
    .replace(/^unknown command '(.*)'$/s, 'unknown command: $1')
  const path: string[] = []
  for (let one: Command | null | undefined = command; one; one = one.parent)
    path.unshift(one.name())
  const names = command?.commands.map((one) => one.name()).filter((name) => name !== 'help') ?? []
  const usage = names.length > 0 ? names.join('|') : command?.usage()
  return usageError(text, command && `usage: ${path.join(' ')} ${usage}`)
}
