/** Packages of the peers, installed by their own lockfile on the first run. */
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

const folder = new URL('peers/', import.meta.url)

/** `undefined`, or why they cannot be had. */
export async function installPeers(say: (text: string) => void): Promise<string | undefined> {
  const lock = createHash('sha256')
    .update(readFileSync(new URL('package-lock.json', folder)))
    .digest('hex')
  const stamp = new URL('node_modules/.bench-lock', folder)
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === lock) return undefined
  say('installing the peers (npm ci in test/bench/peers) ...')
  const { status, stderr, error } = spawnSync(
    'npm',
    ['ci', '--no-fund', '--no-audit', '--loglevel=error'],
    { cwd: fileURLToPath(folder), stdio: ['ignore', 'ignore', 'pipe'], encoding: 'utf8' },
  )
  if (status !== 0) {
    const why = error?.message ?? /npm error (?!code).*\S/.exec(stderr)?.[0] ?? `exit ${status}`
    return `npm ci in test/bench/peers failed: ${why}`
  }
  writeFileSync(stamp, lock)
  return undefined
}
