/** The gateway in a network namespace of its own, where adding addresses harms nobody. Needs root. */
import { spawn, spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { GENERATIONS, referenceFolder } from '../interop/programs.ts'

const namespace = `pilot-gw-${process.pid}`
const ip = (...argv: string[]): boolean => spawnSync('ip', argv).status === 0
const canRun =
  process.getuid?.() === 0 &&
  ip('netns', 'add', namespace) &&
  ip('-n', namespace, 'link', 'set', 'lo', 'up')

beforeAll(() => {
  if (!canRun) console.log('skipped: the gateway needs root and network namespaces')
})
afterAll(() => {
  ip('netns', 'del', namespace)
})

/** What a script of this folder printed, run inside the namespace. */
async function run(name: string, ...argv: string[]): Promise<unknown> {
  const script = fileURLToPath(new URL(name, import.meta.url))
  const program = ['netns', 'exec', namespace, process.execPath, script, ...argv]
  const child = spawn('ip', program)
  let stdout = ''
  let stderr = ''
  child.stdout.on('data', (chunk) => {
    stdout += chunk
  })
  child.stderr.on('data', (chunk) => {
    stderr += chunk
  })
  await new Promise((resolve) => child.once('close', resolve))
  expect(stdout, stderr).not.toBe('')
  return JSON.parse(stdout)
}

it.runIf(canRun)('carries HTTP, obeys its commands, and leaves nothing behind', async () => {
  expect(await run('gateway-scenario.ts')).toEqual({
    aliases: ['10.4.0.1'],
    http: expect.stringMatching(/^\/hello from \d+$/),
    large: true,
    half: expect.stringMatching(/^\/half from \d+$/),
    parallel: '200 200 200 200 200 200 200 200',
    nobody: 'reset',
    again: { local_ip: '10.4.0.1', pilot_addr: expect.any(String) },
    second: { local_ip: '10.4.7.7', pilot_addr: expect.any(String) },
    list: 2,
    outside: 'IP 10.5.0.1 not in subnet 10.4.0.0/16',
    twice: 'already_exists',
    unmap: { unmapped: '10.4.7.7' },
    unmapAgain: 'not_found',
    afterUnmap: ['10.4.0.1'],
    // The kernel keeps what a killed process added; the next start takes it away.
    afterKill: ['10.4.0.1'],
    // Added by somebody else: used, and left alone.
    afterRestart: ['10.4.0.9'],
    stop: 'number',
    exitCode: 0,
    afterStop: ['10.4.0.9'],
    notRunning: 'not_running',
  })
})

describe.each(GENERATIONS)('with the reference, %s', (generation) => {
  const found = referenceFolder(generation)
  const skipped = 'missing' in found ? ` (skipped: ${found.missing})` : ''
  it.skipIf(skipped !== '' || !canRun)(
    `its gateway works on our daemon, and ours on its daemon${skipped}`,
    async () => {
      expect(await run('gateway-reference-scenario.ts', generation)).toEqual({
        theirGateway: true,
        theirDaemon: true,
      })
    },
  )
})
