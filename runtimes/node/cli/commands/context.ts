/** `context`: this program described for programs (spec/08 §3.1). */
import type { Command } from 'commander'
import type { Cli } from '../cli.ts'
import { CLI_CODES, CliError } from '../failure.ts'
import { DEFAULT_REGISTRY, DEFAULT_SOCKET } from '../paths.ts'
import { RETURNS } from '../returns.ts'

export function addContextCommand(program: Command, cli: Cli): void {
  program
    .command('context')
    .description('All commands, flags and results as JSON')
    .argument('[command...]', 'only this command')
    .action((words: string[]) => {
      const all = describe(program, '')
      const wanted = words.join(' ')
      const commands =
        wanted === ''
          ? all
          : Object.fromEntries(
              Object.entries(all).filter(
                ([name]) => name === wanted || name.startsWith(`${wanted} `),
              ),
            )
      if (Object.keys(commands).length === 0)
        throw new CliError('not_found', `unknown command: ${wanted}`)
      cli.result({
        version: '1.2',
        commands,
        error_codes: CLI_CODES,
        global_flags: {
          '--json':
            'Output structured JSON for all commands. Success: {status:ok, data:{...}}. Error: {status:error, code:string, message:string}',
        },
        environment: {
          PILOT_REGISTRY: `Registry address (default: ${DEFAULT_REGISTRY})`,
          PILOT_ADMIN_TOKEN: 'Admin token of the registry, for requests about networks',
          PILOT_SOCKET: `Daemon socket path (default: ${DEFAULT_SOCKET})`,
        },
        config_file: '~/.pilot/config.json',
      })
    })
}

interface Description {
  readonly args: readonly string[]
  readonly description: string
  readonly returns: string
}

function describe(command: Command, path: string): Record<string, Description> {
  const out: Record<string, Description> = {}
  for (const one of command.commands) {
    const name = path === '' ? one.name() : `${path} ${one.name()}`
    if (one.commands.length > 0) Object.assign(out, describe(one, name))
    else
      out[name] = {
        args: [
          ...one.registeredArguments.map((argument) => {
            const text = `${argument.name()}${argument.variadic ? '...' : ''}`
            return argument.required ? `<${text}>` : `[${text}]`
          }),
          ...one.options.map((option) => `[${option.flags}]`),
        ],
        description: one.description(),
        returns: RETURNS[name] ?? '',
      }
  }
  return out
}
