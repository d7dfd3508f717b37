/** A page that has `pilot-ts/browser`, in the Chromium that Debian packages. */
import { createServer } from 'node:http'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'
import { type Browser, type BrowserContext, chromium, type Page } from 'playwright-core'

export const CHROMIUM: string = process.env.CHROMIUM ?? '/usr/bin/chromium'
/**
 * What takes a second or two on a quiet machine, and the tests print what it took, may take so long on one with other
 * work. What is broken takes for ever, or until a timer of half a minute.
 */
export const LOADED_MS = 10_000

const FLAGS = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  // Host candidates by address: no multicast names.
  '--disable-features=WebRtcHideLocalIpsWithMdns',
]

export interface PageServer {
  readonly url: string
  close(): Promise<void>
}

/** Serves an empty page that runs this entry; default: the one in which `tab` is what the tests call. */
export async function servePage(
  entry: URL = new URL('page/entry.ts', import.meta.url),
): Promise<PageServer> {
  const worker = new URL('../../runtimes/browser/worker.ts', import.meta.url)
  const scripts = new Map([
    ['/page.js', await bundle(entry)],
    ['/worker.js', await bundle(worker)],
  ])
  const server = createServer((request, response) => {
    const script = scripts.get(request.url ?? '')
    response.setHeader('content-type', script ? 'text/javascript' : 'text/html; charset=utf-8')
    response.end(
      script ?? '<!doctype html><title>pilot</title><script type="module" src="/page.js"></script>',
    )
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as { port: number }
  return {
    url: `http://127.0.0.1:${port}/`,
    close: () => new Promise((resolve) => server.close(() => resolve())),
  }
}

async function bundle(entry: URL): Promise<string> {
  const { outputFiles } = await build({
    entryPoints: [fileURLToPath(entry)],
    bundle: true,
    write: false,
    format: 'esm',
    platform: 'browser',
  })
  return outputFiles[0]!.text
}

export function launch(): Promise<Browser> {
  return chromium.launch({ executablePath: CHROMIUM, args: FLAGS })
}

/** A tab of its own context, with the page loaded. */
export async function openTab(
  browser: Browser,
  url: string,
  context?: BrowserContext,
): Promise<Page> {
  const page = await (context ?? (await browser.newContext())).newPage()
  page.on('pageerror', (error) => console.error('page:', error))
  await page.goto(url)
  await page.waitForFunction('globalThis.tab !== undefined')
  return page
}
