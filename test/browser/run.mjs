/**
 * Runs the browser tests in a network namespace of their own (namespace.mjs says why). Without Firefox its tests are
 * skipped.
 * Exit status 0: passed; 77: cannot run here (the reason is printed); anything else: failed.
 */
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import process from 'node:process'
import { env, root } from '../prepare.mjs'
import { inNamespace, namespaceHindrance, prepareBrowsers } from './namespace.mjs'

const skipped = 77

function main() {
  const hindrance = namespaceHindrance()
  if (hindrance !== undefined) return skip(hindrance)
  const { chromium, firefox } = prepareBrowsers()
  if (!chromium) return skip('Chromium is not installed, and apt-get could not')
  if (!firefox) console.log('skipped: the tests in Firefox; apt-get could not install firefox-esr')
  const vitest = join(root, 'node_modules', '.bin', 'vitest')
  const project = ['run', '--config', 'test/vitest.config.ts', '--project', 'browser']
  const status = inNamespace(([command, ...prefix]) => {
    const args = [...prefix, vitest, ...project, ...process.argv.slice(2)]
    const options = { cwd: root, env, stdio: 'inherit', timeout: 10 * 60_000 }
    return spawnSync(command, args, options).status ?? 1
  })
  return status ?? skip('network namespaces are not permitted here')
}

function skip(reason) {
  console.log(`skipped: ${reason}`)
  return skipped
}

process.exitCode = main()
