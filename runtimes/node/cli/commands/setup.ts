/** `init`, `config`, `version` (spec/08 §3.1). */
import type { Command } from 'commander'
import { VERSION } from '../../version.ts'
import type { Cli } from '../cli.ts'
import { updateConfig } from '../config-file.ts'
import { usageError } from '../failure.ts'
import { DEFAULT_REGISTRY, DEFAULT_SOCKET, defaultBeacon } from '../paths.ts'

export function addSetupCommands(program: Command, cli: Cli): void {
  program
    .command('init')
    .description('Write the configuration file')
    .option('--registry <host:port>', 'registry', DEFAULT_REGISTRY)
    .option('--beacon <host:port>', 'beacon; default: the host of the registry, port 9001')
    .option('--hostname <name>', 'name of this node')
    .option('--socket <path>', "the daemon's socket", DEFAULT_SOCKET)
    .action((options: { registry: string; beacon?: string; hostname?: string; socket: string }) => {
      const { registry, socket, hostname = '' } = options
      const beacon = options.beacon ?? defaultBeacon(registry)
      updateConfig(cli.paths.config, {
        registry,
        beacon,
        socket,
        ...(hostname !== '' && { hostname }),
      })
      cli.result({ config_path: cli.paths.config, registry, beacon, socket, hostname })
    })

  program
    .command('config')
    .description('Show the configuration, or change one key of it')
    .option('--set <key=value>', 'store a value; an empty value removes the key')
    .action((options: { set?: string }) => {
      if (options.set === undefined) {
        cli.result({
          ...cli.config,
          registry: cli.registry,
          socket: cli.socketPath,
          config_path: cli.paths.config,
          pid_file: cli.paths.pid,
          log_file: cli.paths.log,
        })
        return
      }
      const match = /^([^=]+)=(.*)$/s.exec(options.set)
      if (match === null) throw usageError('--set needs key=value')
      const [, key = '', value = ''] = match
      updateConfig(cli.paths.config, { [key]: value === '' ? undefined : value })
      cli.result({ key, value })
    })

  program
    .command('version')
    .description('Version of pilotctl')
    .action(() => cli.line(VERSION)) // bare, also with --json, as v1.9 prints it
}
