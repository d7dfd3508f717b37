/**
 * `npm run demo`: two agents find each other, trust each other and talk, on a fresh clone with nothing
 * installed. This file only sets up (on whatever Node the machine has) and hands over to the story.
 */
import { spawn } from 'node:child_process'
import { env, prepare, root, run } from '../test/prepare.mjs'

prepare()
console.log('building ...')
run('npm', ['run', '--silent', 'build'])

const story = spawn('node', ['examples/demo/story.ts', ...process.argv.slice(2)], {
  cwd: root,
  env,
  stdio: 'inherit',
})
// The story ends what it started; a second signal ends it the hard way.
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => story.kill(signal))
story.on('exit', (code, signal) => process.exit(code ?? (signal === 'SIGINT' ? 130 : 1)))
