/** The console in Firefox, paired with one in Chromium. */
import { existsSync } from 'node:fs'
import type { Browser } from 'playwright-core'
import type { Browser as Firefox } from 'puppeteer-core'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createRendezvous, type Rendezvous } from '../../signaling/index.ts'
import { CHROMIUM, launch } from './chromium.ts'
import { buildAll, ConsolePage } from './console-page.ts'
import { FIREFOX, launchFirefox } from './firefox.ts'

describe.skipIf(!existsSync(FIREFOX) || !existsSync(CHROMIUM))('the console in Firefox', () => {
  let rendezvous: Rendezvous
  let firefox: Firefox
  let chromium: Browser

  beforeAll(async () => {
    buildAll()
    rendezvous = await createRendezvous({
      registryAddress: '127.0.0.1:0',
      beaconAddress: '127.0.0.1:0',
      httpAddress: '127.0.0.1:0',
    })
    firefox = await launchFirefox()
    chromium = await launch()
  }, 120_000)

  afterAll(async () => {
    await firefox?.close()
    await chromium?.close()
    await rendezvous?.close()
  })

  it('pairs with one in Chromium, talks, measures, and is back after a reload', async () => {
    const page = await firefox.newPage()
    const errors: unknown[] = []
    page.on('pageerror', (error) => errors.push(error))
    await page.goto(`${rendezvous.httpUrl}/console/`)
    await page.locator('#hostname').fill('fox')
    await page.locator('button[type=submit]').click()
    await page.waitForSelector('.link-state.online')
    const link = await page.$eval('.share .link a', (element) => element.getAttribute('href'))
    const other = await ConsolePage.open(chromium, link ?? '')
    await other.join('chrome')
    await page.locator('.request button.primary').click()
    await page.locator('.peers a').click()
    await page.locator('#composer').fill('from the fox')
    await page.locator('.composer button').click()
    await page.waitForSelector('.message.out[data-state=acknowledged]')
    await other.message('from the fox').waitFor()
    await other.say('to the fox')
    await page.waitForSelector('.message.in')
    expect(await page.$eval('.message.in .text', (element) => element.textContent)).toBe(
      'to the fox',
    )
    await page.waitForSelector('.path.direct', { timeout: 30_000 })
    await page.locator('#tab-connection').click()
    await page.locator('.bench button').click()
    await page.waitForSelector('.result ::-p-text(there and back)', { timeout: 40_000 })
    console.log(await page.$eval('.result', (element) => element.textContent))
    await page.reload()
    await page.waitForSelector('.link-state.online')
    await page.waitForSelector('.peer-head')
    expect(errors).toEqual([])
    expect(other.errors).toEqual([])
    await other.close()
  }, 120_000)
})
