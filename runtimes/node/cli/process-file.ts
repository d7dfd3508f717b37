/**
 * Which process is the daemon: the pid file, and a check that the pid is still the process that wrote
 * it, so that a reused pid is never signalled (spec/08 §9).
 */
import { closeSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { HOME_HINT } from './config-file.ts'
import { CliError, messageOf } from './failure.ts'
import { makeDirectory } from './make-directory.ts'

/** Decimal pid in the first line, as base reads it; the start time in a second file. */
export interface DaemonProcess {
  readonly pid: number
  /** Kernel's start time of the process; `undefined` where it cannot be known. */
  readonly startedAt: string | undefined
}

/** The process of the pid file if it is alive and still the same; a file of a dead one is removed. */
export function readProcessFile(path: string): DaemonProcess | undefined {
  let pid: number
  try {
    const text = readFileSync(path, 'utf8').trim()
    if (!/^[1-9]\d{0,9}$/.test(text)) return undefined
    pid = Number(text)
  } catch {
    return undefined
  }
  const startedAt = startTimeOf(pid)
  const recorded = readStart(path)
  if (isAlive(pid) && (recorded === undefined || startedAt === undefined || recorded === startedAt))
    return { pid, startedAt }
  removeProcessFile(path, pid)
  return undefined
}

export function writeProcessFile(path: string, pid: number): void {
  try {
    makeDirectory(dirname(path))
    writeFileSync(path, `${pid}`, { mode: 0o600 })
    writeFileSync(startPath(path), startTimeOf(pid) ?? '', { mode: 0o600 })
  } catch (error) {
    throw new CliError('internal', `cannot write ${path}: ${messageOf(error)}`, HOME_HINT)
  }
}

/** Removes the file if it still names `pid`. */
export function removeProcessFile(path: string, pid: number): void {
  try {
    if (readFileSync(path, 'utf8').trim() !== `${pid}`) return
    rmSync(path, { force: true })
    rmSync(startPath(path), { force: true })
  } catch {
    // gone already
  }
}

export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
  return !isZombie(pid)
}

/**
 * Runs `work` while holding a lock file; a lock of a dead process is taken over.
 *
 * @throws {CliError} `already_exists` when another start is in progress.
 */
export async function withStartLock<T>(path: string, work: () => Promise<T>): Promise<T> {
  for (let attempt = 0; ; attempt++) {
    try {
      makeDirectory(dirname(path))
      const file = openSync(path, 'wx', 0o600)
      writeFileSync(file, `${process.pid}`)
      closeSync(file)
      break
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST')
        throw new CliError('internal', `cannot create ${path}: ${messageOf(error)}`, HOME_HINT)
      const holder = Number(readText(path))
      if (attempt > 0 || (holder > 0 && isAlive(holder)))
        throw new CliError(
          'already_exists',
          'another daemon start is in progress',
          `wait for it; if none runs, remove ${path}`,
        )
      rmSync(path, { force: true })
    }
  }
  try {
    return await work()
  } finally {
    rmSync(path, { force: true })
  }
}

function startPath(path: string): string {
  return `${path}.start`
}

function readStart(path: string): string | undefined {
  return readText(startPath(path)) || undefined
}

function readText(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8').trim()
  } catch {
    return undefined
  }
}

/** Field 22 of `/proc/<pid>/stat`: clock ticks since boot. */
function startTimeOf(pid: number): string | undefined {
  return statFields(pid)?.[19]
}

function isZombie(pid: number): boolean {
  return statFields(pid)?.[0] === 'Z'
}

/** Fields of `/proc/<pid>/stat` from the state on; the name before may hold anything. */
function statFields(pid: number): string[] | undefined {
  const text = readText(`/proc/${pid}/stat`)
  return text?.slice(text.lastIndexOf(')') + 2).split(' ')
}
