/** Twenty seconds of `npm run fuzz`. */
import { spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { expect, it } from 'vitest'
import { finished } from './programs.ts'

const FUZZ = fileURLToPath(new URL('../soak/fuzz.ts', import.meta.url))

it('a hail of bad input breaks nothing', async () => {
  const argv = [FUZZ, '--minutes', '0.34', '--seed', '1']
  const { code, stdout, stderr } = await finished(spawn(process.execPath, argv))
  expect(stdout + stderr).toContain('fuzz: nothing broke')
  expect(code).toBe(0)
})
