/** Processes this program started: it ends these, by process id, and no other. */
import { type ChildProcess, spawn } from 'node:child_process'
import { closeSync, openSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'

export interface Program {
  readonly command: string
  /** What comes before the arguments of a call, e.g. the script for Node. */
  readonly prefix: readonly string[]
}

export interface Output {
  /** `null`: ended by a signal, ours when the time was up. */
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
  readonly isOverdue: boolean
}

/** Output beyond this is dropped: a program gone wild must not take this one with it. */
const OUTPUT_CHARACTERS_MAX = 1 << 20

const living = new Set<ChildProcess>()

/** A program that goes on; what it prints is appended to `logFile`. */
export function startProgram(
  program: Program,
  args: readonly string[],
  env: Readonly<Record<string, string>>,
  logFile: string,
): ChildProcess {
  const log = openSync(logFile, 'a', 0o600)
  try {
    const child = spawn(program.command, [...program.prefix, ...args], {
      env: { PATH: process.env.PATH ?? '', ...env },
      stdio: ['ignore', log, log],
    })
    return track(child)
  } finally {
    closeSync(log)
  }
}

/** Runs a program to its end, or ends it after `timeoutMs`. Never rejects for an exit code. */
export function runProgram(
  program: Program,
  args: readonly string[],
  env: Readonly<Record<string, string>>,
  timeoutMs: number,
): Promise<Output> {
  const child = track(
    spawn(program.command, [...program.prefix, ...args], {
      env: { PATH: process.env.PATH ?? '', ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    }),
  )
  let [stdout, stderr, isOverdue] = ['', '', false]
  child.stdout!.setEncoding('utf8').on('data', (text: string) => {
    if (stdout.length < OUTPUT_CHARACTERS_MAX) stdout += text
  })
  child.stderr!.setEncoding('utf8').on('data', (text: string) => {
    if (stderr.length < OUTPUT_CHARACTERS_MAX) stderr += text
  })
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      isOverdue = true
      child.kill('SIGKILL')
    }, timeoutMs)
    child.once('error', (error) => {
      clearTimeout(timer)
      reject(error)
    })
    child.once('close', (code) => {
      clearTimeout(timer)
      resolve({ code, stdout, stderr, isOverdue })
    })
  })
}

export function isRunning(child: ChildProcess): boolean {
  return child.pid !== undefined && child.exitCode === null && child.signalCode === null
}

/** Asks with `signal`, insists with SIGKILL after `graceMs`. Gives back the milliseconds it took. */
export async function endProgram(
  child: ChildProcess,
  signal: 'SIGTERM' | 'SIGKILL',
  graceMs = 5000,
): Promise<number> {
  const started = performance.now()
  const ended = new Promise<void>((resolve) => {
    if (isRunning(child)) child.once('exit', () => resolve())
    else resolve()
  })
  if (isRunning(child)) child.kill(signal)
  const timer = new AbortController()
  await Promise.race([
    ended,
    sleep(graceMs, undefined, { signal: timer.signal }).catch(() => undefined),
  ])
  timer.abort()
  if (isRunning(child)) child.kill('SIGKILL')
  await ended
  return performance.now() - started
}

/** Everything that still runs, at once: the last thing this program does, whatever happened. */
export function killAll(): void {
  for (const child of living) child.kill('SIGKILL')
}

function track(child: ChildProcess): ChildProcess {
  living.add(child)
  child.once('exit', () => living.delete(child))
  child.once('error', () => living.delete(child))
  return child
}
