/** Builds what `pilot-ts` and its subpaths export: the examples import it by name. */
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { bundle } from '../runtimes/build/bundle.ts'

const root = join(import.meta.dirname, '..')

/** @throws when it does not compile. */
export async function buildPackage(): Promise<void> {
  const options = { cwd: root, encoding: 'utf8' } as const
  const { status, stdout, stderr } = spawnSync('npm', ['run', '--silent', 'compile'], options)
  if (status !== 0) throw new Error(`the build failed:\n${stdout}${stderr}`)
  await bundle(join(root, 'dist'))
}
