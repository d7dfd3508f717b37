/** `gateway`: local IP addresses that stand for nodes (spec/08 §3.8, spec/07 §9). */
import type { Command } from 'commander'
import { PilotError } from '../../../../core/errors.ts'
import {
  askGateway,
  type MappingText,
  mappingText,
  serveGatewayControl,
} from '../../gateway/control-socket.ts'
import { dialThrough } from '../../gateway/daemon-dial.ts'
import { DEFAULT_PORTS, Gateway } from '../../gateway/gateway.ts'
import { DEFAULT_SUBNET } from '../../gateway/subnet.ts'
import type { Cli } from '../cli.ts'
import { CliError, usageError } from '../failure.ts'
import { isAlive, readProcessFile, removeProcessFile, writeProcessFile } from '../process-file.ts'

const STOP_MS = 5000

export function addGatewayCommands(program: Command, cli: Cli): void {
  const gateway = program.command('gateway').description('Local IP addresses that stand for nodes')
  gateway
    .command('start')
    .description('Run a gateway in the foreground; needs root unless the subnet is in 127.0.0.0/8')
    .argument('[target...]', 'addresses, node ids or hostnames to map at once')
    .option('--subnet <cidr>', 'range of the local addresses', DEFAULT_SUBNET)
    .option('--ports <list>', 'ports of each, comma between', DEFAULT_PORTS.join(','))
    .action((targets: string[], flags: { subnet: string; ports: string }) =>
      start(cli, targets, flags),
    )
  gateway
    .command('stop')
    .description('Stop the gateway that runs; its addresses go')
    .action(() => stop(cli))
  gateway
    .command('map')
    .description('Give a node a local address, or tell the one it has')
    .argument('<target>', 'address, node id or hostname')
    .argument('[ip]', 'local address; default the next free one')
    .action(async (typed: string, ip: string | undefined) => {
      const { text } = await cli.target(typed)
      const request = { op: 'map', address: text, ...(ip !== undefined && { ip }) } as const
      cli.result({ ...((await ask(cli, request)) as MappingText) })
    })
  gateway
    .command('unmap')
    .description('Take a local address away; its connections end')
    .argument('<ip>', 'local address')
    .action(async (ip: string) => {
      await ask(cli, { op: 'unmap', ip })
      cli.result({ unmapped: ip })
    })
  gateway
    .command('list')
    .description('Local addresses and their nodes')
    .action(async () => {
      const mappings = (await ask(cli, { op: 'list' })) as MappingText[]
      cli.result(
        { mappings, total: mappings.length },
        mappings.length === 0
          ? ['No mappings']
          : mappings.map((one) => `${one.local_ip} → ${one.pilot_addr}`),
      )
    })
}

async function start(
  cli: Cli,
  targets: readonly string[],
  flags: { readonly subnet: string; readonly ports: string },
): Promise<void> {
  const { gatewayPid, gatewaySocket, gatewayAliases } = cli.paths
  const running = readProcessFile(gatewayPid)
  if (running !== undefined)
    throw new CliError(
      'already_exists',
      `gateway is already running (pid ${running.pid})`,
      'stop it first with: pilotctl gateway stop',
    )
  await cli.daemon()
  const addresses = []
  for (const typed of targets) addresses.push((await cli.target(typed)).address)
  const gateway = await guarded(
    async () =>
      new Gateway({
        subnet: flags.subnet,
        ports: portsOf(flags.ports),
        dial: dialThrough(cli.socketPath),
        aliasNotePath: gatewayAliases,
        warn: (text) => cli.note(text),
      }),
  )
  await gateway.prepare()
  writeProcessFile(gatewayPid, process.pid)
  try {
    for (const address of addresses) await guarded(() => gateway.map(address))
    await using _control = await guarded(() => serveGatewayControl(gateway, gatewaySocket))
    const mappings = gateway.list().map(mappingText)
    cli.result({ pid: process.pid, subnet: gateway.subnet, mappings }, [
      `Gateway running (pid ${process.pid}), subnet ${gateway.subnet}`,
      ...mappings.map((one) => `  ${one.local_ip} → ${one.pilot_addr}`),
    ])
    await aborted(cli.io.signal)
  } finally {
    await gateway.close()
    removeProcessFile(gatewayPid, process.pid)
  }
}

async function stop(cli: Cli): Promise<void> {
  const found = readProcessFile(cli.paths.gatewayPid)
  if (found === undefined) throw notRunning()
  const { pid } = found
  try {
    process.kill(pid, 'SIGTERM')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EPERM')
      throw new CliError('internal', `the gateway (pid ${pid}) belongs to another user`)
    throw notRunning()
  }
  const until = performance.now() + STOP_MS
  while (isAlive(pid) && performance.now() < until)
    await new Promise((resolve) => setTimeout(resolve, 50))
  if (isAlive(pid)) throw new CliError('timeout', `the gateway (pid ${pid}) did not stop in time`)
  removeProcessFile(cli.paths.gatewayPid, pid)
  cli.result({ pid })
}

function ask(cli: Cli, request: Parameters<typeof askGateway>[1]): Promise<unknown> {
  return guarded(() => askGateway(cli.paths.gatewaySocket, request))
}

/** @throws {CliError} for what the gateway threw. */
async function guarded<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    if (!(error instanceof PilotError)) throw error
    switch (error.code) {
      case 'ERR_DAEMON_UNAVAILABLE':
        throw notRunning()
      case 'ERR_NOT_MAPPED':
        throw new CliError('not_found', error.message, 'see: pilotctl gateway list')
      case 'ERR_INVALID_ARGUMENT':
      case 'ERR_LIMIT':
        throw usageError(error.message)
      default:
        throw new CliError(
          'internal',
          error.message,
          'run it as root, or take addresses that are there: --subnet 127.4.0.0/16 --ports 8080',
        )
    }
  }
}

function notRunning(): CliError {
  return new CliError(
    'not_running',
    'gateway is not running',
    'start it with: pilotctl gateway start <target>',
  )
}

function portsOf(text: string): number[] {
  const words = text.split(',').map((word) => word.trim())
  if (!words.every((word) => /^[1-9]\d{0,4}$/.test(word) && Number(word) < 65_536))
    throw usageError(`--ports is a list of 1 to 65535, got ${JSON.stringify(text)}`)
  return [...new Set(words.map(Number))]
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve()
    else signal.addEventListener('abort', () => resolve(), { once: true })
  })
}
