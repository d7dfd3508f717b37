/** The worker as a page: its files, and the browsers that open it, each started once. */
import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'
import { CHROMIUM, launch } from '../browser/chromium.ts'
import { FIREFOX, launchFirefox } from '../browser/firefox.ts'
import type { OpenPage, Task } from './runner.ts'

/** By the path of the URL. */
export type PageFiles = ReadonlyMap<string, { readonly type: string; readonly body: string }>

/** What both drivers' pages have. */
interface DrivenPage {
  goto(url: string): Promise<unknown>
  evaluate(text: string): Promise<unknown>
  close(): Promise<void>
}

interface DrivenBrowser {
  newPage(): Promise<DrivenPage>
  close(): Promise<void>
}

const ASK_MS = 100

const PROGRAMS: Readonly<Record<string, string>> = { chromium: CHROMIUM, firefox: FIREFOX }

const START: Readonly<Record<string, () => Promise<DrivenBrowser>>> = {
  chromium: launch,
  // Firefox slows the timers of tabs that are not in front: one tab at a time.
  firefox: launchFirefox,
}

export const isInstalled = (browser: string): boolean => existsSync(PROGRAMS[browser] ?? '')

export async function pageFiles(): Promise<PageFiles> {
  const script = async (path: string): Promise<string> => {
    const { outputFiles } = await build({
      entryPoints: [fileURLToPath(new URL(path, import.meta.url))],
      bundle: true,
      write: false,
      format: 'esm',
      platform: 'browser',
    })
    return outputFiles[0]!.text
  }
  const page =
    '<!doctype html><title>at work</title><body><script type="module" src="/page.js"></script>'
  return new Map([
    ['/', { type: 'text/html; charset=utf-8', body: page }],
    ['/page.js', { type: 'text/javascript', body: await script('page/worker-page.ts') }],
    [
      '/worker.js',
      { type: 'text/javascript', body: await script('../../runtimes/browser/worker.ts') },
    ],
  ])
}

export class BrowserHost {
  readonly #browsers = new Map<string, Promise<DrivenBrowser>>()

  /** What opens a page in a browser, one of `BROWSER_NAMES`; the browser starts with the first. */
  opener(name: string): OpenPage {
    return (url) => {
      const page = this.#open(name, url)
      let isStopped = false
      const ended = (async () => {
        const one = await page
        while (!isStopped) {
          if ((await one.evaluate('document.title')) === 'ended') return 'the page ended'
          await new Promise((resolve) => setTimeout(resolve, ASK_MS))
        }
        return 'the page was closed'
      })().catch(String)
      const stop = async (): Promise<void> => {
        if (isStopped) return
        isStopped = true
        await ended
        await page.then((one) => one.close()).catch(() => {})
      }
      return { ended, stop } satisfies Task
    }
  }

  async close(): Promise<void> {
    for (const browser of this.#browsers.values())
      await browser.then((one) => one.close()).catch(() => {})
  }

  async #open(name: string, url: string): Promise<DrivenPage> {
    let browser = this.#browsers.get(name)
    if (browser === undefined) {
      browser = START[name]?.() ?? Promise.reject(new Error(`there is no browser ${name}`))
      this.#browsers.set(name, browser)
    }
    const page = await (await browser).newPage()
    const pageErrors = page as unknown as {
      on(event: 'pageerror', listener: (error: unknown) => void): void
    }
    pageErrors.on('pageerror', (error) => {
      // Firefox reports the WebSockets that find the rendezvous restarting.
      if (!String(error).includes('to the server at ws://')) console.error(`${name}:`, error)
    })
    await page.goto(url)
    return page
  }
}
