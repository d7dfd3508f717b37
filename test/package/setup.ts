/** Runs once before the package tests: builds, packs, and serves what was packed. */
import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { root } from './projects.ts'
import { serveRegistry } from './registry.ts'

export default async function setup(): Promise<() => Promise<void>> {
  const folder = mkdtempSync(join(tmpdir(), 'pilot-packed-'))
  const npm = (...args: string[]): string =>
    execFileSync('npm', args, { cwd: root, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] })
  npm('run', '--silent', 'build')
  const [packed] = JSON.parse(
    npm('pack', '--ignore-scripts', '--json', '--pack-destination', folder),
  ) as { filename: string; size: number; unpackedSize: number; entryCount: number }[]
  if (packed === undefined) throw new Error('npm packed nothing')
  const { filename, size, unpackedSize, entryCount } = packed
  const kilo = (bytes: number): string => `${(bytes / 1000).toFixed(0)} kB`
  console.log(`packed: ${kilo(size)}, unpacked ${kilo(unpackedSize)} in ${entryCount} files`)
  const tarball = join(folder, filename)
  const registry = await serveRegistry(tarball)
  process.env.PILOT_TEST_TARBALL = tarball
  process.env.PILOT_TEST_REGISTRY = registry.url
  return async () => {
    await registry.close()
    rmSync(folder, { recursive: true, force: true })
  }
}
