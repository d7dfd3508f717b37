/**
 * `pilot-gateway`, in the place of the reference's `gateway` (spec/08 §5): one gateway in the foreground, or a mapping
 * more for the one that runs. `pilotctl gateway` is the same with `--json`, and reaches this one too.
 */
import { existsSync, readFileSync } from 'node:fs'
import { isIPv4 } from 'node:net'
import { dirname } from 'node:path'
import { Command } from 'commander'
import { PilotError } from '../../../core/errors.ts'
import { type Address, formatAddress, parseAddress } from '../../../core/wire/address.ts'
import { normalizeArguments } from '../cli/arguments.ts'
import { plainHelp } from '../cli/help.ts'
import { makeDirectory } from '../cli/make-directory.ts'
import { DEFAULT_SOCKET, pilotPaths } from '../cli/paths.ts'
import { readProcessFile, removeProcessFile, writeProcessFile } from '../cli/process-file.ts'
import { createLog, LOG_LEVELS, type Log, type LogFormat, type LogLevel } from '../daemon/log.ts'
import { isSocketLive } from '../ipc/socket-file.ts'
import { VERSION } from '../version.ts'
import { askGateway, type MappingText, serveGatewayControl } from './control-socket.ts'
import { dialThrough } from './daemon-dial.ts'
import { DEFAULT_PORTS, Gateway } from './gateway.ts'
import { DEFAULT_SUBNET } from './subnet.ts'

export interface GatewayIo {
  stdout(text: string): void
  stderr(text: string): void
  readonly home: string
  /** Aborted when the gateway is to stop. */
  readonly signal: AbortSignal
}

const PROGRAM = 'pilot-gateway'
const USAGE = `usage: ${PROGRAM} [flags] run [<address> [<ip>]]... | map <address> [<ip>]`

interface Wanted {
  readonly address: Address
  readonly ip: string | undefined
}

interface Settings {
  readonly socket: string
  readonly subnet: string
  readonly ports: readonly number[]
  readonly log: Log
  readonly verb: 'run' | 'map'
  readonly wanted: readonly Wanted[]
}

const NOTES = `
run   runs the gateway until SIGINT or SIGTERM; its addresses go with it
map   gives a node an address of the gateway that runs

An address is one of a node (0:0000.0000.002A), and may be followed by the
local IP that it is to have. Members of the -config file are flag names. Root
is needed for a subnet outside of 127.0.0.0/8. pilotctl gateway map, unmap,
list and stop reach this gateway; its start takes hostnames as well.

Examples:
  ${PROGRAM} run 0:0000.0000.0002
  ${PROGRAM} -subnet 127.4.0.0/16 -ports 8080 run 0:0000.0000.0002 127.4.0.9

Exit codes: 0 stopped or mapped, 1 failed, 2 bad flag.`

/** Returns the exit code; never rejects for what a user or a peer does. */
export async function runGatewayProgram(argv: readonly string[], io: GatewayIo): Promise<number> {
  const command = createCommand()
  let settings: Settings
  try {
    const { argv: normal, ignored } = normalizeArguments(command, argv, { singleDash: true })
    const stray = ignored.find((word) => word.startsWith('-'))
    if (stray !== undefined) throw new FlagError(`unknown flag ${stray.split('=')[0]}`)
    if (normal.includes('--help')) {
      io.stdout(`${command.helpInformation().trimEnd()}\n${NOTES}\n`)
      return 0
    }
    command.parse([...normal], { from: 'user' })
    if (command.getOptionValue('version') === true) {
      io.stdout(`${PROGRAM} ${VERSION}\n`)
      return 0
    }
    applyConfig(command)
    settings = settingsOf(command, io)
  } catch (error) {
    io.stderr(`${PROGRAM}: ${messageOf(error).replace(/^error: /, '')}\n`)
    return error instanceof UsageOnly ? 1 : 2
  }
  try {
    await (settings.verb === 'map' ? map(settings, io) : run(settings, io))
    return 0
  } catch (error) {
    if (!(error instanceof PilotError)) throw error
    io.stderr(`${PROGRAM}: ${error.message}\n`)
    return 1
  }
}

function createCommand(): Command {
  return plainHelp(new Command(PROGRAM))
    .description('Local IP addresses that stand for nodes, for programs that know TCP only')
    .usage('[flags] run [<address> [<ip>]]... | map <address> [<ip>]')
    .argument('[words...]')
    .option('--socket <path>', "the daemon's Unix socket", DEFAULT_SOCKET)
    .option('--subnet <cidr>', 'range of the local addresses', DEFAULT_SUBNET)
    .option('--ports <list>', 'ports of each, comma between', DEFAULT_PORTS.join(','))
    .option('--config <path>', 'JSON file with flags as members')
    .option('--log-level <level>', LOG_LEVELS.join(', '), 'info')
    .option('--log-format <format>', 'text or json', 'text')
    .option('--version', 'print the version')
    .helpOption('-h, --help', 'print this')
    .exitOverride()
    .configureOutput({ writeOut: () => {}, writeErr: () => {} })
}

