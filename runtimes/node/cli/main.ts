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
import { addInfoCommands } from './commands/info.ts'
import { addLookupCommands } from './commands/lookup.ts'
import { addMailboxCommands } from './commands/mailbox.ts'
import { addMessageCommand } from './commands/message.ts'
import { addNamingCommands } from './commands/naming.ts'
import { addSetupCommands } from './commands/setup.ts'
import { addStreamCommands } from './commands/stream.ts'
import { addTrustCommands } from './commands/trust.ts'
import { type CliError, usageError } from './failure.ts'

const ABOUT = `Pilot Protocol command line.

Targets are an address (N:NNNN.HHHH.LLLL), a node id, or a hostname.
Durations: 500ms, 30s, 1m30s, or a number of seconds.`

const AFTER = `
Output:       --json anywhere prints one JSON object; errors go to standard error.
Environment:  PILOT_SOCKET (default /tmp/pilot.sock), PILOT_REGISTRY (default 127.0.0.1:9000)
Config file:  ~/.pilot/config.json
First steps:  pilotctl daemon start --hostname agent-a
              pilotctl handshake agent-b "why"      (and the same on the other side)
              pilotctl connect agent-b --message "hello"`

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
    for (const flag of ignored) cli.note(`warning: unknown flag ${flag.split('=')[0]} ignored`)
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
  program
    .description(ABOUT)
    .usage('<command> [arguments] [--json]')
    .addHelpText('after', AFTER)
    .allowExcessArguments(true)
    .showSuggestionAfterError(true)
    .exitOverride()
    .configureOutput({
      writeOut: (text) => cli.io.stdout(text),
      writeErr: () => {}, // reported in our own form
    })
  program.commandsGroup('Set up:')
  addSetupCommands(program, cli)
  program.commandsGroup('Daemon:')
  addDaemonCommands(program, cli)
  addInfoCommands(program, cli)
  program.commandsGroup('This node:')
  addNamingCommands(program, cli)
  addLookupCommands(program, cli)
  program.commandsGroup('Trust:')
  addTrustCommands(program, cli)
  program.commandsGroup('Talk:')
  addStreamCommands(program, cli)
  addMessageCommand(program, cli)
  addFileCommand(program, cli)
  addMailboxCommands(program, cli)
  addEventCommands(program, cli)
  addDatagramCommands(program, cli)
  program.commandsGroup('Measure:')
  addDiagnosticCommands(program, cli)
  addBenchCommand(program, cli)
  program.commandsGroup('Help:')
  addContextCommand(program, cli)
  program.helpCommand('help [command]', 'Show help for a command')
  return program
}

function help(cli: Cli, program: Command, words: readonly string[]): number {
  let command: Command | undefined = program
  for (const word of words) command = command?.commands.find((one) => one.name() === word)
  if (command === undefined) return unknownCommand(cli, program, words.join(' '))
  cli.io.stdout(`${command.helpInformation()}${command === program ? `${AFTER}\n` : ''}`)
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
  cli.io.stderr(`${what}\n\n${program.helpInformation()}`)
  return 2
}

/** A group without its subcommand, e.g. `daemon`. */
function groupHelp(cli: Cli, command: Command | undefined): number {
  if (cli.json) {
    cli.fail(usageError(`${command?.name() ?? ''} needs a subcommand`))
    return cli.exitCode
  }
  cli.io.stderr(command?.helpInformation() ?? '')
  return 2
}

function usageOf(error: CommanderError, command: Command | undefined): CliError {
  const text = error.message.replace(/^error: /, '')
  const path: string[] = []
  for (let one: Command | null | undefined = command; one; one = one.parent)
    path.unshift(one.name())
  return usageError(text, command && `usage: ${path.join(' ')} ${command.usage()}`)
}
