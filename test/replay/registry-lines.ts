/** The recorded conversations with registries, line by line. */
import { readFileSync } from 'node:fs'
import type { RegistryMessage } from '../../core/wire/registry-message.ts'

export interface Line {
  readonly session: string
  readonly conn: string
  readonly t_ms: number
  readonly note?: string
  readonly dir: 'c2s' | 's2c'
  readonly msg: RegistryMessage
}

/** Those of `test/vectors/<name>.jsonl`. */
export function registryLines(name: 'registry-session' | 'registry-session-v19'): readonly Line[] {
  return readFileSync(new URL(`../vectors/${name}.jsonl`, import.meta.url), 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Line)
}
