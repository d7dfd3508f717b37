/**
 * Runs once before all end-to-end tests: builds into a folder of its own that nobody rebuilds while the tests run,
 * inside the project, where its imports resolve.
 */
import { spawnSync } from 'node:child_process'
import { readdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { bundle } from '../../runtimes/build/bundle.ts'

const root = fileURLToPath(new URL('../../', import.meta.url))
const dist = join(root, 'dist')
const COPY = /^\.e2e-(\d+)$/

export default async function setup(): Promise<() => void> {
  const built = spawnSync('npm', ['run', '--silent', 'compile'], { cwd: root, encoding: 'utf8' })
  if (built.status !== 0) throw new Error(`the build failed:\n${built.stdout}${built.stderr}`)
  for (const name of readdirSync(dist)) if (isLeftOver(name)) remove(join(dist, name))
  const copy = join(dist, `.e2e-${process.pid}`)
  await bundle(copy)
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
