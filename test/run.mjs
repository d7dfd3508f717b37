/**
 * `npm test`: sets the machine up, then type check, lint, build, unit tests, end-to-end tests, and a summary.
 * Plain JavaScript: it starts on whatever Node the machine has; the steps run on the project's own.
 */
import { spawnSync } from 'node:child_process'
import { env, prepare, root } from './prepare.mjs'

prepare()

const steps = [
  ['type check', 'tsc', ['-b']],
  ['lint', 'biome', ['check', '--config-path=.biome.json', '.']],
  ['lockfile', 'node', ['test/package/check-lockfile.ts']],
  ['unit', 'vitest', ['run', '--config', 'test/vitest.config.ts', '--project', 'unit']],
  ['end to end', 'vitest', ['run', '--config', 'test/vitest.config.ts', '--project', 'e2e']],
]

const results = []
for (const [name, command, args] of steps) {
  console.log(`\n── ${name} ──`)
  const started = Date.now()
  const { status } = spawnSync(command, args, { cwd: root, env, stdio: 'inherit' })
  results.push({ name, isOk: status === 0, seconds: ((Date.now() - started) / 1000).toFixed(1) })
  // Nothing later can be believed when the code does not compile.
  if (status !== 0 && name === 'type check') break
}

console.log('\n── summary ──')
for (const { name, isOk, seconds } of results)
  console.log(`${isOk ? 'ok  ' : 'FAIL'}  ${name.padEnd(12)} ${seconds} s`)
const isOk = results.length === steps.length && results.every((result) => result.isOk)
console.log(isOk ? 'all passed' : 'FAILED')
process.exit(isOk ? 0 : 1)
