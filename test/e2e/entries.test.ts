/** What the build makes of the entries: classes that are one, modules that wait until they are wanted. */
import { execFile } from 'node:child_process'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { promisify } from 'node:util'
import { describe, expect, it } from 'vitest'

const run = promisify(execFile)
const root = fileURLToPath(new URL('../../', import.meta.url))
const dist = process.env.PILOT_TEST_PROGRAMS ?? join(root, 'dist')
const url = (path: string): string => pathToFileURL(join(dist, path)).href

/** What a module that is run in a fresh process prints as JSON. */
async function evaluate(code: string): Promise<unknown> {
  const args = ['--no-warnings', '--input-type=module', '--eval', code]
  const { stdout } = await run(process.execPath, args, { cwd: root, timeout: 30_000 })
  return JSON.parse(stdout)
}

/** Packages and modules of Node that come with an entry before anything of it is used. */
async function loadedBy(entry: string): Promise<string[]> {
  return (await evaluate(`
    import { registerHooks } from 'node:module'
    const seen = new Set()
    registerHooks({
      resolve(specifier, context, next) {
        const { url } = next(specifier, context)
        const name = /node_modules\\/((?:@[^/]+\\/)?[^/]+)/.exec(url)?.[1]
        seen.add(name ?? (url.startsWith('node:') ? url : 'own'))
        return next(specifier, context)
      },
    })
    await import(${JSON.stringify(url(entry))})
    seen.delete('own')
    console.log(JSON.stringify([...seen].sort()))
  `)) as string[]
}

describe('the built entries', () => {
  it('share their classes', async () => {
    const entries = ['core', 'runtimes/node', 'runtimes/browser'].map((path) =>
      url(`${path}/index.js`),
    )
    const isOne = await evaluate(`
      const entries = await Promise.all(${JSON.stringify(entries)}.map((entry) => import(entry)))
      const [core] = entries
      console.log(JSON.stringify(entries.map(({ PilotError, Identity, ERROR_CODES }) =>
        PilotError === core.PilotError && Identity === core.Identity && ERROR_CODES === core.ERROR_CODES)))
    `)
    expect(isOne).toEqual([true, true, true])
  })

  it('throw what is an instance of the class of another entry', async () => {
    const names = await evaluate(`
      const { PilotError, UsageError } = await import(${JSON.stringify(url('core/index.js'))})
      const { createNode } = await import(${JSON.stringify(url('runtimes/node/index.js'))})
      const error = await createNode({ webRtc: 'none of these' }).catch((error) => error)
      console.log(JSON.stringify([error instanceof PilotError, error instanceof UsageError, error.code]))
    `)
    expect(names).toEqual([true, true, 'ERR_INVALID_ARGUMENT'])
  })

  it('load no package with Node, and nothing at all with the core', async () => {
    expect(await loadedBy('core/index.js')).toEqual([])
    const loaded = await loadedBy('runtimes/node/index.js')
    expect(loaded.filter((name) => !name.startsWith('node:'))).toEqual([])
    for (const name of ['node:tls', 'node:sqlite', 'node:child_process', 'node:http'])
      expect(loaded).not.toContain(name)
  })

  it('have everything beside them that is started or named by its place', () => {
    const scripts = readdirSync(dist, { recursive: true, encoding: 'utf8' }).filter((name) =>
      name.endsWith('.js'),
    )
    const text = scripts.map((name) => readFileSync(join(dist, name), 'utf8')).join('\n')
    const places = [...text.matchAll(/ownScript\d*\("([^"]+)"\)/g)].map(([, place]) => place ?? '')
    expect(places.sort()).toEqual(['runtimes/node/bin/pilot-daemon', 'runtimes/node/rtc/rtc-child'])
    for (const place of places) expect(existsSync(join(dist, `${place}.js`))).toBe(true)
    // The page's script names its worker by this form, which other bundlers look for.
    const page = readFileSync(join(dist, 'runtimes/browser/index.js'), 'utf8')
    expect(page).toContain('new Worker(new URL("./worker.js", import.meta.url)')
  })

  it('give the worker of a page everything it needs: an import map does not count there', () => {
    const worker = readFileSync(join(dist, 'runtimes/browser/worker.js'), 'utf8')
    expect(worker).not.toMatch(/\b(?:import|export)\b[^;'"]*\bfrom\s*["']|^import\s*["']/m)
  })
})
