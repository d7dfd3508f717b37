/** Documents that commands are given: files, and JSON in them. */
import { readFileSync } from 'node:fs'
import { CliError, messageOf, usageError } from './failure.ts'

/** @throws {CliError} `not_found`. */
export function readTextFile(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch (error) {
    throw new CliError('not_found', `cannot read ${path}: ${messageOf(error)}`)
  }
}

/** @throws {CliError} `invalid_argument`, saying what is not JSON. */
export function parseJsonText(text: string, what: string): unknown {
  try {
    return JSON.parse(text)
  } catch (error) {
    throw usageError(`${what} is not JSON: ${messageOf(error)}`)
  }
}
