/**
 * Set-up that every entry (`npm test`, `npm run demo`, `npm run setup`) does by itself on a fresh clone:
 * dependencies by the lockfile, then a check that the project's own Node runs. Plain JavaScript: it must
 * run on whatever Node the machine has.
 */
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { delimiter, dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

export const root = dirname(dirname(fileURLToPath(import.meta.url)))
const bin = join(root, 'node_modules', '.bin')

/** Environment in which `node` is the project's own. */
export const env = { ...process.env, PATH: bin + delimiter + process.env.PATH }

/** Runs a command in the project's root and ends the program when it fails. */
export function run(command, args, options = {}) {
  const { status, error } = spawnSync(command, args, {
    cwd: root,
    env,
    stdio: 'inherit',
    ...options,
  })
  if (status !== 0) {
    console.error(`${command} ${args.join(' ')} failed${error ? `: ${error.message}` : ''}`)
    process.exit(status ?? 1)
  }
}

/** Installs what the lockfile says, unless that is what is installed. */
export function prepare({ quiet = false } = {}) {
  const lock = createHash('sha256')
    .update(readFileSync(join(root, 'package-lock.json')))
    .digest('hex')
  const stamp = join(root, 'node_modules', '.pilot-lock')
  const isInstalled =
    existsSync(stamp) && readFileSync(stamp, 'utf8') === lock && existsSync(join(bin, 'node'))
  if (!isInstalled) {
    if (!quiet) console.log('installing dependencies (npm ci) ...')
    run(
      'npm',
      ['ci', '--no-fund', '--no-audit', '--loglevel=error'],
      quiet ? { stdio: ['ignore', 'ignore', 'inherit'] } : {},
    )
    mkdirSync(dirname(stamp), { recursive: true })
    writeFileSync(stamp, lock)
  }
  const { stdout } = spawnSync('node', ['--version'], { env, encoding: 'utf8' })
  const major = Number(/^v(\d+)/.exec(stdout ?? '')?.[1])
  if (!(major >= 22)) {
    console.error(
      `the project's Node did not install: found ${stdout?.trim() || 'none'}, need 22.12 or newer`,
    )
    process.exit(1)
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) prepare()
