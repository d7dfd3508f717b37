/**
 * Runs once before all end-to-end tests: builds, and sets a copy of the build aside that nobody rebuilds
 * while the tests run. The copy stays inside the project, where its imports resolve.
 */
import { spawnSync } from 'node:child_process'
import { cpSync, readdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('../../', import.meta.url))
const dist = join(root, 'dist')
const COPY = /^\.e2e-(\d+)$/

export default function setup(): () => void {
  const tsc = join(root, 'node_modules/.bin/tsc')
  const projects = ['core', 'runtimes/shared', 'runtimes/node', 'signaling']
  const built = spawnSync(tsc, ['-b', ...projects], { cwd: root, encoding: 'utf8' })
  if (built.status !== 0) throw new Error(`the build failed:\n${built.stdout}${built.stderr}`)
  for (const name of readdirSync(dist)) if (isLeftOver(name)) remove(join(dist, name))
  const copy = join(dist, `.e2e-${process.pid}`)
  for (const part of ['core', 'runtimes', 'signaling'])
    cpSync(join(dist, part), join(copy, part), { recursive: true })
  process.env.PILOT_TEST_PROGRAMS = copy
  return () => remove(copy)
}

/** A copy of a run that was killed. */
function isLeftOver(name: string): boolean {
  const pid = COPY.exec(name)?.[1]
  if (pid === undefined) return false
  try {
    process.kill(Number(pid), 0)
    return false
  } catch {
    return true
  }
}

function remove(path: string): void {
  rmSync(path, { recursive: true, force: true })
}
