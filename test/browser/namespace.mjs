/**
 * A network namespace with one interface and a default route that lead nowhere: Chromium gathers ICE candidates from
 * interfaces, and a machine without an outward one would give it none. Everything stays inside of it.
 */
import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import process from 'node:process'
import { env } from '../prepare.mjs'

const CHROMIUM = process.env.CHROMIUM ?? '/usr/bin/chromium'
const FIREFOX = process.env.FIREFOX ?? '/usr/bin/firefox-esr'

const has = (command) => spawnSync('which', [command], { stdio: 'ignore' }).status === 0
const run = (command, ...args) => spawnSync(command, args, { stdio: 'inherit', env }).status === 0

function install(...packages) {
  console.log(`installing ${packages.join(', ')} (apt-get) ...`)
  const options = {
    stdio: ['ignore', 'ignore', 'inherit'],
    env: { ...env, DEBIAN_FRONTEND: 'noninteractive' },
  }
  const apt = (...args) => spawnSync('apt-get', args, options).status === 0
  const get = () => apt('install', '-y', '-q', '--no-install-recommends', ...packages)
  return get() || (apt('update', '-q') && get())
}

/** Installs the browsers where they are missing and can be. */
export function prepareBrowsers() {
  const isThere = (path, name) =>
    existsSync(path) || (has('apt-get') && install(name) && existsSync(path))
  return { chromium: isThere(CHROMIUM, 'chromium'), firefox: isThere(FIREFOX, 'firefox-esr') }
}

/** Why there can be no namespace here; `undefined` when there can. */
export function namespaceHindrance() {
  if (process.getuid?.() !== 0) return 'a network namespace needs root'
  if (!has('ip') && !(has('apt-get') && install('iproute2'))) return 'iproute2 is not installed'
  return undefined
}

/**
 * Runs `work(prefix)` with the words that put a command into a new namespace, and takes that away again.
 * `undefined` when the machine does not permit it.
 */
export function inNamespace(work) {
  const name = `pilot-browser-${process.pid}`
  if (!run('ip', 'netns', 'add', name)) return undefined
  try {
    // A veth pair whose both ends are inside.
    const isReady =
      run('ip', '-n', name, 'link', 'set', 'lo', 'up') &&
      run('ip', '-n', name, 'link', 'add', 'v0', 'type', 'veth', 'peer', 'name', 'v1') &&
      run('ip', '-n', name, 'addr', 'add', '10.77.0.1/24', 'dev', 'v0') &&
      run('ip', '-n', name, 'link', 'set', 'v0', 'up') &&
      run('ip', '-n', name, 'link', 'set', 'v1', 'up') &&
      run('ip', '-n', name, 'route', 'add', 'default', 'via', '10.77.0.2')
    return isReady ? work(['ip', 'netns', 'exec', name]) : undefined
  } finally {
    run('ip', 'netns', 'del', name)
  }
}
