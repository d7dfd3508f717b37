/** The package as it is packed, installed into empty folders: the lines of the README run, in each runtime. */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { hello, Project, tool } from './projects.ts'
import { type Site, startSite } from './rendezvous.ts'

const runtimes = [
  { name: 'Node', install: 'npm', command: process.execPath, flags: [] },
  {
    name: 'Deno',
    install: 'deno',
    command: tool('deno'),
    flags: ['run', '--unstable-net', '--allow-net'],
  },
  { name: 'Bun', install: 'bun', command: tool('bun'), flags: ['run'] },
] as const

let site: Site
beforeAll(async () => {
  site = await startSite()
})
afterAll(() => site?.[Symbol.asyncDispose]())

describe.each(runtimes)('in an empty folder with $name', ({ install, command, flags }) => {
  let project: Project
  beforeAll(async () => {
    project = new Project()
    await project.install(install, 'pilot-ts')
  })
  afterAll(() => project?.[Symbol.asyncDispose]())

  const run = (...args: string[]) => project.run(command, ...flags, ...args)

  it('the lines of the README print what they say', async () => {
    project.write({ 'hello.ts': hello() })
    const { stdout, stderr } = await run('hello.ts', ...site.endpoints)
    expect({ stdout, stderr }).toEqual({ stdout: 'hello, alice\n', stderr: '' })
  })

  it('what every entry exports is the same, and an error of one is known by the other', async () => {
    project.write({
      'entries.ts': `
        import * as main from 'pilot-ts'
        import * as core from 'pilot-ts/core'
        import * as browser from 'pilot-ts/browser'
        import { nobleCrypto } from 'pilot-ts/core/noble'
        import { createRendezvous } from 'pilot-ts/signaling'
        const failed = await main.createNode({ registry: '' }).catch((error) => error)
        console.log(JSON.stringify([
          main.PilotError === core.PilotError, browser.PilotError === core.PilotError,
          main.Identity === core.Identity, failed instanceof core.PilotError, failed.code,
          typeof nobleCrypto, typeof createRendezvous,
        ]))`,
    })
    // What serves the rendezvous reads the environment; a node does not.
    const { stdout } = await run(...(install === 'deno' ? ['--allow-env'] : []), 'entries.ts')
    const same = [true, true, true, true]
    expect(JSON.parse(stdout)).toEqual([
      ...same,
      'ERR_INVALID_ARGUMENT',
      expect.stringMatching(/object|function/),
      'function',
    ])
  })
})

describe('installed by npm', () => {
  let project: Project
  beforeAll(async () => {
    project = new Project()
    await project.install('npm', 'pilot-ts')
  })
  afterAll(() => project?.[Symbol.asyncDispose]())

  const print = async (code: string, ...flags: string[]): Promise<unknown> =>
    JSON.parse((await project.run(process.execPath, ...flags, '--eval', code)).stdout)

  it('brings no native module, and none of the optional packages', () => {
    const names = readdirSync(join(project.folder, 'node_modules'), {
      recursive: true,
      encoding: 'utf8',
    })
    expect(names).toContain('pilot-ts')
    expect(names.filter((name) => /\.node$|binding\.gyp$/.test(name))).toEqual([])
    expect(names.filter((name) => /^(node-datachannel|koffi|werift)$/.test(name))).toEqual([])
  })

  it.each([
    ['node-datachannel', "{ webRtc: 'native' }"],
    ['werift', "{ webRtc: 'werift' }"],
    ['koffi', '{ native: true }'],
  ])('names %s when it is asked for and missing', async (name, options) => {
    const error = await print(
      `import { createNode, PilotError } from 'pilot-ts'
      const error = await createNode(${options}).catch((error) => error)
      console.log(JSON.stringify([error instanceof PilotError, error.code, error.message]))`,
      '--input-type=module',
    )
    expect(error).toEqual([
      true,
      'ERR_INVALID_ARGUMENT',
      expect.stringContaining(`npm install ${name}`),
    ])
  })

  it('every entry that Node can run is imported and required, as one', async () => {
    const manifest = readFileSync(
      join(project.folder, 'node_modules/pilot-ts/package.json'),
      'utf8',
    )
    const { exports } = JSON.parse(manifest) as { exports: Record<string, unknown> }
    const ofOthers = [
      './deno',
      './bun',
      './browser/worker',
      './signaling/workerd',
      './package.json',
    ]
    const entries = Object.keys(exports).filter((entry) => !ofOthers.includes(entry))
    expect(entries.length).toBeGreaterThan(5)
    const specifiers = entries.map((entry) => entry.replace('.', 'pilot-ts'))
    const isOne = await print(
      `const entries = ${JSON.stringify(specifiers)}
      Promise.all(entries.map(async (entry) => {
        const [required, imported] = [require(entry), await import(entry)]
        const names = Object.keys(imported)
        return [entry, names.length > 0 && names.every((name) => required[name] === imported[name])]
      })).then((all) => console.log(JSON.stringify(all)))`,
      '--input-type=commonjs',
    )
    expect(isOne).toEqual(specifiers.map((entry) => [entry, true]))
  })

  it('its programs explain themselves', async () => {
    const manifest = readFileSync(
      join(project.folder, 'node_modules/pilot-ts/package.json'),
      'utf8',
    )
    const programs = Object.keys((JSON.parse(manifest) as { bin: object }).bin)
    expect(programs).toContain('pilotctl')
    for (const program of programs) {
      const path = join(project.folder, 'node_modules/.bin', program)
      const { stdout, stderr } = await project.run(path, '--help')
      expect(`${stdout}${stderr}`).toContain(program)
    }
  })
})
