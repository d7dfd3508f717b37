/**
 * A tab and nodes that know nothing of browsers: everything goes through the relay, which can read none of it.
 * `PILOT_REFERENCE_G1` and `PILOT_REFERENCE_G2` name folders with the reference's `daemon` and `pilotctl`.
 */
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Browser, Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createNode } from '../../runtimes/node/index.ts'
import type { PeerInfo } from '../../runtimes/shared/api.ts'
import { createRendezvous, type Rendezvous } from '../../signaling/index.ts'
import { LiveNode } from '../interop/live-node.ts'
import { GENERATIONS, referenceFolder, referencePrograms } from '../interop/programs.ts'
import { CHROMIUM, launch, openTab, type PageServer, servePage } from './chromium.ts'
import { type RecordingRelay, recordRelay } from './recording-relay.ts'

/** What the test page sends to an echo starts so, and its whole is long enough to be found anywhere. */
const MARK = Buffer.from('a text that only the two ends may read: 0123456789 abcdefghijklmnop')

const call = <T>(page: Page, text: string): Promise<T> => page.evaluate(text) as Promise<T>

function seen({ fromPages, toPages }: RecordingRelay): Buffer {
  return Buffer.concat([...fromPages, ...toPages])
}

describe.skipIf(!existsSync(CHROMIUM))('in Chromium, through the relay', () => {
  let browser: Browser
  let pages: PageServer
  let rendezvous: Rendezvous
  let relay: RecordingRelay

  beforeAll(async () => {
    rendezvous = await createRendezvous({
      registryAddress: '127.0.0.1:0',
      beaconAddress: '127.0.0.1:0',
      httpAddress: '127.0.0.1:0',
      limits: { registrationsPerMinute: 1000 },
    })
    relay = await recordRelay(`ws://127.0.0.1:${rendezvous.httpEndpoint?.port}`)
    pages = await servePage()
    browser = await launch()
  }, 60_000)

  afterAll(async () => {
    await browser?.close()
    await pages?.close()
    await relay?.close()
    await rendezvous?.close()
  })

  it('a tab and a node on UDP talk, and the relay sees no word of it', async () => {
    const node = await createNode({
      registry: `127.0.0.1:${rendezvous.registryEndpoint.port}`,
      beacon: `127.0.0.1:${rendezvous.beaconEndpoint.port}`,
      listen: '127.0.0.1:0',
      hostname: 'plain-daemon',
    })
    const arrived: Buffer[] = []
    node.listen(4000).onconnection = async (connection) => {
      for await (const chunk of connection.readable) arrived.push(Buffer.from(chunk))
      connection.close()
    }
    const page = await openTab(browser, pages.url)
    const { nodeId } = await call<{ nodeId: number }>(page, `tab.join('${relay.url}', 'read-not')`)
    await Promise.all([node.trust.request(nodeId), call(page, `tab.trust(${node.nodeId})`)])
    await call(page, `tab.say('plain-daemon', ${JSON.stringify(MARK.toString())})`)
    await expect.poll(() => Buffer.concat(arrived).equals(MARK), { timeout: 5000 }).toBe(true)
    const [peer] = await call<PeerInfo[]>(page, 'tab.peers()')
    expect(peer).toMatchObject({ path: 'relay', encrypted: true, authenticated: true })
    const frames = seen(relay)
    expect(frames.length).toBeGreaterThan(MARK.length)
    expect(frames.includes('PILS')).toBe(true) // sealed tunnel frames did pass
    expect(frames.includes('PILT')).toBe(false) // and none in the clear
    for (let at = 0; at + 8 <= MARK.length; at++)
      expect(frames.includes(MARK.subarray(at, at + 8))).toBe(false)
    await page.context().close()
    await node.close()
  }, 60_000)

  describe.each(GENERATIONS)('with a daemon of the reference, %s', (generation) => {
    const reference = referenceFolder(generation)
    const skipped = 'missing' in reference ? ` (skipped: ${reference.missing})` : ''

    it.skipIf(skipped !== '')(
      `they trust each other, talk both ways, and nothing is in the clear${skipped}`,
      async () => {
        if (!('folder' in reference)) return
        const home = mkdtempSync(join(tmpdir(), 'pilot-tab-'))
        const theirs = new LiveNode({
          name: 'theirs',
          hostname: `theirs-${generation.toLowerCase()}`,
          kind: generation,
          drivenBy: generation,
          ...referencePrograms(reference.folder),
          home,
          registry: `127.0.0.1:${rendezvous.registryEndpoint.port}`,
          beacon: `127.0.0.1:${rendezvous.beaconEndpoint.port}`,
          isPublic: true,
        })
        try {
          await theirs.start()
          const page = await openTab(browser, pages.url)
          const name = `tab-of-${generation.toLowerCase()}`
          const { nodeId } = await call<{ nodeId: number }>(
            page,
            `tab.join('${relay.url}', '${name}')`,
          )
          await call(page, 'tab.serveEcho(7)') // what their ping asks
          await theirs.ctl(['handshake', `${nodeId}`, 'hello'])
          await call(page, `tab.trust(${theirs.nodeId})`)
          await expect.poll(() => theirs.trusted(), { timeout: 20_000 }).toContain(nodeId)
          const echoed = await call(page, `tab.echo('${theirs.nodeId}', 1048576, 7)`)
          expect(echoed).toMatchObject({ received: 1 << 20, isEqual: true })
          const { results } = await theirs.ctl(['ping', name, '--count', '2', '--timeout', '25s'])
          expect(results.map((one: { error?: string }) => one.error)).toEqual([
            undefined,
            undefined,
          ])
          const [peer] = await call<PeerInfo[]>(page, 'tab.peers()')
          expect(peer).toMatchObject({ path: 'relay', encrypted: true, authenticated: true })
          // References send some frames in the clear before there are keys; a page does not, and takes none.
          expect(Buffer.concat(relay.fromPages).includes('PILT')).toBe(false)
          await page.context().close()
        } finally {
          await theirs.stop('SIGTERM')
          rmSync(home, { recursive: true })
        }
      },
      120_000,
    )
  })
})
