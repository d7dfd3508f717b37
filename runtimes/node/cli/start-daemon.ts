/** `daemon start`: runs the daemon program detached and watches it until it answers (spec/08 §4.1). */
import { type ChildProcess, spawn } from 'node:child_process'
import { closeSync, openSync, readFileSync } from 'node:fs'
import { collectAtOnce, NODE_FLAGS } from '../collector.ts'
import { DaemonClient, type DaemonReply } from '../ipc/client.ts'
import { checkSocketPath, isSocketLive } from '../ipc/socket-file.ts'
import { ownScript } from '../own-files.ts'
import type { Cli } from './cli.ts'
import { HOME_HINT, textOf } from './config-file.ts'
import { type StartFlags, type StartSettings, startSettings } from './daemon-options.ts'
import { CliError, messageOf, usageError } from './failure.ts'
import { makeDirectory } from './make-directory.ts'
import {
  readProcessFile,
  removeProcessFile,
  withStartLock,
  writeProcessFile,
} from './process-file.ts'
import { withFreeSocket } from './socket-choice.ts'
import { formatFields } from './table.ts'
import { isTrue } from './values.ts'

const READY_MS = 15_000
const POLL_MS = 100

export async function startDaemon(cli: Cli, typed: StartFlags): Promise<void> {
  const flags = await withFreeSocket(cli, typed)
  const settings = startSettings(cli, flags, readConfigFlag(flags.config))
  try {
    checkSocketPath(settings.socket)
  } catch (error) {
    throw usageError(messageOf(error), 'choose a shorter path with: --socket <path>')
  }
  // What the daemon would refuse is refused here, before a process is started.
  const { parseDaemonArguments } = await import('../daemon/config.ts')
  const parsed = parseDaemonArguments(settings.argv, cli.io.home)
  if ('exitCode' in parsed) throw usageError(parsed.reason, 'see: pilotctl daemon start --help')
  if (isTrue(flags.foreground)) {
    await refuseSecond(cli, settings)
    collectAtOnce()
    const { runDaemon } = await import('../daemon/run-daemon.ts')
    const token = flags.adminToken === undefined ? [] : [`--admin-token=${flags.adminToken}`]
    cli.exitCode = await runDaemon([...settings.argv, ...token], {
      stderr: cli.io.stderr,
      stdout: cli.io.stdout,
      home: cli.io.home,
      signal: cli.io.signal,
    })
    return
  }
  await withStartLock(cli.paths.lock, async () => {
    await refuseSecond(cli, settings)
    await launch(cli, settings, flags)
  })
}

async function refuseSecond(cli: Cli, { socket }: StartSettings): Promise<void> {
  const hint = 'stop it first with: pilotctl daemon stop'
  const running = readProcessFile(cli.paths.pid)
  if (running !== undefined)
    throw new CliError('already_exists', `daemon is already running (pid ${running.pid})`, hint)
  if (await isSocketLive(socket))
    throw new CliError(
      'already_exists',
      `daemon is already running (socket ${socket} is active)`,
      hint,
    )
}

