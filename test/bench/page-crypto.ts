/**
 * `npm run bench:page`: sealing one frame in real browsers, by @noble and by WebCrypto. The figures decide
 * whether a page seals inside the machine or at its edge.
 */
import { existsSync } from 'node:fs'
import { CHROMIUM, launch, servePage } from '../browser/chromium.ts'
import { FIREFOX, launchFirefox } from '../browser/firefox.ts'
import type { Row } from './page/crypto-page.ts'

/** As much of either driver as is needed. */
interface AnyBrowser {
  version(): string | Promise<string>
  newPage(): Promise<{
    goto(url: string): Promise<unknown>
    waitForFunction(text: string): Promise<unknown>
    evaluate(text: string): Promise<unknown>
  }>
  close(): Promise<void>
}

async function measureIn(name: string, browser: AnyBrowser, url: string): Promise<void> {
  const page = await browser.newPage()
  await page.goto(url)
  await page.waitForFunction('typeof measure === "function"')
  const rows = (await page.evaluate('measure()')) as Row[]
  console.log(`${name} ${await browser.version()}, µs per sealed frame`)
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
}

const pages = await servePage(new URL('page/crypto-page.ts', import.meta.url))
for (const [name, path, start] of [
  ['Chromium', CHROMIUM, launch],
  ['Firefox', FIREFOX, launchFirefox],
] as const)
  if (existsSync(path)) await measureIn(name, await start(), pages.url)
  else console.log(`${name} is not installed at ${path}`)
await pages.close()
