/**
 * Files of this package that are started or read by their place. The source finds sources; what was built finds what
 * was built, whether this code ended up in an entry or in a chunk (`runtimes/build/bundle.ts`).
 */
import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { PilotError } from '../../core/index.ts'

/** Up to the last folder of ours in the path: what is above it may have such a name, too. */
const PLACE: RegExp = /^(.*\/)(?:chunks|runtimes|signaling)\//
const isSource: boolean = import.meta.url.endsWith('.ts')

/** The folder of what `npm run build` makes, `undefined` when another bundler took this code away from there. */
export function builtFolder(): string | undefined {
  const base = PLACE.exec(import.meta.url)?.[1]
  return base && fileURLToPath(new URL(isSource ? 'dist/' : '.', base))
}

/**
 * Path of a script, by its place in the repository without extension, e.g. `runtimes/node/bin/pilot-daemon`.
 *
 * @throws {PilotError} `ERR_OWN_FILE` when it is not there.
 */
export function ownScript(place: string): string {
  const base = PLACE.exec(import.meta.url)?.[1]
  const path = base && fileURLToPath(new URL(`${place}.${isSource ? 'ts' : 'js'}`, base))
  if (path && existsSync(path)) return path
  throw new PilotError(
    'ERR_OWN_FILE',
    `${place} of pilot-ts is not beside ${import.meta.url}: leave pilot-ts external when you bundle for Node, Deno or Bun`,
  )
}
