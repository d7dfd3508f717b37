/** Empty folders into which the package is installed as a user would, and programs that run in them. */
import { type ChildProcess, spawn } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

export const root: string = fileURLToPath(new URL('../../', import.meta.url))
export const tool = (name: string): string => join(root, 'node_modules/.bin', name)

const RUN_MS = 60_000

export interface Ran {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

/** Outside of the repository, where nothing of it is found by chance. */
export class Project implements AsyncDisposable {
  readonly folder: string = mkdtempSync(join(tmpdir(), 'pilot-package-'))
  readonly #children = new Set<ChildProcess>()

  write(files: Readonly<Record<string, string>>): void {
    for (const [name, text] of Object.entries(files)) {
      mkdirSync(dirname(join(this.folder, name)), { recursive: true })
      writeFileSync(join(this.folder, name), text)
    }
  }

  /** @throws {Error} with what it printed, when it does not end with 0. */
  async run(command: string, ...args: string[]): Promise<Ran> {
    const ran = await this.try(command, ...args)
    if (ran.code !== 0)
      throw new Error(`${command} ${args.join(' ')}: ${ran.code}\n${ran.stdout}${ran.stderr}`)
    return ran
  }

  async try(command: string, ...args: string[]): Promise<Ran> {
    const child = spawn(command, args, {
      cwd: this.folder,
      stdio: ['ignore', 'pipe', 'pipe'],
      env: this.#environment(),
    })
    this.#children.add(child)
    const timer = setTimeout(() => child.kill('SIGKILL'), RUN_MS)
    let stdout = ''
    let stderr = ''
    child.stdout.setEncoding('utf8').on('data', (text) => {
      stdout += text
    })
    child.stderr.setEncoding('utf8').on('data', (text) => {
      stderr += text
    })
    return new Promise((resolve, reject) => {
      const end = (): void => {
        clearTimeout(timer)
        this.#children.delete(child)
      }
      child.once('error', (error) => {
        end()
        reject(error)
      })
      child.once('close', (code) => {
        end()
        resolve({ code, stdout, stderr })
      })
    })
  }

  /** Installs packages and nothing else: no script of any of them runs. */
  async install(how: 'npm' | 'deno' | 'bun', ...packages: string[]): Promise<void> {
    if (how === 'deno') {
      this.write({ 'deno.json': '{}' })
      await this.run(tool('deno'), 'add', ...packages.map((name) => `npm:${name}`))
      return
    }
    this.write({ 'package.json': '{ "name": "empty", "private": true, "type": "module" }' })
    if (how === 'npm') await this.run('npm', 'install', '--ignore-scripts', ...packages)
    else await this.run(tool('bun'), 'add', '--ignore-scripts', ...packages)
  }

  /** Ends what still runs, and removes the folder. */
  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(
      [...this.#children].map(async (child) => {
        const ended = new Promise((resolve) => child.once('close', resolve))
        child.kill('SIGKILL')
        await ended
      }),
    )
    rmSync(this.folder, { recursive: true, force: true, maxRetries: 3 })
  }

  /** Homes, caches and registry of its own: nothing that this machine has helps or disturbs. */
  #environment(): Record<string, string> {
    const home = join(this.folder, '.home')
    const registry = process.env.PILOT_TEST_REGISTRY
    if (registry === undefined) throw new Error('setup.ts has not run')
    return {
      PATH: `${dirname(process.execPath)}${delimiter}${process.env.PATH ?? ''}`,
      HOME: home,
      DENO_DIR: join(home, 'deno'),
      BUN_INSTALL_CACHE_DIR: join(home, 'bun'),
      npm_config_cache: join(home, 'npm'),
      npm_config_registry: registry,
      NPM_CONFIG_REGISTRY: registry,
      npm_config_audit: 'false',
      npm_config_fund: 'false',
      npm_config_update_notifier: 'false',
      NO_COLOR: '1',
    }
  }
}

/** The ten lines of the README below "Hello". */
export function hello(): string {
  const text = readFileSync(join(root, 'README.md'), 'utf8')
  const lines = /^## Hello\n+```ts\n([\s\S]*?)^```/m.exec(text)?.[1]
  if (lines === undefined) throw new Error('the README has no lines of TypeScript below "Hello"')
  return lines
}

/** The same lines for a page: it has no arguments, one address of the rendezvous, and one node per storage. */
export function helloOfPage(rendezvous: string, more = ''): string {
  const [start, arguments_ = '', body] = hello().split(/^(const \[registry.*)\n/m)
  const options = body?.split('{ registry, beacon')
  if (start === undefined || options?.length !== 3 || !arguments_.includes('process.argv'))
    throw new Error('the lines of the README are not those this knows to turn into a page')
  const [before, alice, bob] = options
  const node = (name: string): string =>
    `{ rendezvous: ${JSON.stringify(rendezvous)}, storageName: '${name}'${more}`
  return `${start}${before}${node('alice')}${alice}${node('bob')}${bob}`
}
