/** What becomes of a page's traffic when its path, its network or its foreground goes. */
import { existsSync } from 'node:fs'
import type { Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { PilotNode } from '../../runtimes/shared/api.ts'
import { CHROMIUM, LOADED_MS, openTab } from './chromium.ts'
import { type Gate, openGate } from './gate.ts'
import {
  type ChromiumSite,
  call,
  type Echoed,
  type Joined,
  openPage,
  startChromiumSite,
  transportOf,
  until,
} from './setup.ts'

type Received = { bytes: number; hash: string }

describe.skipIf(!existsSync(CHROMIUM))('paths of a page', () => {
  let site: ChromiumSite
  let url: string

  beforeAll(async () => {
    site = await startChromiumSite()
    url = site.url
  }, 60_000)

  afterAll(() => site?.close())

  async function trustEachOther(a: Page, b: Page, names: [string, string]): Promise<void> {
    const [idA, idB] = await Promise.all([
      call<Joined>(a, `tab.join('${url}', '${names[0]}')`),
      call<Joined>(b, `tab.join('${url}', '${names[1]}')`),
    ])
    await Promise.all([call(a, `tab.trust(${idB.nodeId})`), call(b, `tab.trust(${idA.nodeId})`)])
  }

  const echo = async (node: PilotNode, target: string, timeoutMs: number): Promise<boolean> => {
    try {
      const connection = await node.dial(target, { timeoutMs })
      connection.reset()
      return true
    } catch {
      return false
    }
  }

  it('are direct after the first message that follows trust', async () => {
    const [a, b] = await Promise.all([
      openTab(site.browser, site.pages.url),
      openTab(site.browser, site.pages.url),
    ])
    await trustEachOther(a, b, ['near-a', 'near-b'])
    await call(a, `tab.ping('near-b')`)
    const took = await until(async () => (await transportOf(a)) === 'webrtc', 15_000)
    console.log(`direct ${took} ms after the first message`)
    // The page only has the connection: frames go from worker to worker.
    expect(await call(a, 'tab.channelsOnPage()')).toBe(0)
    await Promise.all([a.context().close(), b.context().close()])
  }, 60_000)

  it('pass through the page where the browser does not let workers have data channels', async () => {
    const [a, b] = await Promise.all([
      openTab(site.browser, site.pages.url),
      openTab(site.browser, site.pages.url),
    ])
    await call(a, 'tab.keepChannels()')
    await trustEachOther(a, b, ['keeper', 'giver'])
    await until(async () => (await transportOf(a)) === 'webrtc', 15_000)
    expect(await call(a, 'tab.channelsOnPage()')).toBeGreaterThan(0)
    const echoed = await call<Echoed>(a, `tab.echo('giver', ${4 << 20})`)
    expect(echoed).toMatchObject({ received: 4 << 20, isEqual: true })
    console.log(`4 MiB there and back, through the page: ${echoed.ms.toFixed(0)} ms`)
    await Promise.all([a.context().close(), b.context().close()])
  }, 60_000)

  it('lose no byte when the data channel dies in the middle of 32 MiB', async () => {
    const [a, b] = await Promise.all([
      openTab(site.browser, site.pages.url),
      openTab(site.browser, site.pages.url),
    ])
    await trustEachOther(a, b, ['sender', 'sink'])
    await call(b, 'tab.serveSink(5000)')
    await until(async () => (await transportOf(a)) === 'webrtc', 15_000)
    const bytes = 32 << 20
    const started = Date.now()
    const sent = call<string>(a, `tab.send('sink:5000', ${bytes})`)
    await until(async () => (await call<number>(b, 'tab.progress')) > bytes / 4, 30_000)
    expect(await call<number>(a, 'tab.breakConnections()')).toBeGreaterThan(0)
    await call(b, 'tab.longestSilence()')
    const atBreak = await call<number>(b, 'tab.progress')
    const transports = new Set<string>()
    const watch = setInterval(() => void transportOf(a).then((one) => transports.add(one)), 50)
    await new Promise((resolve) => setTimeout(resolve, 2500))
    const afterBreakMs = await call<number>(b, 'tab.longestSilence()')
    const hash = await sent
    const laterMs = await call<number>(b, 'tab.longestSilence()')
    clearInterval(watch)
    await until(async () => (await call<Received[]>(b, 'tab.received()')).length === 1, 5000)
    const [received] = await call<Received[]>(b, 'tab.received()')
    console.log(
      `32 MiB in ${Date.now() - started} ms, channel taken away after ${atBreak >> 20} MiB; longest time without a byte then ${afterBreakMs.toFixed(0)} ms, later ${laterMs.toFixed(0)} ms; on ${[...transports].join(', ')}`,
    )
    expect(received?.bytes).toBe(bytes)
    expect(received?.hash).toBe(hash)
    expect(Math.max(afterBreakMs, laterMs)).toBeLessThan(LOADED_MS)
    expect(transports).toContain('relay')
    await call(a, `tab.ping('sink')`)
    const again = await until(async () => (await transportOf(a)) === 'webrtc', 20_000)
    console.log(`direct again ${again} ms after the transfer`)
    await Promise.all([a.context().close(), b.context().close()])
  }, 120_000)

  it('carry on for a tab behind another one', async () => {
    const daemon = await site.startNode('watcher')
    const context = await site.browser.newContext()
    const hidden = await openPage(context, site.pages.url)
    await call(hidden, `tab.join('${url}', 'hidden')`)
    const front = await context.newPage()
    await front.goto('about:blank')
    await front.bringToFront()
    const session = await context.newCDPSession(hidden)
    // As far as it can be had without a window: a page without focus whose thread gets a tenth of the time.
    await session.send('Emulation.setFocusEmulationEnabled', { enabled: false })
    await session.send('Emulation.setCPUThrottlingRate', { rate: 10 })
    await daemon.ping('hidden')
    for (let i = 0; i < 20; i++) {
      await daemon.ping('hidden', { timeoutMs: LOADED_MS })
      await new Promise((resolve) => setTimeout(resolve, 100))
    }
    // A page that does not run at all for a while: its engine does.
    let isBlocked = true
    const blocked = call(hidden, 'tab.block(5000)').then(() => {
      isBlocked = false
    })
    await new Promise((resolve) => setTimeout(resolve, 200))
    await daemon.ping('hidden', { timeoutMs: LOADED_MS })
    expect(isBlocked).toBe(true)
    await blocked
    await context.close()
    await daemon.close()
  }, 60_000)

  it('come back with the network', async () => {
    const { page, daemon, gate, close } = await joinThroughGate('traveller')
    const context = page.context()
    await context.setOffline(true)
    gate.silence()
    await new Promise((resolve) => setTimeout(resolve, 1000))
    expect(await echo(daemon, 'traveller:4000', 500)).toBe(false)
    const started = Date.now()
    await context.setOffline(false)
    await until(() => echo(daemon, 'traveller:4000', 250), 5000)
    console.log(`reachable ${Date.now() - started} ms after the network came back`)
    expect(Date.now() - started).toBeLessThan(LOADED_MS)
    await close()
  }, 60_000)

  it('come back after sleep', async () => {
    const { page, daemon, gate, close } = await joinThroughGate('sleeper')
    gate.silence()
    expect(await echo(daemon, 'sleeper:4000', 500)).toBe(false)
    await until(() => page.workers().length > 0, 5000)
    const started = Date.now()
    // What the engine sees of a sleep: its wall clock has jumped.
    await page.workers()[0]!.evaluate(`(() => {
      const real = Date.now
      Date.now = () => real() + 600_000
    })()`)
    await until(() => echo(daemon, 'sleeper:4000', 250), 5000)
    console.log(`reachable ${Date.now() - started} ms after the clock jumped`)
    expect(Date.now() - started).toBeLessThan(LOADED_MS)
    await close()
  }, 60_000)

  it('come back when somebody looks at the page again', async () => {
    const { page, daemon, gate, close } = await joinThroughGate('shown')
    gate.silence()
    expect(await echo(daemon, 'shown:4000', 500)).toBe(false)
    const started = Date.now()
    await page.evaluate(`document.dispatchEvent(new Event('visibilitychange'))`)
    await until(() => echo(daemon, 'shown:4000', 250), 5000)
    console.log(`reachable ${Date.now() - started} ms after the page was shown`)
    expect(Date.now() - started).toBeLessThan(LOADED_MS)
    await close()
  }, 60_000)

  async function joinThroughGate(hostname: string): Promise<{
    page: Page
    daemon: PilotNode
    gate: Gate
    close(): Promise<void>
  }> {
    const gate = await openGate(site.rendezvous.httpEndpoint!.port)
    const daemon = await site.startNode(`${hostname}-friend`)
    const page = await openTab(site.browser, site.pages.url)
    // The relay only, so that nothing else carries on meanwhile.
    const options = '{ directPaths: false }'
    await call(page, `tab.join('ws://127.0.0.1:${gate.port}', '${hostname}', ${options})`)
    expect(await echo(daemon, `${hostname}:4000`, 5000)).toBe(true)
    const close = async (): Promise<void> => {
      await page.context().close()
      await daemon.close()
      await gate.close()
    }
    return { page, daemon, gate, close }
  }
})
