/**
 * `npm run bench:page`: sealing one frame in a real Chromium, by @noble and by WebCrypto. The figures decide
 * whether a page seals inside the machine or at its edge.
 */
import { createServer } from 'node:http'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'
import { chromium } from 'playwright-core'
import type { Row } from './page/crypto-page.ts'

const { outputFiles } = await build({
  entryPoints: [fileURLToPath(new URL('page/crypto-page.ts', import.meta.url))],
  bundle: true,
  write: false,
  format: 'esm',
  platform: 'browser',
})
const script = outputFiles[0]!.text
const server = createServer((request, response) => {
  const isScript = request.url === '/page.js'
  response.setHeader('content-type', isScript ? 'text/javascript' : 'text/html')
  response.end(isScript ? script : '<!doctype html><script type="module" src="/page.js"></script>')
})
await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
const { port } = server.address() as { port: number }

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  args: [
    '--no-sandbox',
    '--disable-gpu',
    '--disable-quic',
    '--no-first-run',
    '--disable-background-networking',
    '--disable-component-update',
    '--disable-sync',
  ],
})
const page = await browser.newPage()
await page.goto(`http://127.0.0.1:${port}/`)
await page.waitForFunction('typeof measure === "function"')
const rows = (await page.evaluate('measure()')) as Row[]
console.log(`Chromium ${browser.version()}, µs per sealed frame`)
console.table(
  rows.map(({ frameBytes, nobleUs, subtleUs, subtleBatchedUs }) => ({
    frameBytes,
    noble: Math.round(nobleUs),
    'WebCrypto, one by one': Math.round(subtleUs),
    'WebCrypto, 32 at once': Math.round(subtleBatchedUs),
    'noble / WebCrypto at once': (nobleUs / subtleBatchedUs).toFixed(1),
  })),
)
await browser.close()
server.close()
