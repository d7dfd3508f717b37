/**
 * `npm test`: sets the machine up, then type check, lint, build, unit, end-to-end, conformance and browser tests, and a
 * summary.
 * Plain JavaScript: it starts on whatever Node the machine has; the steps run on the project's own.
 */
import { spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { env, prepare, root } from './prepare.mjs'

prepare()

const steps = [
  ['type check', 'tsc', ['-b']],
  ['lint', 'biome', ['check', '--config-path=.biome.json', '.']],
  ['lockfile', 'node', ['test/package/check-lockfile.ts']],
  // Much of it waits: on two cores two files at once take two thirds of the time.
  [
    'unit',
    'vitest',
    ['run', '--config', 'test/vitest.config.ts', '--project', 'unit', '--maxWorkers', '2'],
  ],
  ['end to end', 'vitest', ['run', '--config', 'test/vitest.config.ts', '--project', 'e2e']],
  ['conformance', 'node', ['test/conformance/run.ts']],
  ['browser', 'node', ['test/browser/run.mjs']],
]
/** Exit status of a step that cannot run on this machine; it has printed why. */
const skipped = 77

const scratch = mkdtempSync(join(tmpdir(), 'pilot-test-'))
const report = join(scratch, 'report.jsonl')
const results = []
for (const [name, command, args] of steps) {
  console.log(`\n── ${name} ──`)
  const started = Date.now()
  const { status } = spawnSync(command, args, {
    cwd: root,
    env: { ...env, PILOT_TEST_REPORT: report },
    stdio: 'inherit',
  })
  const outcome = status === 0 ? 'ok' : status === skipped ? 'skip' : 'FAIL'
  results.push({ name, outcome, seconds: ((Date.now() - started) / 1000).toFixed(1) })
  // Nothing later can be believed when the code does not compile.
  if (status !== 0 && name === 'type check') break
}

const reported = existsSync(report)
  ? readFileSync(report, 'utf8')
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line))
  : []
rmSync(scratch, { recursive: true, force: true })

console.log('\n── summary ──')
// What failed comes last: often only the end of this output is kept.
for (const { kind, name, lines } of reported.sort((a, b) => (a.kind > b.kind ? -1 : 1))) {
  console.log(`${kind === 'failed' ? 'failed' : 'passed when tried again'}: ${name}`)
  for (const line of lines.slice(0, kind === 'failed' ? lines.length : 4))
    console.log(`    ${line}`)
}
for (const { name, outcome, seconds } of results)
  console.log(`${outcome.padEnd(4)}  ${name.padEnd(12)} ${seconds} s`)
const isOk = results.length === steps.length && results.every(({ outcome }) => outcome !== 'FAIL')
const skips = results.filter(({ outcome }) => outcome === 'skip').map(({ name }) => name)
if (!isOk) console.log('FAILED')
else if (skips.length > 0) console.log(`passed, but not run here: ${skips.join(', ')}`)
else console.log('all passed')
process.exit(isOk ? 0 : 1)
