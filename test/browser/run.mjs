/**
 * Runs the browser tests in a network namespace of their own: Chromium gathers ICE candidates from interfaces,
 * and a machine without an outward one would give it none. Everything stays inside the namespace. Without
 * Firefox its tests are skipped.
 * Exit status 0: passed; 77: cannot run here (the reason is printed); anything else: failed.
 */
import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import process from 'node:process'
import { env, root } from '../prepare.mjs'

const skipped = 77
const chromium = '/usr/bin/chromium'
const firefox = process.env.FIREFOX ?? '/usr/bin/firefox-esr'
const namespace = `pilot-browser-${process.pid}`

const has = (command) => spawnSync('which', [command], { stdio: 'ignore' }).status === 0
const run = (command, ...args) => spawnSync(command, args, { stdio: 'inherit', env }).status === 0

function skip(reason) {
  console.log(`skipped: ${reason}`)
  process.exit(skipped)
}

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

if (process.getuid?.() !== 0) skip('a network namespace needs root')
const missing = [...(existsSync(chromium) ? [] : ['chromium']), ...(has('ip') ? [] : ['iproute2'])]
if (missing.length > 0) {
  if (!has('apt-get')) skip(`${missing.join(' and ')} is not installed, and there is no apt-get`)
  if (!install(...missing)) skip(`apt-get could not install ${missing.join(' and ')}`)
}
const hasFirefox =
  existsSync(firefox) || (has('apt-get') && install('firefox-esr') && existsSync(firefox))
if (!hasFirefox) console.log('skipped: the tests in Firefox; apt-get could not install firefox-esr')
if (!run('ip', 'netns', 'add', namespace)) skip('network namespaces are not permitted here')

// A veth pair whose both ends are inside gives an address and a default route that lead nowhere else.
const isReady =
  run('ip', '-n', namespace, 'link', 'set', 'lo', 'up') &&
  run('ip', '-n', namespace, 'link', 'add', 'v0', 'type', 'veth', 'peer', 'name', 'v1') &&
  run('ip', '-n', namespace, 'addr', 'add', '10.77.0.1/24', 'dev', 'v0') &&
  run('ip', '-n', namespace, 'link', 'set', 'v0', 'up') &&
  run('ip', '-n', namespace, 'link', 'set', 'v1', 'up') &&
  run('ip', '-n', namespace, 'route', 'add', 'default', 'via', '10.77.0.2')

let status = skipped
try {
  if (isReady) {
    const vitest = join(root, 'node_modules', '.bin', 'vitest')
    const project = ['run', '--config', 'test/vitest.config.ts', '--project', 'browser']
    const result = spawnSync(
      'ip',
      ['netns', 'exec', namespace, vitest, ...project, ...process.argv.slice(2)],
      { cwd: root, env, stdio: 'inherit', timeout: 10 * 60_000 },
    )
    status = result.status ?? 1
  } else console.log('skipped: the network namespace could not be set up')
} finally {
  run('ip', 'netns', 'del', namespace)
}
process.exit(status)
