/** The programs under test: ours as built, and the reference's from folders named by the environment. */
import { accessSync, constants, existsSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Program } from './processes.ts'

/** `G1`: February 2026. `G2`: v1.9 (spec/01 §0 names the generations). */
export type Generation = 'G1' | 'G2'
export type Kind = Generation | 'ours'

export const GENERATIONS: readonly Generation[] = ['G1', 'G2']

export interface Programs {
  readonly daemon: Program
  readonly pilotctl: Program
  readonly rendezvous: Program
}

const root = fileURLToPath(new URL('../../', import.meta.url))

/** The folder of a generation's binaries, or why there is none. */
export function referenceFolder(generation: Generation): { folder: string } | { missing: string } {
  const variable = `PILOT_REFERENCE_${generation}`
  const folder = process.env[variable]
  if (folder === undefined || folder === '') return { missing: `${variable} is not set` }
  for (const name of ['daemon', 'pilotctl', 'rendezvous'])
    try {
      accessSync(join(folder, name), constants.X_OK)
    } catch {
      return { missing: `${variable}: no program ${name} in ${folder}` }
    }
  return { folder }
}

export function referencePrograms(folder: string): Programs {
  return {
    daemon: { command: join(folder, 'daemon'), prefix: [] },
    pilotctl: { command: join(folder, 'pilotctl'), prefix: [] },
    rendezvous: { command: join(folder, 'rendezvous'), prefix: [] },
  }
}

export function ourPrograms(): Programs {
  return {
    daemon: built('runtimes/node/bin/pilot-daemon.js'),
    pilotctl: built('runtimes/node/bin/pilotctl.js'),
    rendezvous: built('signaling/bin/pilot-rendezvous.js'),
  }
}

/** @throws {Error} when `npm run build` has not been run. */
function built(path: string): Program {
  const script = join(root, 'dist', path)
  if (!existsSync(script)) throw new Error(`${script} is missing: run "npm run build" first`)
  const node = join(root, 'node_modules', '.bin', 'node')
  return { command: existsSync(node) ? node : process.execPath, prefix: [script] }
}
