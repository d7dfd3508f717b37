/** The package in a page, without a bundler and by two of them: the lines of the README run in Chromium. */
import { existsSync, readFileSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import { extname, join, normalize } from 'node:path'
import { build } from 'esbuild'
import type { Browser } from 'playwright-core'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { CHROMIUM, LOADED_MS, launch } from '../browser/chromium.ts'
import { helloOfPage, Project, tool } from './projects.ts'
import { type Site, startSite } from './rendezvous.ts'

const TYPES: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript',
}

describe.skipIf(!existsSync(CHROMIUM))('in a page', () => {
  let site: Site
  let project: Project
  let browser: Browser
  let server: Server
  let origin: string

  beforeAll(async () => {
    project = new Project()
    await project.install('npm', 'pilot-ts')
    browser = await launch()
    server = serveFiles(project.folder)
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    origin = `http://127.0.0.1:${(server.address() as { port: number }).port}`
  })
  afterAll(async () => {
    await browser?.close()
    await new Promise((resolve) => (server === undefined ? resolve(0) : server.close(resolve)))
    await project?.[Symbol.asyncDispose]()
  })

  // One for each: a page that is closed without a word keeps its name until its registration expires.
  beforeEach(async () => {
    site = await startSite()
  })
  afterEach(() => site?.[Symbol.asyncDispose]())

  /** What the page prints first; its errors are printed, too. */
  async function open(path: string): Promise<string> {
    const context = await browser.newContext()
    try {
      const page = await context.newPage()
      const first = new Promise<string>((resolve) => {
        page.on('pageerror', (error) => resolve(`${error.stack ?? error}`))
        page.on('console', (message) => resolve(message.text()))
      })
      await page.goto(`${origin}/${path}`)
      const late = new Promise<string>((resolve) =>
        setTimeout(resolve, 3 * LOADED_MS, 'nothing was printed').unref(),
      )
      return await Promise.race([first, late])
    } finally {
      await context.close()
    }
  }

  it('without a bundler, by an import map', async () => {
    const imports = {
      'pilot-ts': '/node_modules/pilot-ts/dist/runtimes/browser/index.js',
      ...Object.fromEntries(
        ['curves', 'hashes'].map((name) => [`@noble/${name}/`, `/node_modules/@noble/${name}/`]),
      ),
    }
    project.write({
      'plain.html': `<!doctype html><link rel="icon" href="data:,">
        <script type="importmap">${JSON.stringify({ imports })}</script>
        <script type="module">${helloOfPage(site.url)}</script>`,
    })
    expect(await open('plain.html')).toBe('hello, alice')
  })

  it('bundled by esbuild, with the worker as a file of its own', async () => {
    const entry = (file: string) => ({
      absWorkingDir: project.folder,
      entryPoints: [file],
      outdir: 'esbuild',
      bundle: true,
      minify: true,
      splitting: true,
      format: 'esm' as const,
    })
    project.write({
      'main.ts': helloOfPage(site.url, ", workerUrl: '/esbuild/worker.js'"),
      'worker.ts': "import 'pilot-ts/browser/worker'",
      'esbuild.html': page('/esbuild/main.js'),
    })
    for (const file of ['main.ts', 'worker.ts']) {
      const { warnings } = await build(entry(file))
      expect(warnings).toEqual([])
    }
    expect(await open('esbuild.html')).toBe('hello, alice')
  })

  it('bundled by Vite, which finds the worker', async () => {
    project.write({
      'vite/index.html': page('./main.ts'),
      'vite/main.ts': helloOfPage(site.url),
    })
    const args = ['--target', 'esnext', '--base', './', '--logLevel', 'warn']
    const { stdout, stderr } = await project.run(tool('vite'), 'build', 'vite', ...args)
    expect(`${stdout}${stderr}`).toBe('')
    expect(await open('vite/dist/index.html')).toBe('hello, alice')
  })
})

const page = (script: string): string =>
  `<!doctype html><link rel="icon" href="data:,"><script type="module" src="${script}"></script>`

function serveFiles(folder: string): Server {
  return createServer((request, response) => {
    const { pathname } = new URL(request.url ?? '/', 'http://localhost')
    const path = join(folder, normalize(pathname))
    if (!existsSync(path)) response.writeHead(404).end()
    else
      response
        .setHeader('content-type', TYPES[extname(path)] ?? 'application/octet-stream')
        .end(readFileSync(path))
  })
}
