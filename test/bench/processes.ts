/** The processes of one measurement, which end with it. */
import { type ChildProcess, fork } from 'node:child_process'
import { readFileSync } from 'node:fs'
import type { Usage } from './channel.ts'

/** What a process has used: CPU in µs, resident memory in bytes. */
interface Used {
  readonly cpuUs: number
  readonly rss: number
}

interface Message {
  readonly said?: unknown
  readonly sample?: true
  readonly used?: Used
}

/** Nothing takes longer; a system that hangs must not hold up the others. */
const TIMEOUT_MS = 60_000

export class Worker {
  /** What it said when it was ready, or done. */
  readonly said: Promise<unknown>
  /** Rejects when the process ends. */
  readonly ended: Promise<never>
  onsample: (() => Promise<Usage>) | undefined
  readonly #child: ChildProcess
  readonly #asking: ((used: Used) => void)[] = []

  constructor(program: string, role: string, module: string, setup: object) {
    const execArgv = role === 'memory' ? ['--expose-gc'] : profiling(role)
    this.#child = fork(program, [role, module, JSON.stringify(setup)], {
      execArgv,
      // What a library prints is not ours to show, except where it fails.
      stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
    })
    let complaint = ''
    this.#child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      complaint = (complaint + text).slice(-2000)
    })
    this.said = new Promise((resolve, reject) => {
      const fail = (why: string): void => reject(new Error(`${role} ${why}\n${complaint}`.trim()))
      const timer = setTimeout(fail, TIMEOUT_MS, `is not done after ${TIMEOUT_MS / 1000} s`)
      this.#child.on('message', (message: Message) => {
        if ('said' in message) {
          clearTimeout(timer)
          resolve(message.said)
        }
        if (message.used !== undefined) this.#asking.shift()?.(message.used)
        if (message.sample === true)
          void this.onsample?.().then((sampled) => this.#child.send({ sampled }))
      })
      this.#child.once('error', (error) => fail(error.message))
      this.#child.once('exit', (code, signal) => {
        clearTimeout(timer)
        fail(`ended with ${code ?? signal}`)
      })
    })
    this.ended = new Promise((_resolve, reject) =>
      this.#child.once('exit', (code, signal) =>
        reject(new Error(`${role} ended with ${code ?? signal}\n${complaint}`.trim())),
      ),
    )
    // Heard by whoever waits for it.
    this.said.catch(() => {})
    this.ended.catch(() => {})
  }

  used(): Promise<Used> {
    return new Promise((resolve) => {
      this.#asking.push(resolve)
      this.#child.send({ usage: true })
    })
  }

  async end(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return
    const gone = new Promise((resolve) => this.#child.once('exit', resolve))
    if (this.#child.connected) this.#child.disconnect()
    const timer = setTimeout(() => this.#child.kill('SIGKILL'), 3000)
    await gone
    clearTimeout(timer)
  }
}

/** `BENCH_PROFILE=<folder>` leaves a CPU profile of every process there. */
function profiling(role: string): string[] {
  const folder = process.env.BENCH_PROFILE
  if (folder === undefined || folder === '') return []
  return [
    '--cpu-prof',
    `--cpu-prof-dir=${folder}`,
    `--cpu-prof-name=${role}-${Date.now()}.cpuprofile`,
  ]
}

/** Of a program that cannot be asked; `NaN` where the system has no /proc. */
export function usedBy(pid: number): Used {
  try {
    const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]!.split(' ')
    const status = readFileSync(`/proc/${pid}/status`, 'utf8')
    // Clock ticks are hundredths of a second on every Linux that Node runs on.
    const cpuUs = (Number(fields[11]) + Number(fields[12])) * 10_000
    return { cpuUs, rss: Number(/VmRSS:\s+(\d+)/.exec(status)?.[1]) * 1024 }
  } catch {
    return { cpuUs: Number.NaN, rss: Number.NaN }
  }
}
