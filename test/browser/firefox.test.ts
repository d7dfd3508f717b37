/** The node in Firefox: the same API, direct paths to a daemon and to Chromium, tabs that take over. */
import { existsSync } from 'node:fs'
import type { Browser } from 'puppeteer-core'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { CHROMIUM, launch, openTab } from './chromium.ts'
import { FIREFOX, launchFirefox, openFirefoxTab } from './firefox.ts'
import {
  call,
  type Echoed,
  type Joined,
  type Site,
  startSite,
  transportOf,
  until,
} from './setup.ts'

describe.skipIf(!existsSync(FIREFOX))('in Firefox', () => {
  let site: Site
  let firefox: Browser
  let url: string

  beforeAll(async () => {
    site = await startSite()
    url = site.url
    firefox = await launchFirefox()
  }, 90_000)

  afterAll(async () => {
    await firefox?.close()
    await site?.close()
  })

  it('a page and a daemon trust each other, and talk on a direct path', async () => {
    const daemon = await site.startNode('fox-daemon', true)
    const page = await openFirefoxTab(firefox, site.pages.url)
    const { nodeId, isLeader } = await call<Joined>(page, `tab.join('${url}', 'fox')`)
    expect(isLeader).toBe(true)
    expect(await call<Echoed>(page, `tab.echo('fox-daemon', 100000)`)).toMatchObject({
      isEqual: true,
    })
    await Promise.all([daemon.trust.request(nodeId), call(page, `tab.trust(${daemon.nodeId})`)])
    const took = await until(async () => (await transportOf(page)) === 'webrtc', 30_000)
    console.log(`Firefox to a daemon: direct ${took} ms after trust`)
    const echoed = await call<Echoed>(page, `tab.echo('fox-daemon', ${4 << 20})`)
    expect(echoed).toMatchObject({ received: 4 << 20, isEqual: true })
    console.log(`4 MiB there and back, Firefox to a daemon: ${echoed.ms.toFixed(0)} ms`)
    const connection = await daemon.dial('fox:4000')
    const writer = connection.writable.getWriter()
    await writer.write(new TextEncoder().encode('to the fox'))
    const { value } = await connection.readable.getReader().read()
    expect(new TextDecoder().decode(value)).toBe('to the fox')
    connection.reset()
    expect(await daemon.ping('fox')).toBeGreaterThan(0)
    await call(page, 'tab.leave()')
    await page.close()
    await daemon.close()
  }, 90_000)

  it.skipIf(!existsSync(CHROMIUM))(
    'a page and a tab of Chromium talk on a direct path',
    async () => {
      const chromium = await launch()
      const fox = await openFirefoxTab(firefox, site.pages.url)
      const other = await openTab(chromium, site.pages.url)
      const a = await call<Joined>(fox, `tab.join('${url}', 'fox-tab')`)
      const b = await call<Joined>(other, `tab.join('${url}', 'chromium-tab')`)
      await Promise.all([
        call(fox, `tab.trust(${b.nodeId})`),
        call(other, `tab.trust(${a.nodeId})`),
      ])
      const isDirect = async (): Promise<boolean> =>
        (await transportOf(fox)) === 'webrtc' && (await transportOf(other)) === 'webrtc'
      const took = await until(isDirect, 30_000)
      console.log(`Firefox to Chromium: direct ${took} ms after trust`)
      for (const [page, target] of [
        [fox, 'chromium-tab'],
        [other, 'fox-tab'],
      ] as const) {
        const echoed = await call<Echoed>(page, `tab.echo('${target}', ${2 << 20})`)
        expect(echoed).toMatchObject({ received: 2 << 20, isEqual: true })
        console.log(`2 MiB there and back to ${target}: ${echoed.ms.toFixed(0)} ms`)
      }
      await call(fox, 'tab.leave()')
      await fox.close()
      await chromium.close()
    },
    90_000,
  )

  it('another tab takes over when the leading one closes', async () => {
    const daemon = await site.startNode('fox-caller')
    const first = await openFirefoxTab(firefox, site.pages.url)
    const { nodeId } = await call<Joined>(first, `tab.join('${url}', 'foxes', { port: 4001 })`)
    const second = await openFirefoxTab(firefox, site.pages.url)
    const joined = await call<Joined>(second, `tab.join('${url}', 'foxes', { port: 4002 })`)
    expect(joined).toMatchObject({ nodeId, isLeader: false })
    const answers = async (): Promise<boolean> => {
      try {
        const connection = await daemon.dial('foxes:4002', { timeoutMs: 300 })
        connection.reset()
        return true
      } catch {
        return false
      }
    }
    expect(await until(answers, 5000)).toBeLessThan(5000)
    const started = Date.now()
    await first.close()
    await until(() => call<boolean>(second, 'tab.isLeader()'), 5000)
    await until(answers, 5000)
    console.log(`served by another tab ${Date.now() - started} ms after the leading one was closed`)
    expect(await call(second, 'tab.nodeId()')).toBe(nodeId)
    await second.close()
    await daemon.close()
  }, 90_000)
})
