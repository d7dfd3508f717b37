/** The built programs as real processes, each user with a home and a socket of its own. */
import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const dist = fileURLToPath(new URL('../../dist/', import.meta.url))
export const PILOTCTL: string = join(dist, 'runtimes/node/bin/pilotctl.js')
const RENDEZVOUS = join(dist, 'signaling/bin/pilot-rendezvous.js')

export interface Ran {
  readonly code: number
  readonly stdout: string
  readonly stderr: string
  /** `data` of a success, the whole object of a failure; with `--json` only. */
  readonly json: Record<string, unknown>
}

/** A rendezvous on free ports. */
export class Rendezvous {
  readonly registry: string
  readonly beacon: string
  readonly #process: ChildProcess

  private constructor(process: ChildProcess, registry: string, beacon: string) {
    this.#process = process
    this.registry = registry
    this.beacon = beacon
  }

  static async start(): Promise<Rendezvous> {
    const argv = [
      '-registry-addr',
      '127.0.0.1:0',
      '-beacon-addr',
      '127.0.0.1:0',
      '-store',
      ':memory:',
    ]
    const child = spawn(process.execPath, [RENDEZVOUS, ...argv], {
      stdio: ['ignore', 'ignore', 'pipe'],
    })
    let log = ''
    const [registry, beacon] = await new Promise<[string, string]>((resolve, reject) => {
      child.stderr.on('data', (chunk) => {
        log += chunk
        const tcp = /tcp="?(127\.0\.0\.1:\d+)/.exec(log)?.[1]
        const udp = /udp="?(127\.0\.0\.1:\d+)/.exec(log)?.[1]
        if (tcp !== undefined && udp !== undefined) resolve([tcp, udp])
      })
      child.once('exit', () => reject(new Error(`rendezvous ended: ${log}`)))
    })
    return new Rendezvous(child, registry, beacon)
  }

  async stop(): Promise<void> {
    if (this.#process.exitCode !== null) return
    const exited = new Promise((resolve) => this.#process.once('exit', resolve))
    this.#process.kill('SIGTERM')
    await exited
  }
}

/** One user: home, socket, and `pilotctl` in that environment. */
export class User {
  readonly home: string = mkdtempSync(join(tmpdir(), 'pilot-e2e-'))
  readonly socket: string = join(this.home, 's')
  readonly env: Record<string, string>

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

  spawn(program: string, argv: readonly string[]): ChildProcess {
    return spawn(program, argv, { env: this.env, stdio: ['ignore', 'pipe', 'pipe'] })
  }

  run(program: string, argv: readonly string[]): Promise<Ran> {
    const child = this.spawn(program, argv)
    let stdout = ''
    let stderr = ''
    child.stdout!.on('data', (chunk) => {
      stdout += chunk
    })
    child.stderr!.on('data', (chunk) => {
      stderr += chunk
    })
    return new Promise((resolve, reject) => {
      child.once('error', reject)
      child.once('close', (code) => {
        const json = argv.includes('--json') ? envelopeOf(stdout || stderr) : {}
        resolve({ code: code ?? -1, stdout, stderr, json })
      })
    })
  }

  /** Stops the daemon if one runs and removes the home. */
  async dispose(): Promise<void> {
    await this.ctl('daemon', 'stop')
    rmSync(this.home, { recursive: true, force: true })
  }
}

function envelopeOf(text: string): Record<string, unknown> {
  const envelope = JSON.parse(text.trim().split('\n').at(-1) ?? '')
  return envelope.status === 'ok' ? envelope.data : envelope
}
