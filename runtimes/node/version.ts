/** Version of this package, as its programs report it. */
import { readFileSync } from 'node:fs'

/** Written into what is built. */
declare const __PILOT_VERSION__: string | undefined

export const VERSION: string =
  typeof __PILOT_VERSION__ === 'string' ? __PILOT_VERSION__ : readVersion()

/** Of the sources, from `package.json` above them. */
function readVersion(): string {
  const text = readFileSync(new URL('../../package.json', import.meta.url), 'utf8')
  return (JSON.parse(text) as { version: string }).version
}