async function launch(cli: Cli, { socket, argv }: StartSettings, flags: StartFlags): Promise<void> {
  const { log, pid: pidFile } = cli.paths
  let logFile: number
  try {
    makeDirectory(cli.paths.directory)
    logFile = openSync(log, 'a', 0o600)
  } catch (error) {
    throw new CliError('internal', `cannot write ${log}: ${messageOf(error)}`, HOME_HINT)
  }
  const program = ownScript('runtimes/node/bin/pilot-daemon')
  const child = spawn(process.execPath, [...NODE_FLAGS, program, ...argv, `--log-file=${log}`], {
    detached: true,
    stdio: ['ignore', logFile, logFile],
    // Not in the arguments, which everybody on this machine can read.
    env: { ...process.env, ...cli.io.env, ...adminToken(cli, flags), HOME: cli.io.home },
  })
  closeSync(logFile)
  const exit = exitOf(child)
  const { pid } = child
  if (pid === undefined) throw new CliError('internal', `cannot start ${process.execPath}`)
  writeProcessFile(pidFile, pid)
  cli.note(`starting daemon (pid ${pid})...`)
  const started = performance.now()
  try {
    const info = await waitReady(cli, socket, pid, exit)
    child.unref()
    const hostname = `${info.hostname ?? ''}`
    if (typeof info.hostname_error === 'string')
      cli.note(`warning: the hostname is not set: ${info.hostname_error}`)
    cli.result(
      { pid, node_id: info.node_id, address: info.address, hostname, socket, log_file: log },
      [
        `Daemon running (pid ${pid})`,
        ...formatFields(
          [
            ['Address', `${info.address}`],
            ...(hostname === '' ? [] : ([['Hostname', hostname]] as const)),
            ['Socket', socket],
            ['Logs', log],
          ],
          '  ',
        ),
      ],
    )
  } catch (error) {
    const didExit = (await Promise.race([exit, undefined])) !== undefined
    if (!didExit && performance.now() - started < READY_MS) process.kill(pid, 'SIGTERM')
    if (didExit) removeProcessFile(pidFile, pid)
    throw error
  }
}

async function waitReady(
  cli: Cli,
  socket: string,
  pid: number,
  exit: Promise<string>,
): Promise<DaemonReply> {
  const until = performance.now() + READY_MS
  let ended: string | undefined
  exit.then((how) => {
    ended = how
  })
  while (performance.now() < until) {
    if (ended !== undefined) {
      const reason = lastLogLine(cli.paths.log)
      throw new CliError(
        'internal',
        `the daemon did not start: ${reason === '' ? ended : reason}`,
        `full log: ${cli.paths.log}`,
      )
    }
    if (cli.io.signal.aborted) throw new CliError('timeout', 'interrupted')
    try {
      await using client = await DaemonClient.connect(socket)
      const info = await client.info({ signal: AbortSignal.timeout(2000) })
      if (info.pid === pid) return info
    } catch {
      // not yet
    }
    await new Promise((resolve) => setTimeout(resolve, POLL_MS))
  }
  throw new CliError(
    'timeout',
    `daemon started (pid ${pid}) but did not become ready within ${READY_MS / 1000}s`,
    `check logs: tail -f ${cli.paths.log}`,
  )
}

function adminToken(cli: Cli, { adminToken: typed }: StartFlags): Record<string, string> {
  const token =
    typed || (cli.io.env.PILOT_ADMIN_TOKEN ? undefined : textOf(cli.config, 'admin_token'))
  return token === undefined ? {} : { PILOT_ADMIN_TOKEN: token }
}

function exitOf(child: ChildProcess): Promise<string> {
  return new Promise((resolve) => {
    child.once('error', (error) => resolve(error.message))
    child.once('exit', (code, signal) => resolve(signal ?? `exit status ${code}`))
  })
}

/** The message of the last line, without time and level. */
function lastLogLine(path: string): string {
  try {
    const line = readFileSync(path, 'utf8').trimEnd().split('\n').at(-1) ?? ''
    const json = /^\{.*\}$/.test(line) ? (JSON.parse(line) as { msg?: unknown }) : undefined
    if (typeof json?.msg === 'string') return json.msg
    const quoted = /\bmsg=("(?:[^"\\]|\\.)*"|\S+)/.exec(line)?.[1]
    if (quoted === undefined) return line
    return quoted.startsWith('"') ? (JSON.parse(quoted) as string) : quoted
  } catch {
    return ''
  }
}

/** `registry` and `beacon` of the file, used where nothing else says them. */
function readConfigFlag(path: string | undefined): Record<string, unknown> {
  if (path === undefined) return {}
  try {
    const value: unknown = JSON.parse(readFileSync(path, 'utf8'))
    if (typeof value === 'object' && value !== null) return value as Record<string, unknown>
    throw new Error('not a JSON object')
  } catch (error) {
    throw usageError(`--config ${path}: ${messageOf(error)}`)
  }
}
