/** The stored key pair, for commands that sign without a daemon. */
import { readFileSync } from 'node:fs'
import { Identity } from '../../../core/identity/identity.ts'
import { nodeCrypto } from '../crypto.ts'
import type { Cli } from './cli.ts'
import { CliError, messageOf } from './failure.ts'
import { defaultIdentityPath } from './paths.ts'

/** `typed`: a path, or the one that daemons take. @throws {CliError} `not_found`, `internal`. */
export function loadIdentity(
  cli: Cli,
  typed: string | undefined,
): { identity: Identity; path: string } {
  const path = typed ?? defaultIdentityPath(cli.paths.directory)
  let text: string
  try {
    text = readFileSync(path, 'utf8')
  } catch (error) {
    throw (error as NodeJS.ErrnoException).code === 'ENOENT'
      ? new CliError(
          'not_found',
          `no identity at ${path}`,
          'the first daemon start makes one: pilotctl daemon start',
        )
      : new CliError('internal', `cannot read ${path}: ${messageOf(error)}`)
  }
  try {
    return { identity: Identity.parse(nodeCrypto, text), path }
  } catch (error) {
    throw new CliError('internal', `${path}: ${messageOf(error)}`, 'restore the file from a backup')
  }
}
