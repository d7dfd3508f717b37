/** `daemon start`, `stop`, `status` (spec/08 §4). */
import { rmSync } from 'node:fs'
import type { Command } from 'commander'
import { DaemonClient, type DaemonReply } from '../../ipc/client.ts'
import { isSocketLive } from '../../ipc/socket-file.ts'
import type { Cli } from '../cli.ts'
import type { StartFlags } from '../daemon-options.ts'
import { CliError } from '../failure.ts'
import { isAlive, readProcessFile, removeProcessFile } from '../process-file.ts'
import { startDaemon } from '../start-daemon.ts'
import { formatFields } from '../table.ts'
import { formatUptime, isTrue } from '../values.ts'
import { hostnameField } from './info.ts'

const STOP_MS = 10_000

export function addDaemonCommands(program: Command, cli: Cli): void {
  const daemon = program
    .command('daemon')
    .description('Start, stop or look after the daemon of this user')
  daemon
    .command('start')
    .description('Start the daemon and wait until it is registered')
    .optionsGroup('Network:')
    .option('--registry <host:port>', 'registry (default: 127.0.0.1:9000)')
    .option('--registry-tls [bool]', 'speak TLS to it; needs --registry-fingerprint')
    .option('--registry-fingerprint <hex>', 'SHA-256 of its certificate')
    .option('--beacon <host:port>', 'beacon (default: the host of the registry, port 9001)')
    .option('--transport <name>', 'udp, compat (WebSocket only) or auto (default: udp)')
    .option('--rendezvous-url <url>', 'wss:// URL of the rendezvous, for compat and auto')
    .option(
      '--webrtc <name>',
      'direct paths to browsers: native, werift, auto or off (default: auto)',
    )
    .option(
      '--ice-servers <urls>',
      'STUN and TURN for it, comma between: stun:host:port; "none" for none (default: the beacon)',
    )
    .option('--ws-listen <ip:port>', 'take WebSockets of trusted peers, browsers above all')
    .option('--ws-url <urls>', 'public URLs of it, comma between')
    .option('--ws-tls-cert <file>', 'PEM certificate for it')
    .option('--ws-tls-key <file>', 'PEM key for it')
    .option('--ws-origins <origins>', 'only pages of these, comma between')
    .option('--listen <ip:port>', 'UDP address (default: :0, any free port)')
    .option('--endpoint <ip:port>', 'public UDP address, when it is known')
    .option('--keepalive <duration>', 'heartbeat to the registry (default: 30s)')
    .option('--idle-timeout <duration>', 'close streams that carried nothing for so long')
    .option('--time-wait <duration>', 'how long closed streams are remembered (default: 10s)')
    .optionsGroup('This node:')
    .option('--hostname <name>', 'name at the registry')
    .option('--public [bool]', 'let every node reach this one, without trust')
    .option('--identity <path>', 'identity file (default: ~/.pilot/identity.json)')
    .option('--owner <text>', 'owner, e.g. an e-mail address')
    .option('--email <text>', 'same as --owner')
    .option('--networks <ids>', 'networks to join at the start, comma between')
    .option('--trust-auto-approve [bool]', 'approve every trust request')
    .option('--admin-token <text>', 'token of the registry (better: PILOT_ADMIN_TOKEN)')
    .option('--no-encrypt', 'send without encryption (not recommended)')
    .option('--plaintext-peers <ids>', 'node ids, comma between, talked to in the clear')
    .optionsGroup('Services:')
    .option('--no-echo', 'do not answer on port 7 (ping, bench)')
    .option('--no-stdio', 'do not answer on port 1000 (connect)')
    .option('--no-dataexchange', 'take no messages and files (port 1001)')
    .option('--no-eventstream', 'run no event broker (port 1002)')
    .option('--no-tasksubmit', 'take no tasks (port 1003)')
    .option('--nameserver [bool]', 'keep names for peers on port 53')
    .option('--webhook <url>', 'post what happens there as JSON')
    .optionsGroup('Program:')
    .option('--socket <path>', 'Unix socket for local programs (default: /tmp/pilot.sock)')
    .option('--foreground [bool]', 'run in this process, log to standard error')
    .option('--config <path>', 'JSON file with defaults for registry and beacon')
    .option('--log-level <level>', 'debug, info, warn or error')
    .option('--log-format <format>', 'text or json')
    .action((flags: StartFlags) => startDaemon(cli, flags))
  daemon
    .command('stop')
    .description('Stop the daemon; open streams are finished first')
    .action(() => stop(cli))
  daemon
    .command('status')
    .description('Whether the daemon runs and answers')
    .option('--check [bool]', 'print nothing; exit 0 if it answers, else 1')
    .action((options: { check?: string }) =>
      status(cli, options.check !== undefined && isTrue(options.check)),
    )
}

