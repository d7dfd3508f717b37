/** The built programs as real processes, each user with a home and a socket of its own. */
import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const dist =
  process.env.PILOT_TEST_PROGRAMS ?? fileURLToPath(new URL('../../dist', import.meta.url))
export const PILOTCTL: string = join(dist, 'runtimes/node/bin/pilotctl.js')
export const DAEMON: string = join(dist, 'runtimes/node/bin/pilot-daemon.js')
export const RENDEZVOUS: string = join(dist, 'signaling/bin/pilot-rendezvous.js')

export interface Ran {
  readonly code: number
  readonly stdout: string
  readonly stderr: string
  /** `data` of a success, the whole object of a failure; with `--json` only. */
  readonly json: Record<string, unknown>
}

export interface RendezvousOptions {
  /** SQLite file; default none. */
  readonly store?: string
  /** Serve the status page. */
  readonly http?: boolean
  /** `host:port`, to come back where one was before. Default: free ports. */
  readonly registry?: string
  readonly beacon?: string
  /** Beside those of this process. */
  readonly env?: Readonly<Record<string, string>>
}

/** A rendezvous, on free ports unless told. */
export class Rendezvous {
  readonly registry: string
  readonly beacon: string
  /** `http://host:port`, `''` without. */
  readonly url: string
  readonly #child: ChildProcess
  readonly #log: () => string

  private constructor(child: ChildProcess, log: () => string) {
    this.#child = child
    this.#log = log
    const found = (key: string): string =>
      new RegExp(`\\b${key}="?([^\\s"]+)`).exec(log())?.[1] ?? ''
    this.registry = found('tcp')
    this.beacon = found('udp')
    this.url = found('url')
  }

  static async start(options: RendezvousOptions = {}): Promise<Rendezvous> {
    const argv = ['-registry-addr', options.registry ?? '127.0.0.1:0']
    argv.push('-beacon-addr', options.beacon ?? '127.0.0.1:0')
    argv.push('-store', options.store ?? ':memory:')
    if (options.http === true) argv.push('-http', '127.0.0.1:0')
    const child = spawn(process.execPath, [RENDEZVOUS, ...argv], {
      env: { ...process.env, ...options.env },
      stdio: ['ignore', 'ignore', 'pipe'],
    })
    let log = ''
    await new Promise<void>((resolve, reject) => {
      child.stderr.on('data', (chunk) => {
        log += chunk
        if (/state is (NOT )?kept/.test(log)) resolve()
      })
      child.once('error', reject)
      child.once('exit', () => reject(new Error(`rendezvous ended: ${log}`)))
    })
    return new Rendezvous(child, () => log)
  }

  get pid(): number {
    return this.#child.pid!
  }
  get isRunning(): boolean {
    return this.#child.exitCode === null && this.#child.signalCode === null
  }
  get log(): string {
    return this.#log()
  }

  async stop(signal: 'SIGTERM' | 'SIGKILL' = 'SIGTERM'): Promise<void> {
    if (!this.isRunning) return
    const exited = new Promise((resolve) => this.#child.once('exit', resolve))
    this.#child.kill(signal)
    await exited
  }
}

/** One user: home, socket, and `pilotctl` in that environment. */
export class User {
  readonly home: string = mkdtempSync(join(tmpdir(), 'pilot-e2e-'))
  readonly socket: string = join(this.home, 's')
  readonly env: Record<string, string>
  readonly #children = new Set<ChildProcess>()

  constructor(rendezvous: { readonly registry: string; readonly beacon: string }) {
    this.env = {
      PATH: process.env.PATH ?? '',
      HOME: this.home,
      PILOT_SOCKET: this.socket,
      PILOT_REGISTRY: rendezvous.registry,
      PILOT_BEACON: rendezvous.beacon,
    }
  }

  ctl(...argv: string[]): Promise<Ran> {
    return this.run(process.execPath, [PILOTCTL, ...argv])
  }

  /** Runs `ctl` until it succeeds, at most `withinMs`. */
  async eventually(withinMs: number, ...argv: string[]): Promise<Ran> {
    const until = performance.now() + withinMs
    for (;;) {
      const ran = await this.ctl(...argv)
      if (ran.code === 0 || performance.now() > until) return ran
      await new Promise((resolve) => setTimeout(resolve, 200))
    }
  }

  /** File of this home as text, `undefined` when there is none. */
  read(path: string): string | undefined {
    try {
      return readFileSync(join(this.home, path), 'utf8')
    } catch {
      return undefined
    }
  }

  spawn(program: string, argv: readonly string[]): ChildProcess {
    const child = spawn(program, argv, { env: this.env, stdio: ['ignore', 'pipe', 'pipe'] })
    this.#children.add(child)
    child.once('exit', () => this.#children.delete(child))
    return child
  }

  run(program: string, argv: readonly string[]): Promise<Ran> {
    return finished(this.spawn(program, argv), argv.includes('--json'))
  }

  /** Stops the daemon if one runs, ends what else was started, and removes the home. */
  async dispose(): Promise<void> {
    await this.ctl('daemon', 'stop')
    for (const child of this.#children) {
      const exited = new Promise((resolve) => child.once('exit', resolve))
      child.kill('SIGKILL')
      await exited
    }
    rmSync(this.home, { recursive: true, force: true })
  }
}

/** What a process printed, once it has ended. */
export function finished(child: ChildProcess, isJson = false): Promise<Ran> {
  let stdout = ''
  let stderr = ''
  child.stdout?.on('data', (chunk) => {
    stdout += chunk
  })
  child.stderr?.on('data', (chunk) => {
    stderr += chunk
  })
  return new Promise((resolve, reject) => {
    child.once('error', reject)
    child.once('close', (code) => {
      resolve({
        code: code ?? -1,
        stdout,
        stderr,
        json: isJson ? envelopeOf(stdout || stderr) : {},
      })
    })
  })
}

/** Empty when nothing was printed, as by a `subscribe` that heard nothing. */
function envelopeOf(text: string): Record<string, unknown> {
  if (text.trim() === '') return {}
  const envelope = JSON.parse(text.trim().split('\n').at(-1) ?? '')
  return envelope.status === 'ok' ? envelope.data : envelope
}
