/** The console as a person uses it: by its labels and buttons, in Chromium. */
import { spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Browser, BrowserContext, Page } from 'playwright-core'
import { expect } from 'vitest'
import type { PageServer } from './chromium.ts'

const root: string = fileURLToPath(new URL('../../', import.meta.url))
/** Pictures of every state that is passed through; looked at by people. */
const SCREENSHOTS: string = fileURLToPath(new URL('screenshots/', import.meta.url))

/** Programs and console, as `npm run build` makes them. */
export function buildAll(): void {
  const projects = ['core', 'runtimes/shared', 'runtimes/browser', 'runtimes/node', 'signaling']
  run(`${root}node_modules/.bin/tsc`, ['-b', ...projects])
  run(process.execPath, ['signaling/console/build.mjs'])
}

function run(program: string, args: readonly string[]): void {
  const { status, stdout, stderr } = spawnSync(program, args, { cwd: root, encoding: 'utf8' })
  if (status !== 0) throw new Error(`${program} ${args.join(' ')} failed:\n${stdout}${stderr}`)
}

export const CONSOLE_FOLDER: string = `${root}dist/console/`

const TYPES: Readonly<Record<string, string>> = {
  html: 'text/html',
  js: 'text/javascript',
  css: 'text/css',
  svg: 'image/svg+xml',
}

