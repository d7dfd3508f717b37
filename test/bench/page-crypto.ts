/**
 * `npm run bench:page`: sealing one frame in a real Chromium, by @noble and by WebCrypto. The figures decide
 * whether a page seals inside the machine or at its edge.
 */
import { launch, servePage } from '../browser/chromium.ts'
import type { Row } from './page/crypto-page.ts'

const pages = await servePage(new URL('page/crypto-page.ts', import.meta.url))
const browser = await launch()
const page = await browser.newPage()
await page.goto(pages.url)
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
await pages.close()