/** What is no flag, but a wrong use: exit 1, as the reference has it. */
class UsageOnly extends Error {}
class FlagError extends Error {}

/** Members of the file for flags that were not given. */
function applyConfig(command: Command): void {
  const path = command.getOptionValue('config') as string | undefined
  if (path === undefined) return
  let members: unknown
  try {
    members = JSON.parse(readFileSync(path, 'utf8'))
  } catch (error) {
    throw new FlagError(`-config ${path}: ${messageOf(error)}`)
  }
  if (typeof members !== 'object' || members === null || Array.isArray(members))
    throw new FlagError(`-config ${path}: not a JSON object`)
  for (const [key, value] of Object.entries(members)) {
    const option = command.options.find((one) => one.name() === key.replaceAll('_', '-'))
    if (option === undefined || !['string', 'number'].includes(typeof value)) continue
    const name = option.attributeName()
    if (command.getOptionValueSource(name) !== 'cli') command.setOptionValue(name, `${value}`)
  }
}

function settingsOf(command: Command, io: GatewayIo): Settings {
  const flags = command.opts<Record<string, string>>()
  const level = LOG_LEVELS.find((one) => one === flags.logLevel)
  if (level === undefined) throw new FlagError(`-log-level is one of ${LOG_LEVELS.join(', ')}`)
  if (!/^(text|json)$/.test(flags.logFormat ?? ''))
    throw new FlagError('-log-format is text or json')
  const ports = (flags.ports ?? '').split(',').map((word) => word.trim())
  if (!ports.every((word) => /^[1-9]\d{0,4}$/.test(word) && Number(word) < 65_536))
    throw new FlagError(`-ports is a list of 1 to 65535, got ${JSON.stringify(flags.ports)}`)
  const [verb, ...words] = command.args
  if (verb !== 'run' && verb !== 'map') throw new UsageOnly(USAGE)
  const wanted = wantedOf(words)
  if (verb === 'map' && wanted.length !== 1) throw new UsageOnly(USAGE)
  return {
    socket: flags.socket ?? DEFAULT_SOCKET,
    subnet: flags.subnet ?? DEFAULT_SUBNET,
    ports: [...new Set(ports.map(Number))],
    log: createLog(
      (line) => io.stderr(`${line}\n`),
      level as LogLevel,
      flags.logFormat as LogFormat,
    ),
    verb,
    wanted,
  }
}

function wantedOf(words: readonly string[]): Wanted[] {
  const wanted: Wanted[] = []
  for (let at = 0; at < words.length; at++) {
    let address: Address
    try {
      address = parseAddress(words[at]!)
    } catch (error) {
      throw new UsageOnly(messageOf(error))
    }
    const next = words[at + 1]
    const ip = next !== undefined && isIPv4(next) ? next : undefined
    if (ip !== undefined) at++
    wanted.push({ address, ip })
  }
  return wanted
}

async function run(settings: Settings, io: GatewayIo): Promise<void> {
  const { socket, subnet, ports, log, wanted } = settings
  const { gatewayPid, gatewaySocket, gatewayAliases } = pilotPaths(io.home)
  const running = readProcessFile(gatewayPid)
  if (running !== undefined)
    throw new PilotError('ERR_ADDRESS_IN_USE', `a gateway already runs (pid ${running.pid})`)
  if (!existsSync(socket) || !(await isSocketLive(socket)))
    throw new PilotError('ERR_DAEMON_UNAVAILABLE', `no daemon answers on ${socket}`)
  makeDirectory(dirname(gatewayPid))
  const gateway = new Gateway({
    subnet,
    ports,
    dial: dialThrough(socket),
    aliasNotePath: gatewayAliases,
    warn: (text) => log.warn(text),
  })
  await gateway.prepare()
  writeProcessFile(gatewayPid, process.pid)
  try {
    for (const { address, ip } of wanted) {
      const { localIp } = await gateway.map(address, ip)
      io.stdout(`mapped ${localIp} → ${formatAddress(address)}\n`)
    }
    await using _control = await serveGatewayControl(gateway, gatewaySocket)
    log.info('gateway running', { subnet: gateway.subnet, mappings: wanted.length })
    if (!io.signal.aborted)
      await new Promise<void>((resolve) =>
        io.signal.addEventListener('abort', () => resolve(), { once: true }),
      )
    log.info('stopping')
  } finally {
    await gateway.close()
    removeProcessFile(gatewayPid, process.pid)
  }
}

/** Deviation: the reference maps in a process that ends at once, so that nothing is proxied (spec/08 §3.8). */
async function map({ wanted }: Settings, io: GatewayIo): Promise<void> {
  const { address, ip } = wanted[0]!
  const text = formatAddress(address)
  const { gatewaySocket } = pilotPaths(io.home)
  const request = { op: 'map', address: text, ...(ip !== undefined && { ip }) } as const
  const mapping = (await askGateway(gatewaySocket, request)) as MappingText
  io.stdout(`mapped ${mapping.local_ip} → ${mapping.pilot_addr}\n`)
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
