/** How our programs end. */
import { type ChildProcess, spawn } from 'node:child_process'
import { globSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'

const root = fileURLToPath(new URL('../../..', import.meta.url))
const module = new URL('../../../runtimes/node/end-process.ts', import.meta.url)

function run(code: string): ChildProcess {
  const source = `import { endProcess, exitNow } from ${JSON.stringify(module.href)}\n${code}`
  return spawn(process.execPath, ['--input-type=module-typescript', '-e', source], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
}

async function ended(child: ChildProcess): Promise<{ code: number | null; bytes: number }> {
  let bytes = 0
  child.stdout!.on('data', (chunk: Buffer) => {
    bytes += chunk.length
  })
  const code = await new Promise<number | null>((resolve) => child.once('close', resolve))
  return { code, bytes }
}

describe('the end of a program', () => {
  it('does not wait for what is still open', async () => {
    expect(await ended(run('setInterval(() => {}, 1000); await endProcess(3)'))).toMatchObject({
      code: 3,
    })
  })

  it('loses no output into a pipe', async () => {
    const child = run("process.stdout.write('x'.repeat(3_000_000)); await endProcess(0)")
    child.stdout!.pause()
    setTimeout(() => child.stdout!.resume(), 400)
    expect(await ended(child)).toEqual({ code: 0, bytes: 3_000_000 })
  })

  it('now is now', async () => {
    const child = run("process.on('exit', (code) => console.log(code)); exitNow(7); console.log(1)")
    expect(await ended(child)).toEqual({ code: 7, bytes: 2 })
  })

  it('comes in no other way: process.exit alone may wait for ever (nodejs/node#54918)', () => {
    const files = globSync('{core,runtimes,signaling}/**/*.ts', { cwd: root })
    expect(files.length).toBeGreaterThan(300)
    const others = files.filter((file) =>
      /\bprocess\.(exit|reallyExit)\(/.test(readFileSync(`${root}/${file}`, 'utf8')),
    )
    expect(others).toEqual(['runtimes/node/end-process.ts'])
  })
})
