/** A rendezvous, a page that has the node, and a Chromium to open it in: what the browser tests start from. */
import type { Browser, BrowserContext, Page } from 'playwright-core'
import { createNode } from '../../runtimes/node/index.ts'
import type { PeerInfo, PilotNode } from '../../runtimes/shared/api.ts'
import { createRendezvous, type Rendezvous } from '../../signaling/index.ts'
import { launch, type PageServer, servePage } from './chromium.ts'

export type Joined = { nodeId: number; hostname: string; isLeader: boolean }
export type Echoed = { received: number; isEqual: boolean; ms: number }

export interface Site {
  readonly rendezvous: Rendezvous
  readonly pages: PageServer
  /** Of the rendezvous, for `tab.join`. */
  readonly url: string
  startNode(hostname: string, webRtc?: boolean): Promise<PilotNode>
  close(): Promise<void>
}

export async function startSite(): Promise<Site> {
  const rendezvous = await createRendezvous({
    registryAddress: '127.0.0.1:0',
    beaconAddress: '127.0.0.1:0',
    httpAddress: '127.0.0.1:0',
    limits: { registrationsPerMinute: 1000 },
  })
  const pages = await servePage()
  return {
    rendezvous,
    pages,
    url: `ws://127.0.0.1:${rendezvous.httpEndpoint?.port}`,
    startNode: async (hostname, webRtc = false) => {
      const node = await createNode({
        registry: `127.0.0.1:${rendezvous.registryEndpoint.port}`,
        beacon: `127.0.0.1:${rendezvous.beaconEndpoint.port}`,
        listen: '127.0.0.1:0',
        hostname,
        isPublic: true,
        webRtc,
      })
      node.listen(4000).onconnection = (connection) => {
        void connection.readable.pipeTo(connection.writable).catch(() => {})
      }
      return node
    },
    close: async () => {
      await pages.close()
      await rendezvous.close()
    },
  }
}

export interface ChromiumSite extends Site {
  readonly browser: Browser
}

export async function startChromiumSite(): Promise<ChromiumSite> {
  const site = await startSite()
  const browser = await launch()
  return {
    ...site,
    browser,
    close: async () => {
      await browser.close()
      await site.close()
    },
  }
}

/** Another page of the same origin, storage and all. */
export async function openPage(context: BrowserContext, url: string): Promise<Page> {
  const page = await context.newPage()
  page.on('pageerror', (error) => console.error('page:', error))
  await page.goto(url)
  await page.waitForFunction('globalThis.tab !== undefined')
  return page
}

/** A page of whichever browser. */
export interface AnyPage {
  evaluate(text: string): Promise<unknown>
}

/** Evaluates text in the page; what it throws comes with its message. */
export const call = <T>(page: AnyPage, text: string): Promise<T> =>
  page.evaluate(text) as Promise<T>

/** Milliseconds until it was true. */
export async function until(
  check: () => Promise<boolean> | boolean,
  ms: number,
  what = '',
): Promise<number> {
  const started = Date.now()
  while (!(await check())) {
    if (Date.now() - started > ms) throw new Error(`waited ${ms} ms in vain ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 25))
  }
  return Date.now() - started
}

/** What carries the page's first peer. */
export async function transportOf(page: AnyPage): Promise<string> {
  return (await call<PeerInfo[]>(page, 'tab.peers()'))[0]?.transport ?? ''
}
