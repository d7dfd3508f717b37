/** Programs of the demo: a rendezvous, two homes, `pilotctl` in each, and an orderly end. */
import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const program = (path: string): string =>
  fileURLToPath(new URL(`../../dist/${path}`, import.meta.url))
const PILOTCTL = program('runtimes/node/bin/pilotctl.js')
const RENDEZVOUS = program('signaling/bin/pilot-rendezvous.js')

export interface Reply {
  readonly status: string
  readonly data?: Record<string, unknown>
  readonly message?: string
  readonly hint?: string
}

/** One user's home with a daemon in it. */
export class Agent {
  readonly name: string
  readonly home: string
  readonly #registry: string
  readonly #beacon: string

  constructor(name: string, home: string, registry: string, beacon: string) {
    this.name = name
    this.home = home
    this.#registry = registry
    this.#beacon = beacon
  }

  get environment(): NodeJS.ProcessEnv {
    const { PILOT_SOCKET: _socket, PILOT_REGISTRY: _registry, ...rest } = process.env
    return { ...rest, HOME: this.home, PILOT_SOCKET: join(this.home, 'pilot.sock') }
  }

  /** Line for a user who wants to type commands of this agent. */
  get shellPrefix(): string {
    return `HOME=${this.home} PILOT_SOCKET=${join(this.home, 'pilot.sock')} node dist/runtimes/node/bin/pilotctl.js`
  }

  start(): Promise<Record<string, unknown>> {
    const place = [
      '--registry',
      this.#registry,
      '--beacon',
      this.#beacon,
      '--listen',
      '127.0.0.1:0',
    ]
    return this.ctl('daemon', 'start', '--hostname', this.name, ...place)
  }

  /** Runs `pilotctl --json`; the data, or an error with what it said. */
  async ctl(...args: readonly string[]): Promise<Record<string, unknown>> {
    const { stdout, stderr, code } = await this.#run(['--json', ...args])
    const text = stdout.trim() === '' ? stderr : stdout
    let reply: Reply
    try {
      reply = JSON.parse(text.trim().split('\n').at(-1) ?? '') as Reply
    } catch {
      throw new Error(`pilotctl ${args.join(' ')} printed no JSON (exit ${code}): ${text.trim()}`)
    }
    if (reply.status !== 'ok')
      throw new Error(
        `pilotctl ${args.join(' ')}: ${reply.message}${reply.hint ? ` (${reply.hint})` : ''}`,
      )
    return reply.data ?? {}
  }

  /** Runs `pilotctl` on the user's terminal, progress bar and all. */
  async show(...args: readonly string[]): Promise<void> {
    const child = spawn(process.execPath, [PILOTCTL, ...args], {
      env: this.environment,
      stdio: 'inherit',
    })
    const code = await new Promise((resolve) => child.once('exit', resolve))
    if (code !== 0) throw new Error(`pilotctl ${args.join(' ')} ended with ${code}`)
  }

  #run(args: readonly string[]): Promise<{ stdout: string; stderr: string; code: number }> {
    return new Promise((resolve) => {
      const options = { env: this.environment, maxBuffer: 64 << 20 }
      execFile(process.execPath, [PILOTCTL, ...args], options, (error, stdout, stderr) =>
        resolve({ stdout, stderr, code: error === null ? 0 : Number(error.code ?? 1) }),
      )
    })
  }
}

export class Stage {
  readonly directory: string
  readonly agents: Agent[] = []
  statusUrl = ''
  #rendezvous: ChildProcess | undefined
  #registry = ''
  #beacon = ''

  private constructor(directory: string) {
    this.directory = directory
  }

  static async create(): Promise<Stage> {
    return new Stage(await mkdtemp(join(tmpdir(), 'pilot-demo-')))
  }

  /** Starts `pilot-rendezvous` on free ports, its state in a SQLite file. */
  async startRendezvous(): Promise<void> {
    const store = join(this.directory, 'rendezvous.sqlite')
    const free = [
      '-registry-addr',
      '127.0.0.1:0',
      '-beacon-addr',
      '127.0.0.1:0',
      '-http',
      '127.0.0.1:0',
    ]
    const child = spawn(process.execPath, [RENDEZVOUS, ...free, '-store', store], {
      stdio: ['ignore', 'ignore', 'pipe'],
    })
    this.#rendezvous = child
    const log = await new Promise<string>((resolve, reject) => {
      let text = ''
      child.stderr?.setEncoding('utf8').on('data', (chunk: string) => {
        text += chunk
        if (text.includes('file=')) resolve(text)
      })
      child.once('exit', () => reject(new Error(`pilot-rendezvous did not start: ${text.trim()}`)))
    })
    this.#registry = /tcp=(\S+)/.exec(log)?.[1] ?? ''
    this.#beacon = /udp=(\S+)/.exec(log)?.[1] ?? ''
    this.statusUrl = /url=(\S+)/.exec(log)?.[1] ?? ''
  }

  get registry(): string {
    return this.#registry
  }

  addAgent(name: string, home: string): Agent {
    const agent = new Agent(name, home, this.#registry, this.#beacon)
    this.agents.push(agent)
    return agent
  }

  /** Ends everything that was started, and removes what it left. */
  async close(): Promise<void> {
    await Promise.all(this.agents.map((agent) => agent.ctl('daemon', 'stop').catch(() => {})))
    const child = this.#rendezvous
    if (child !== undefined && child.exitCode === null) {
      const gone = new Promise((resolve) => child.once('exit', resolve))
      child.kill('SIGTERM')
      await gone
    }
    await rm(this.directory, { recursive: true, force: true })
  }
}
