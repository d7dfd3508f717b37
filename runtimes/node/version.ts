/** Version of this package, as its programs report it. */
import { readFileSync } from 'node:fs'

export const VERSION: string = readVersion()

/** From `package.json` above this file, as source and as built. */
function readVersion(): string {
  for (const up of ['../../', '../../../'])
    try {
      const text = readFileSync(new URL(`${up}package.json`, import.meta.url), 'utf8')
      const { name, version } = JSON.parse(text) as { name?: string; version?: string }
      if (name === 'pilot-ts' && version !== undefined) return version
    } catch {
      // one level further up
    }
  return '0.0.0'
}
