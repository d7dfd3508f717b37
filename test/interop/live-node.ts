/** One node: a daemon of some generation in a home of its own, driven by a pilotctl of some generation. */
import type { ChildProcess } from 'node:child_process'
import { mkdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import {
  endProgram,
  isRunning,
  type Output,
  type Program,
  runProgram,
  startProgram,
} from './processes.ts'
import type { Kind } from './programs.ts'

// biome-ignore lint/suspicious/noExplicitAny: what a program printed is read as it came
export type Json = any

export interface LiveNodeOptions {
  /** Letter in the names of checks. */
  readonly name: string
  readonly hostname: string
  readonly kind: Kind
  readonly daemon: Program
  /** Whose command line drives it. */
  readonly drivenBy: Kind
  readonly pilotctl: Program
  readonly home: string
  readonly registry: string
  readonly beacon: string
  readonly isPublic: boolean
}

/** Heartbeats this often, so that what goes through the registry need not be waited for half a minute. */
const KEEPALIVE = '2s'
const READY_MS = 15_000
const COMMAND_MS = 30_000

export class LiveNode {
  readonly name: string
  readonly hostname: string
  readonly kind: Kind
  readonly drivenBy: Kind
  readonly home: string
  readonly isPublic: boolean
  readonly logFile: string
  readonly #options: LiveNodeOptions
  readonly #env: Readonly<Record<string, string>>
  #process: ChildProcess | undefined
  nodeId = 0
  address = ''

  constructor(options: LiveNodeOptions) {
    this.#options = options
    this.name = options.name
    this.hostname = options.hostname
    this.kind = options.kind
    this.drivenBy = options.drivenBy
    this.home = options.home
    this.isPublic = options.isPublic
    mkdirSync(join(this.home, '.pilot'), { recursive: true, mode: 0o700 })
    this.logFile = join(this.home, 'daemon.log')
    this.#env = {
      HOME: this.home,
      PILOT_SOCKET: this.socketPath,
      PILOT_REGISTRY: options.registry,
    }
  }

  get socketPath(): string {
    return join(this.home, 'pilot.sock')
  }

  get isRunning(): boolean {
    return this.#process !== undefined && isRunning(this.#process)
  }

  /** Until the daemon answers Info, i.e. is registered. Gives back the milliseconds it took. */
  async start(): Promise<number> {
    const { daemon, registry, beacon, kind } = this.#options
    const started = performance.now()
    const args = [
      ...['-registry', registry, '-beacon', beacon, '-listen', '127.0.0.1:0'],
      ...['-socket', this.socketPath, '-identity', join(this.home, '.pilot', 'identity.json')],
      ...['-hostname', this.hostname, '-keepalive', KEEPALIVE],
      ...(this.isPublic ? ['-public'] : []),
      ...(kind === 'ours' ? ['-nameserver'] : []),
      ...(kind === 'G2' ? ['-email', `${this.hostname}@example.org`] : []),
    ]
    this.#process = startProgram(daemon, args, this.#env, this.logFile)
    for (;;) {
      const { code, stdout } = await this.run(['info'], 5000)
      if (code === 0) {
        const info = JSON.parse(stdout).data
        this.nodeId = info.node_id
        this.address = info.address
        return performance.now() - started
      }
      if (!this.isRunning) throw new Error(`daemon ${this.name} ended: ${this.#lastLogLine()}`)
      if (performance.now() - started > READY_MS)
        throw new Error(
          `daemon ${this.name} not ready after ${READY_MS} ms: ${this.#lastLogLine()}`,
        )
      await sleep(50)
    }
  }

  /** Gives back the milliseconds until the process was gone. */
  async stop(signal: 'SIGTERM' | 'SIGKILL'): Promise<number> {
    const child = this.#process
    this.#process = undefined
    return child === undefined ? 0 : endProgram(child, signal)
  }

  /** Runs pilotctl with `--json`; any exit code. */
  run(args: readonly string[], timeoutMs: number = COMMAND_MS): Promise<Output> {
    return runProgram(this.#options.pilotctl, ['--json', ...args], this.#env, timeoutMs)
  }

  /** A pilotctl that goes on; what it prints is in `pilotctl.log`. */
  spawn(args: readonly string[]): ChildProcess {
    const log = join(this.home, 'pilotctl.log')
    return startProgram(this.#options.pilotctl, ['--json', ...args], this.#env, log)
  }

  /**
   * The `data` of a command that succeeded.
   *
   * @throws {Error} naming the command, when it took too long, failed, or printed no envelope.
   */
  async ctl(args: readonly string[], timeoutMs: number = COMMAND_MS): Promise<Json> {
    const { code, stdout, stderr, isOverdue } = await this.run(args, timeoutMs)
    const command = `${this.name}: pilotctl ${args.join(' ')}`
    if (isOverdue) throw new Error(`${command}: nothing after ${timeoutMs} ms`)
    if (code !== 0) throw new Error(`${command}: exit ${code}, ${messageOf(stderr)}`)
    let envelope: Json
    try {
      envelope = JSON.parse(stdout)
    } catch {
      throw new Error(`${command}: no JSON on standard output: ${stdout.slice(0, 200)}`)
    }
    if (envelope.status !== 'ok' || typeof envelope.data !== 'object')
      throw new Error(`${command}: not the envelope of spec/08 §2.1: ${stdout.slice(0, 200)}`)
    return envelope.data
  }

  /** Datagrams sent and received since the daemon started. */
  async packets(): Promise<number> {
    const info = await this.ctl(['info'])
    return info.pkts_sent + info.pkts_recv
  }

  /** Node ids. */
  async trusted(): Promise<readonly number[]> {
    const { trusted } = await this.ctl(['trust'])
    return (trusted ?? []).map((one: Json) => one.node_id)
  }

  /** Node ids. */
  async pending(): Promise<readonly number[]> {
    const { pending } = await this.ctl(['pending'])
    return (pending ?? []).map((one: Json) => one.node_id)
  }

  #lastLogLine(): string {
    try {
      return readFileSync(this.logFile, 'utf8').trim().split('\n').at(-1) ?? ''
    } catch {
      return 'no log'
    }
  }
}

function messageOf(stderr: string): string {
  try {
    const { code, message } = JSON.parse(stderr)
    return `${code}: ${message}`
  } catch {
    return stderr.trim().slice(0, 300) || 'nothing on standard error'
  }
}
