/** `~/.pilot/config.json` (spec/08 §1.1): read with care, written atomically, unknown keys kept. */
import { readFileSync, renameSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { CliError, messageOf } from './failure.ts'
import { makeDirectory } from './make-directory.ts'

/** Where a home cannot be written. */
export const HOME_HINT = 'check permissions and free space there, or set HOME to another directory'

export type ConfigValues = Readonly<Record<string, unknown>>

export type ConfigState =
  | { readonly values: ConfigValues; readonly problem: undefined }
  /** The file is there and is not ours to replace. */
  | { readonly values: Readonly<Record<string, never>>; readonly problem: string }

export function readConfig(path: string): ConfigState {
  let text: string
  try {
    text = readFileSync(path, 'utf8')
  } catch (error) {
    // ENOTDIR: the home is no directory, which is for those who write to say.
    const isAbsent = ['ENOENT', 'ENOTDIR'].includes((error as NodeJS.ErrnoException).code ?? '')
    return isAbsent
      ? { values: {}, problem: undefined }
      : { values: {}, problem: `cannot read ${path}: ${messageOf(error)}` }
  }
  try {
    const value: unknown = JSON.parse(text)
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) {
      const values = value as ConfigValues
      const wrong = TEXTS.find((key) => key in values && typeof values[key] !== 'string')
      return wrong === undefined
        ? { values, problem: undefined }
        : { values: {}, problem: `${path}: "${wrong}" must be a string` }
    }
  } catch {
    // said below
  }
  return { values: {}, problem: `${path} is not a JSON object` }
}

/** Members that are read as text. */
const TEXTS = [
  'registry',
  'beacon',
  'transport',
  'rendezvous_url',
  'socket',
  'hostname',
  'owner',
  'email',
  'webhook',
  'networks',
  'admin_token',
] as const

/** The file is left as it is. */
export function configFailure(problem: string): CliError {
  return new CliError('internal', problem, 'repair the file, or move it away')
}

/**
 * Merges `changes`; a member that is `undefined` is removed. Mode 0600.
 *
 * @throws {CliError} `internal` when the file cannot be parsed (it is left alone) or written.
 */
export function updateConfig(path: string, changes: Readonly<Record<string, unknown>>): void {
  const { values, problem } = readConfig(path)
  if (problem !== undefined) throw configFailure(problem)
  const merged: Record<string, unknown> = { ...values }
  for (const [key, value] of Object.entries(changes)) {
    if (value === undefined) delete merged[key]
    else merged[key] = value
  }
  const temporary = `${path}.${process.pid}.tmp`
  try {
    makeDirectory(dirname(path))
    writeFileSync(temporary, `${JSON.stringify(merged, undefined, 2)}\n`, { mode: 0o600 })
    renameSync(temporary, path)
  } catch (error) {
    throw new CliError('internal', `cannot write ${path}: ${messageOf(error)}`, HOME_HINT)
  }
}

/** A string member, `undefined` when absent, empty or of another type. */
export function textOf(values: ConfigValues, key: string): string | undefined {
  const value = values[key]
  return typeof value === 'string' && value !== '' ? value : undefined
}
