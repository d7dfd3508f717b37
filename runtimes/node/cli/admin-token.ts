/** The registry's admin token, for those who have it (spec/08 §1). */
import type { Cli } from './cli.ts'
import { textOf } from './config-file.ts'
import { CliError } from './failure.ts'

/** `''` when there is none. */
export function adminTokenOf(cli: Cli): string {
  return cli.io.env.PILOT_ADMIN_TOKEN || textOf(cli.config, 'admin_token') || ''
}

/** @throws {CliError} `auth_required` where there is none. */
export function requireAdminToken(cli: Cli): string {
  const token = adminTokenOf(cli)
  if (token !== '') return token
  throw new CliError(
    'auth_required',
    'admin token required for this operation',
    'set PILOT_ADMIN_TOKEN env var or admin_token in ~/.pilot/config.json',
  )
}