/** A host that knows nothing of us: files under a path, no headers. */
export async function serveFolder(folder: string, under: string): Promise<PageServer> {
  const server = createServer((request, response) => {
    const { pathname } = new URL(request.url ?? '', 'http://host')
    const name = pathname.slice(under.length) || 'index.html'
    if (!pathname.startsWith(under) || !readdirSync(folder).includes(name)) {
      response.writeHead(404).end()
      return
    }
    response.setHeader('content-type', TYPES[name.split('.').at(-1) ?? ''] ?? '')
    response.end(readFileSync(`${folder}${name}`))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as { port: number }
  return {
    url: `http://127.0.0.1:${port}/`,
    close: () => new Promise((resolve) => server.close(() => resolve())),
  }
}

/** Runs in the page: controls that say nothing to who does not see them, and ids that are there twice. */
const AUDIT = `(() => {
  const all = (selector) => [...document.querySelectorAll(selector)]
  const nameOf = (one) =>
    one.getAttribute('aria-label') ||
    all('[id="' + one.getAttribute('aria-labelledby') + '"]').map((label) => label.textContent).join('') ||
    [...(one.labels ?? [])].map((label) => label.textContent).join('') ||
    one.textContent.trim() || one.querySelector('img')?.alt || ''
  const hidden = (one) => one.closest('[aria-hidden=true]') !== null
  const nameless = all('button, a, input, textarea, progress, dialog, nav, section, [role=img], [role=log], [role=tabpanel]')
    .filter((one) => !hidden(one) && nameOf(one) === '')
  const ids = all('[id]').map((one) => one.id)
  const pictures = all('img:not([alt])')
  const references = all('[aria-describedby], [aria-controls], [for]').flatMap((one) =>
    ['aria-describedby', 'for'].flatMap((name) => (one.getAttribute(name) ?? '').split(' ')))
    .filter((id) => id !== '' && !ids.includes(id))
  return [...nameless, ...pictures].map((one) => one.outerHTML.slice(0, 120))
    .concat(ids.filter((id, at) => ids.indexOf(id) !== at), references)
})()`

export interface Look {
  readonly width?: number
  readonly colorScheme?: 'light' | 'dark'
}

/** A console in a browser context of its own: other storage, other identity. */
export class ConsolePage {
  readonly page: Page
  readonly context: BrowserContext
  /** What went wrong in the page: none of it is expected. */
  readonly errors: string[] = []

  readonly colorScheme: 'light' | 'dark'
  readonly #folders: string[] = []

  private constructor(
    page: Page,
    context: BrowserContext,
    colorScheme: 'light' | 'dark' = 'light',
  ) {
    this.page = page
    this.context = context
    this.colorScheme = colorScheme
    page.on('pageerror', (error) => this.errors.push(`${error}`))
    page.on('console', (message) => {
      // Failed connections are the browser's own lines, and expected where a test has them fail.
      if (message.type() === 'error' && !/WebSocket|ERR_CONNECTION/.test(message.text()))
        this.errors.push(message.text())
    })
  }

  static async open(browser: Browser, url: string, look: Look = {}): Promise<ConsolePage> {
    const { width = 1280, colorScheme = 'light' } = look
    const viewport = { width, height: width < 600 ? 844 : 800 }
    const context = await browser.newContext({ viewport, colorScheme, acceptDownloads: true })
    const one = new ConsolePage(await context.newPage(), context, colorScheme)
    await one.page.goto(url)
    return one
  }

  /** Another tab of the same browser. */
  async sibling(): Promise<ConsolePage> {
    const one = new ConsolePage(await this.context.newPage(), this.context)
    await one.page.goto(this.page.url().split('#')[0] ?? '')
    return one
  }

  /** Fills the form and waits until the node is there. */
  async join(hostname: string, { isPublic = false } = {}): Promise<void> {
    const { page } = this
    await page.getByLabel('Hostname').first().fill(hostname)
    if (isPublic) await page.getByLabel('Public').check()
    await page.getByRole('button', { name: /^Join/ }).click()
    await this.joined()
  }

  async joined(): Promise<void> {
    await this.page.locator('.link-state.online').waitFor()
  }

  /** The own address, from the card that shows it large. */
  async address(): Promise<string> {
    return (await this.page.locator('.share .address code').textContent()) ?? ''
  }

  async pairingLink(): Promise<string> {
    return (await this.page.locator('.share .link a').getAttribute('href')) ?? ''
  }

  async ask(target: string, why: string): Promise<void> {
    await this.page.getByLabel('Hostname or address').fill(target)
    await this.page.getByLabel('Why').fill(why)
    await this.page.locator('.side').getByRole('button', { name: 'Ask for trust' }).click()
  }

  async approve(name: string): Promise<void> {
    await this.page.getByRole('button', { name: `Approve ${name}` }).click()
  }

  /** Goes to the page of a peer in the list. */
  async choose(name: string, tab = 'Chat'): Promise<void> {
    const { page } = this
    if (await page.locator('.back').isVisible()) await page.locator('.back').click()
    await page.locator('.peers a', { hasText: name }).click()
    await page.getByRole('tab', { name: tab }).click()
  }

  async say(text: string): Promise<void> {
    await this.page.locator('#composer').fill(text)
    await this.page.keyboard.press('Enter')
  }

  message(text: string): ReturnType<Page['locator']> {
    return this.page.locator('.message', { hasText: text })
  }

  /** From a file: handing the bytes to the browser takes longer than sending them. */
  async sendFile(name: string, bytes: Buffer): Promise<void> {
    const folder = mkdtempSync(join(tmpdir(), 'pilot-console-'))
    this.#folders.push(folder)
    writeFileSync(join(folder, name), bytes)
    await this.page.locator('#file-picker').setInputFiles(join(folder, name))
  }

  /** The bytes that the button of a received file gives to the user. */
  async saved(name: string): Promise<Buffer> {
    const coming = this.page.waitForEvent('download')
    await this.page
      .getByRole('button', { name: `Save ${name}` })
      .first()
      .click()
    const chunks: Buffer[] = []
    for await (const chunk of await (await coming).createReadStream()) chunks.push(chunk as Buffer)
    return Buffer.concat(chunks)
  }

  /** The present state as it is at 1280 and 390 wide, light and dark. */
  async shots(name: string): Promise<void> {
    mkdirSync(SCREENSHOTS, { recursive: true })
    const { page } = this
    const before = page.viewportSize() ?? { width: 1280, height: 800 }
    expect(await page.evaluate(AUDIT), `${name}: nameless controls, ids twice`).toEqual([])
    await page.setViewportSize({ width: 360, height: 740 })
    await page.waitForTimeout(50)
    expect(await this.overflow(), `${name} is wider than 360`).toBeLessThanOrEqual(0)
    for (const [device, width, height] of [
      ['desktop', 1280, 800],
      ['phone', 390, 844],
    ] as const) {
      await page.setViewportSize({ width, height })
      for (const colorScheme of ['light', 'dark'] as const) {
        await page.emulateMedia({ colorScheme })
        await page.screenshot({ path: `${SCREENSHOTS}${name}-${device}-${colorScheme}.png` })
      }
      expect(await this.overflow(), `${name} is wider than ${width}`).toBeLessThanOrEqual(0)
    }
    await page.emulateMedia({ colorScheme: this.colorScheme })
    await page.setViewportSize(before)
  }

  /** By how many pixels the page is wider than its window. */
  overflow(): Promise<number> {
    return this.page.evaluate(
      'document.documentElement.scrollWidth - innerWidth',
    ) as Promise<number>
  }

  async close(): Promise<void> {
    await this.context.close()
    for (const folder of this.#folders) rmSync(folder, { recursive: true, force: true })
  }
}
