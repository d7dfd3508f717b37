/** The registry's admin token, for those who have it (spec/08 §1). */
import type { Cli } from './cli.ts'
import { textOf } from './config-file.ts'

/** `''` when there is none. */
export function adminTokenOf(cli: Cli): string {
  return cli.io.env.PILOT_ADMIN_TOKEN || textOf(cli.config, 'admin_token') || ''
}