/** What the daemon on the socket says, if one answers. */
async function askInfo(socket: string): Promise<DaemonReply | undefined> {
  try {
    await using client = await DaemonClient.connect(socket)
    return await client.info({ signal: AbortSignal.timeout(3000) })
  } catch {
    return undefined
  }
}

async function stop(cli: Cli): Promise<void> {
  const pidFile = cli.paths.pid
  let pid = readProcessFile(pidFile)?.pid
  if (pid === undefined) {
    const info = await askInfo(cli.socketPath)
    if (info === undefined) throw notStarted()
    if (typeof info.pid !== 'number' || !isAlive(info.pid))
      throw new CliError(
        'not_running',
        'daemon socket is active but PID file is missing',
        `find and kill the process manually: lsof -U | grep ${cli.socketPath}`,
      )
    pid = info.pid
  }
  try {
    process.kill(pid, 'SIGTERM')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EPERM')
      throw new CliError('internal', `the daemon (pid ${pid}) belongs to another user`)
    throw notStarted()
  }
  const forced = !(await isGone(pid, STOP_MS))
  if (forced) {
    process.kill(pid, 'SIGKILL')
    await isGone(pid, 2000)
    if (!(await isSocketLive(cli.socketPath))) rmSync(cli.socketPath, { force: true })
  }
  removeProcessFile(pidFile, pid)
  cli.result({ pid, ...(forced && { forced }) }, [
    forced ? `daemon force-stopped (pid ${pid})` : `daemon stopped (pid ${pid})`,
  ])
}

async function status(cli: Cli, isCheck: boolean): Promise<void> {
  const info = await askInfo(cli.socketPath)
  if (isCheck) {
    if (info === undefined) cli.exitCode = 1
    return
  }
  const recorded = readProcessFile(cli.paths.pid)?.pid
  const pid = typeof info?.pid === 'number' ? info.pid : (recorded ?? 0)
  const running = info !== undefined || recorded !== undefined
  const data = {
    running,
    responsive: info !== undefined,
    pid,
    pid_file: cli.paths.pid,
    socket: cli.socketPath,
    ...(info !== undefined && {
      node_id: info.node_id,
      address: info.address,
      hostname: info.hostname,
      uptime_secs: info.uptime_secs,
      peers: info.peers,
      connections: info.connections,
    }),
  }
  if (!running) {
    cli.result(data, ['Daemon: stopped', '  start with: pilotctl daemon start'])
    return
  }
  const head = `Daemon: running${pid === 0 ? '' : ` (pid ${pid})`}`
  cli.result(
    data,
    info === undefined
      ? [
          head,
          `  but nothing answers on ${cli.socketPath}: it is starting, or uses another socket`,
          `  log: ${cli.paths.log}`,
        ]
      : [
          head,
          ...formatFields(
            [
              ['Node ID', `${info.node_id ?? 'unknown'}`],
              ['Address', `${info.address ?? 'unknown'}`],
              ...hostnameField(info),
              ['Uptime', formatUptime(Number(info.uptime_secs) || 0)],
              ['Peers', `${info.peers ?? 'unknown'}`],
              ['Connections', `${info.connections ?? 'unknown'}`],
              ...(info.registry_reachable === false
                ? ([['Registry', `${info.registry} cannot be reached`]] as const)
                : []),
              ...(info.beacon_status === 'silent'
                ? ([['Beacon', `${info.beacon_addr} does not answer`]] as const)
                : []),
            ],
            '  ',
          ),
        ],
  )
}

async function isGone(pid: number, withinMs: number): Promise<boolean> {
  const until = performance.now() + withinMs
  while (isAlive(pid)) {
    if (performance.now() > until) return false
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
  return true
}

function notStarted(): CliError {
  return new CliError(
    'not_running',
    'daemon is not running',
    'start the daemon with: pilotctl daemon start',
  )
}
