/** Tabs of one origin: one node, run by one of them, used by all, and taken over when that one goes. */
import { existsSync } from 'node:fs'
import type { BrowserContext, Page } from 'playwright-core'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import type { PilotNode } from '../../runtimes/shared/api.ts'
import { CHROMIUM, LOADED_MS } from './chromium.ts'
import {
  type ChromiumSite,
  call,
  type Echoed,
  type Joined,
  openPage,
  startChromiumSite,
  until,
} from './setup.ts'

describe.skipIf(!existsSync(CHROMIUM))('tabs of one origin', () => {
  let site: ChromiumSite
  let daemon: PilotNode
  let context: BrowserContext
  let url: string

  beforeAll(async () => {
    site = await startChromiumSite()
    url = site.url
    daemon = await site.startNode('daemon')
  }, 60_000)

  afterAll(async () => {
    await daemon?.close()
    await site?.close()
  })

  beforeEach(async () => {
    context = await site.browser.newContext()
  })
  afterEach(() => context.close())

  const open = (): Promise<Page> => openPage(context, site.pages.url)
  const nodes = (): number => site.rendezvous.stats().total_nodes

  /** What comes back from an echo of the origin's node. */
  async function echo(target: string, text: string, timeoutMs = 5000): Promise<string> {
    const connection = await daemon.dial(target, { timeoutMs })
    const writer = connection.writable.getWriter()
    await writer.write(new TextEncoder().encode(text))
    const { value } = await connection.readable.getReader().read()
    connection.reset()
    return new TextDecoder().decode(value)
  }

  it('share one node: both dial, listen and receive', async () => {
    const before = nodes()
    const [first, second] = [await open(), await open()]
    const a = await call<Joined>(first, `tab.join('${url}', 'shared', { port: 4001 })`)
    const b = await call<Joined>(second, `tab.join('${url}', 'shared', { port: 4002 })`)
    expect(a.isLeader).toBe(true)
    expect(b).toEqual({ ...a, isLeader: false })
    await until(() => nodes() - before === 1, 5000, 'for one more node')
    expect(await echo('shared:4001', 'to the first')).toBe('to the first')
    expect(await echo('shared:4002', 'to the second')).toBe('to the second')
    for (const page of [first, second]) {
      // The echo of the other tab's node answers on 4000 only at the daemon.
      const echoed = await call<Echoed>(page, `tab.echo('daemon', ${2 << 20})`)
      expect(echoed).toMatchObject({ received: 2 << 20, isEqual: true })
      console.log(`2 MiB there and back from a tab: ${echoed.ms.toFixed(0)} ms`)
      expect(await call<number>(page, `tab.ping('daemon')`)).toBeGreaterThan(0)
    }
    expect(await call(second, 'tab.listenError(4001)')).toBe('ERR_PORT_IN_USE')
    await call(second, 'tab.datagrams()')
    await call(first, 'tab.datagrams()')
    await new Promise((resolve) => setTimeout(resolve, 100))
    daemon.sendDatagram({ address: { network: 0, node: a.nodeId }, port: 9 }, Buffer.from('both'))
    for (const page of [first, second])
      await until(
        async () => (await call<string[]>(page, 'tab.datagramTexts()')).length === 1,
        5000,
      )
    await call(second, `tab.setHostname('shared-two')`)
    await until(async () => (await call(first, 'tab.hostname()')) === 'shared-two', 15_000)
  }, 60_000)

  it('take over when the leading tab closes: same node, listeners serve on', async () => {
    const [first, second, third] = [await open(), await open(), await open()]
    const { nodeId } = await call<Joined>(first, `tab.join('${url}', 'closing', { port: 4001 })`)
    await call(second, `tab.join('${url}', 'closing', { port: 4002 })`)
    await call(third, `tab.join('${url}', 'closing', { port: 4003 })`)
    await call(second, `tab.setHostname('renamed')`)
    await call(second, `tab.hold('daemon:4000')`)
    await call(second, 'tab.startWaiting()')
    const started = Date.now()
    await first.close()
    let attempts = 0
    for (;;) {
      attempts++
      const answer = await echo('renamed:4002', 'still here', 300).catch(() => '')
      if (answer === 'still here') break
      if (Date.now() - started > 5000) throw new Error(`no takeover after ${attempts} attempts`)
    }
    const took = Date.now() - started
    console.log(`served by another tab ${took} ms after the leading one was closed`)
    expect(took).toBeLessThan(LOADED_MS)
    expect(await echo('renamed:4003', 'me too')).toBe('me too')
    expect(await call(second, 'tab.nodeId()')).toBe(nodeId)
    expect(await call(second, 'tab.fate()')).toBe('ERR_ENGINE_LOST')
    expect(await call(second, 'tab.waited()')).toBe('ERR_ENGINE_LOST')
    const isLeader = [await call(second, 'tab.isLeader()'), await call(third, 'tab.isLeader()')]
    expect(isLeader.filter((one) => one)).toHaveLength(1)
    const told = await call<unknown[]>(second, `tab.events('leader-changed')`)
    expect(told).toEqual([{ type: 'leader-changed', isLeader: isLeader[0] }])
    // The port of the tab that went is free.
    await call(third, 'tab.serveEcho(4001)')
    expect(await echo('renamed:4001', 'bound again')).toBe('bound again')
  }, 60_000)

  it('take over when the leading tab leaves by itself, or crashes', async () => {
    const [first, second, third] = [await open(), await open(), await open()]
    for (const [page, port] of [
      [first, 4001],
      [second, 4002],
      [third, 4003],
    ] as const)
      await call(page, `tab.join('${url}', 'leaving', { port: ${port} })`)
    await call(first, 'tab.leave()')
    await until(async () => (await echo('leaving:4003', 'x', 300).catch(() => '')) === 'x', 15_000)
    const crashed = (await call(second, 'tab.isLeader()')) ? second : third
    const left = crashed === second ? third : second
    const changes = async (): Promise<number> =>
      (await call<unknown[]>(left, `tab.events('leader-changed')`)).length
    const before = await changes()
    const session = await context.newCDPSession(crashed)
    const started = Date.now()
    void session.send('Page.crash').catch(() => {})
    await until(async () => (await changes()) > before, 5000, 'for the next leader')
    console.log(`another tab leads ${Date.now() - started} ms after the leading one crashed`)
    expect(Date.now() - started).toBeLessThan(LOADED_MS)
    const port = left === third ? 4003 : 4002
    await until(async () => (await echo(`leaving:${port}`, 'y', 300).catch(() => '')) === 'y', 5000)
    console.log(`served by another tab ${Date.now() - started} ms after the leading one crashed`)
  }, 60_000)

  it('take over when the leading tab is frozen, and it comes back as one of the others', async () => {
    const [first, second] = [await open(), await open()]
    await call(first, `tab.join('${url}', 'frozen', { port: 4001 })`)
    await call(second, `tab.join('${url}', 'frozen', { port: 4002 })`)
    // As the browser says it; headless Chromium keeps every page running.
    const started = Date.now()
    await first.evaluate(`document.dispatchEvent(new Event('freeze'))`)
    await until(async () => (await echo('frozen:4002', 'x', 300).catch(() => '')) === 'x', 5000)
    console.log(`served by another tab ${Date.now() - started} ms after the leading one was frozen`)
    expect(Date.now() - started).toBeLessThan(LOADED_MS)
    await first.evaluate(`document.dispatchEvent(new Event('resume'))`)
    await until(
      async () => (await echo('frozen:4001', 'back', 300).catch(() => '')) === 'back',
      5000,
    )
    expect(await call(first, 'tab.isLeader()')).toBe(false)
  }, 60_000)

  it('take over when the leading tab does not answer, which then stands back', async () => {
    const [first, second] = [await open(), await open()]
    // On the page's thread, so that a busy page is a silent engine.
    await call(first, `tab.join('${url}', 'silent', { port: 4001, worker: false })`)
    await call(second, `tab.join('${url}', 'silent', { port: 4002 })`)
    const started = Date.now()
    const blocked = call(first, 'tab.block(4000)')
    await until(async () => (await echo('silent:4002', 'x', 300).catch(() => '')) === 'x', 5000)
    console.log(
      `served by another tab ${Date.now() - started} ms after the leading one fell silent`,
    )
    expect(Date.now() - started).toBeLessThan(LOADED_MS)
    await blocked
    await until(
      async () => (await echo('silent:4001', 'back', 300).catch(() => '')) === 'back',
      5000,
    )
    expect(await call(first, 'tab.isLeader()')).toBe(false)
    expect(await call(second, 'tab.isLeader()')).toBe(true)
  }, 60_000)

  it('a tab that asks for another node is refused, one that leaves things out is not', async () => {
    const [first, second] = [await open(), await open()]
    await call(first, `tab.join('${url}', 'options', { port: 4001 })`)
    await expect(call(second, `tab.join('${url}', 'another', { port: 4002 })`)).rejects.toThrow(
      /another hostname/,
    )
    const joined = await call<Joined>(second, `tab.join('${url}', '', { port: 4002 })`)
    expect(joined.hostname).toBe('options')
  }, 60_000)

  it('a page whose worker cannot be loaded is told what to do', async () => {
    const page = await open()
    await expect(
      call(page, `tab.join('${url}', '', { workerUrl: '/nothing-of-the-kind' })`),
    ).rejects.toThrow(/workerUrl.*Content-Security-Policy.*worker: false/)
    // And its node can be had after that.
    const joined = await call<Joined>(page, `tab.join('${url}', 'no-worker', { worker: false })`)
    expect(joined.isLeader).toBe(true)
    expect(await echo('no-worker:4000', 'on the page')).toBe('on the page')
  }, 60_000)

  it('a tab that is loaded again has its identity and address, and is back at once', async () => {
    const page = await open()
    const before = await call<Joined>(page, `tab.join('${url}', 'again')`)
    await page.reload()
    await page.waitForFunction('globalThis.tab !== undefined')
    const started = Date.now()
    const after = await call<Joined>(page, `tab.join('${url}', 'again')`)
    expect(after).toEqual(before)
    expect(Date.now() - started).toBeLessThan(LOADED_MS)
    expect(await echo('again:4000', 'hello')).toBe('hello')
  }, 60_000)
})
