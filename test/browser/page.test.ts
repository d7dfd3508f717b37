/** A page in a real browser: joined through one WebSocket, met by name, moved to a data channel. */
import { existsSync } from 'node:fs'
import type { Browser, Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { PeerInfo } from '../../runtimes/shared/api.ts'
import { CHROMIUM, openTab, type PageServer } from './chromium.ts'
import {
  type ChromiumSite,
  call,
  type Echoed,
  type Joined,
  startChromiumSite,
  until,
} from './setup.ts'

describe.skipIf(!existsSync(CHROMIUM))('in Chromium', () => {
  let browser: Browser
  let pages: PageServer
  let url: string
  let site: ChromiumSite

  beforeAll(async () => {
    site = await startChromiumSite()
    ;({ browser, pages, url } = site)
  }, 60_000)

  afterAll(() => site?.close())

  it('two tabs join, trust each other, and talk on a direct path', async () => {
    const [a, b] = await Promise.all([openTab(browser, pages.url), openTab(browser, pages.url)])
    const joinedA = await call<Joined>(a, `tab.join('${url}', 'tab-a')`)
    const joinedB = await call<Joined>(b, `tab.join('${url}', 'tab-b')`)
    // Public nodes: the relay carries at once.
    expect(await call<Echoed>(a, `tab.echo('tab-b', 20000)`)).toMatchObject({ isEqual: true })
    await Promise.all([
      call(a, `tab.trust(${joinedB.nodeId})`),
      call(b, `tab.trust(${joinedA.nodeId})`),
    ])
    const transport = async (page: Page): Promise<string> =>
      (await call<PeerInfo[]>(page, 'tab.peers()'))[0]?.transport ?? ''
    const took = await until(async () => (await transport(a)) === 'webrtc', 15_000)
    await until(async () => (await transport(b)) === 'webrtc', 5000)
    console.log(`direct path ${took} ms after trust`)
    const echoed = await call<Echoed>(a, `tab.echo('tab-b', ${4 << 20})`)
    expect(echoed).toMatchObject({ received: 4 << 20, isEqual: true })
    console.log(`4 MiB there and back, tab to tab: ${echoed.ms.toFixed(0)} ms`)
    await Promise.all([a.context().close(), b.context().close()])
  }, 60_000)

  it('a tab and a node on UDP talk through the relay', async () => {
    const node = await site.startNode('daemon')
    const page = await openTab(browser, pages.url)
    await call(page, `tab.join('${url}', 'tab-c')`)
    const echoed = await call<Echoed>(page, `tab.echo('daemon', ${1 << 20})`)
    expect(echoed).toMatchObject({ received: 1 << 20, isEqual: true })
    expect(await call<number>(page, `tab.ping('daemon')`)).toBeGreaterThan(0)
    const back = await node.dial('tab-c:4000')
    const writer = back.writable.getWriter()
    await writer.write(Buffer.from('from the daemon'))
    const { value } = await back.readable.getReader().read()
    expect(Buffer.from(value ?? []).toString()).toBe('from the daemon')
    back.reset()
    await page.context().close()
    await node.close()
  }, 60_000)

  it('a tab and a node on UDP trust each other, and talk on a direct path', async () => {
    const node = await site.startNode('daemon-rtc', true)
    const page = await openTab(browser, pages.url)
    const { nodeId } = await call<Joined>(page, `tab.join('${url}', 'tab-e')`)
    await Promise.all([node.trust.request(nodeId), call(page, `tab.trust(${node.nodeId})`)])
    const transports = async (): Promise<string[]> => [
      node.peers()[0]?.transport ?? '',
      (await call<PeerInfo[]>(page, 'tab.peers()'))[0]?.transport ?? '',
    ]
    const took = await until(
      async () => (await transports()).every((name) => name === 'webrtc'),
      15_000,
    )
    console.log(`direct path ${took} ms after trust`)
    const echoed = await call<Echoed>(page, `tab.echo('daemon-rtc', ${4 << 20})`)
    expect(echoed).toMatchObject({ received: 4 << 20, isEqual: true })
    console.log(`4 MiB there and back, tab to node: ${echoed.ms.toFixed(0)} ms`)
    await page.context().close()
    await node.close()
  }, 60_000)

  it('a key made without a passphrase is given to nobody', async () => {
    const page = await openTab(browser, pages.url)
    await call(page, `tab.join('${url}', '')`)
    expect(await call(page, 'tab.identity()')).toEqual({
      protection: 'native',
      isExportable: false,
    })
    await expect(call(page, `tab.exportIdentity('any')`)).rejects.toThrow(/recovery passphrase/)
    const extracted = await page.evaluate(`(async () => {
      const request = indexedDB.open('pilot')
      await new Promise((resolve) => { request.onsuccess = resolve })
      const get = request.result.transaction('values').objectStore('values').get('identity')
      await new Promise((resolve) => { get.onsuccess = resolve })
      const { key } = get.result
      return crypto.subtle.exportKey('pkcs8', key).then(() => 'extracted', (error) => error.name)
    })()`)
    expect(extracted).toBe('InvalidAccessError')
    await page.context().close()
  }, 60_000)

  it('an identity goes from one browser to another under a passphrase', async () => {
    const [from, to] = await Promise.all([openTab(browser, pages.url), openTab(browser, pages.url)])
    const { nodeId } = await call<Joined>(
      from,
      `tab.join('${url}', '', { recoveryPassphrase: 'correct horse' })`,
    )
    const native = { protection: 'native', isExportable: true }
    expect(await call(from, 'tab.identity()')).toEqual(native)
    await expect(call(from, `tab.exportIdentity('wrong')`)).rejects.toThrow(/passphrase/)
    const exported = await call<number[]>(from, `tab.exportIdentity('correct horse')`)
    await call(from, 'tab.leave()')
    await expect(
      call(to, `tab.importIdentity(${JSON.stringify(exported)}, 'wrong')`),
    ).rejects.toThrow(/passphrase/)
    await expect(call(to, `tab.importIdentity([1,2,3], 'wrong')`)).rejects.toThrow(
      /not an exported/,
    )
    await call(to, `tab.importIdentity(${JSON.stringify(exported)}, 'correct horse')`)
    expect((await call<Joined>(to, `tab.join('${url}', '')`)).nodeId).toBe(nodeId)
    expect(await call(to, 'tab.identity()')).toEqual(native)
    expect(await call(to, `tab.exportIdentity('correct horse')`)).toEqual(exported)
    await Promise.all([from.context().close(), to.context().close()])
  }, 60_000)
})
