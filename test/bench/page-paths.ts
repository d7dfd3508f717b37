/**
 * `npm run bench:paths`: bulk throughput of pages in a real Chromium, ours beside a bare data channel (ordered and
 * reliable, as PeerJS and simple-peer use it, and as our paths use it) and a bare WebSocket, in the same run, each
 * end in a process of its own. No figure is asserted.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { createInterface, type Interface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import type { Browser, Page } from 'playwright-core'
import { createRendezvous, type Rendezvous } from '../../signaling/index.ts'
import { launch, openTab, type PageServer, servePage } from '../browser/chromium.ts'

type ChannelKind = 'reliable' | 'datagram'

const RUNS = Number(process.env.BENCH_RUNS ?? 3)
const BYTES = Number(process.env.BENCH_MB ?? 64) << 20
/** Sent before what is measured: code is compiled, windows are open. */
const WARM_UP_BYTES = BYTES / 4
const peerProgram = fileURLToPath(new URL('page-peer.ts', import.meta.url))

class Peer {
  readonly #child: ChildProcess
  readonly #lines: AsyncIterator<string>
  readonly #reader: Interface

  constructor(role: string, setup: object) {
    this.#child = spawn(process.execPath, [peerProgram, role, JSON.stringify(setup)], {
      stdio: ['pipe', 'pipe', 'inherit'],
    })
    this.#reader = createInterface({ input: this.#child.stdout! })
    this.#lines = this.#reader[Symbol.asyncIterator]()
  }

  async next<T>(): Promise<T> {
    const { value, done } = await this.#lines.next()
    if (done === true) throw new Error('the peer process ended')
    return JSON.parse(value as string) as T
  }

  ask<T>(message: object): Promise<T> {
    this.#child.stdin?.write(`${JSON.stringify(message)}\n`)
    return this.next<T>()
  }

  close(): void {
    this.#reader.close()
    this.#child.kill()
  }
}

const call = <T>(page: Page, text: string): Promise<T> => page.evaluate(text) as Promise<T>

/** MB/s that arrived, from the first message sent until all has left and nothing more comes. */
async function bareRate(
  from: Page,
  received: () => Promise<number>,
  bytes: number = BYTES,
): Promise<number> {
  const base = await received()
  const started = performance.now()
  await call(from, `bench.sendOnChannel(${bytes})`)
  let [before, now] = [-1, (await received()) - base]
  let at = performance.now()
  while (now !== before && now < bytes) {
    await new Promise((resolve) => setTimeout(resolve, 5))
    before = now
    now = (await received()) - base
    if (now !== before) at = performance.now()
  }
  return now / 1000 / (at - started)
}

async function bareTabs(browser: Browser, url: string, kind: ChannelKind): Promise<number> {
  const [a, b] = [await openTab(browser, url), await openTab(browser, url)]
  const offer = await call<string>(a, `bench.offer('${kind}')`)
  const answer = await call<string>(b, `bench.answer('${kind}', ${JSON.stringify(offer)})`)
  await call(a, `bench.accept(${JSON.stringify(answer)})`)
  await call(a, 'bench.opened()')
  const received = (): Promise<number> => call<number>(b, 'bench.received()')
  await bareRate(a, received, WARM_UP_BYTES)
  const rate = await bareRate(a, received)
  for (const page of [a, b]) await page.context().close()
  return rate
}

async function bareNode(browser: Browser, url: string, kind: ChannelKind): Promise<number> {
  const page = await openTab(browser, url)
  const peer = new Peer('channel', { kind })
  const offer = await call<string>(page, `bench.offer('${kind}')`)
  const { sdp } = await peer.ask<{ sdp: string }>({ sdp: offer })
  await call(page, `bench.accept(${JSON.stringify(sdp)})`)
  await call(page, 'bench.opened()')
  const received = async () => (await peer.ask<{ received: number }>({})).received
  await bareRate(page, received, WARM_UP_BYTES)
  const rate = await bareRate(page, received)
  await page.context().close()
  peer.close()
  return rate
}

async function bareWebSocket(browser: Browser, url: string): Promise<number> {
  const page = await openTab(browser, url)
  const peer = new Peer('websocket', {})
  const { port } = await peer.next<{ port: number }>()
  const send = (bytes: number): Promise<number> =>
    call<number>(page, `bench.webSocket('ws://127.0.0.1:${port}?bytes=${bytes}', ${bytes})`)
  await send(WARM_UP_BYTES)
  const rate = await send(BYTES)
  await page.context().close()
  peer.close()
  return rate
}

async function untilTransport(page: Page, wanted: string): Promise<void> {
  const deadline = Date.now() + 30_000
  let transport = ''
  while (transport !== wanted) {
    if (Date.now() > deadline) throw new Error(`the path is ${transport}, not ${wanted}`)
    await new Promise((resolve) => setTimeout(resolve, 50))
    transport = await call<string>(page, 'bench.transport()')
  }
}

interface Scene {
  readonly browser: Browser
  readonly pages: PageServer
  readonly rendezvous: Rendezvous
}

let names = 0

async function ourTabs({ browser, pages, rendezvous }: Scene): Promise<number> {
  const url = `ws://127.0.0.1:${rendezvous.httpEndpoint?.port}`
  const [a, b] = [await openTab(browser, pages.url), await openTab(browser, pages.url)]
  const [nameA, nameB] = [`bench-${++names}`, `bench-${++names}`]
  const idA = await call<number>(a, `bench.join('${url}', '${nameA}')`)
  const idB = await call<number>(b, `bench.join('${url}', '${nameB}')`)
  await Promise.all([call(a, `bench.trust(${idB})`), call(b, `bench.trust(${idA})`)])
  await untilTransport(a, 'webrtc')
  await untilTransport(b, 'webrtc')
  await call<number>(a, `bench.send('${nameB}', ${WARM_UP_BYTES})`)
  const rate = await call<number>(a, `bench.send('${nameB}', ${BYTES})`)
  for (const page of [a, b]) await page.context().close()
  return rate
}

async function ourNode(scene: Scene, transport: string, paths: object): Promise<number> {
  const { browser, pages, rendezvous } = scene
  const url = `ws://127.0.0.1:${rendezvous.httpEndpoint?.port}`
  const hostname = `bench-${++names}`
  const peer = new Peer('node', {
    registry: `127.0.0.1:${rendezvous.registryEndpoint.port}`,
    beacon: `127.0.0.1:${rendezvous.beaconEndpoint.port}`,
    hostname,
    paths: JSON.stringify(paths),
  })
  const { nodeId } = await peer.next<{ nodeId: number }>()
  const page = await openTab(browser, pages.url)
  await call(page, `bench.join('${url}', 'bench-${++names}')`)
  await call(page, `bench.trust(${nodeId})`)
  await call(page, `bench.ping('${hostname}')`)
  await untilTransport(page, transport)
  await call<number>(page, `bench.send('${hostname}', ${WARM_UP_BYTES})`)
  const rate = await call<number>(page, `bench.send('${hostname}', ${BYTES})`)
  await page.context().close()
  peer.close()
  return rate
}

const rendezvous = await createRendezvous({
  registryAddress: '127.0.0.1:0',
  beaconAddress: '127.0.0.1:0',
  httpAddress: '127.0.0.1:0',
  limits: { registrationsPerMinute: 1000 },
})
const pages = await servePage(new URL('page/paths-page.ts', import.meta.url))
const browser = await launch()
const scene = { browser, pages, rendezvous }
const measurements: readonly (readonly [string, string | undefined, () => Promise<number>])[] = [
  ['tab-tab, bare channel, reliable', undefined, () => bareTabs(browser, pages.url, 'reliable')],
  ['tab-tab, bare channel, datagram', undefined, () => bareTabs(browser, pages.url, 'datagram')],
  ['tab-tab, ours', 'tab-tab, bare channel, reliable', () => ourTabs(scene)],
  ['tab-node, bare channel, reliable', undefined, () => bareNode(browser, pages.url, 'reliable')],
  ['tab-node, bare channel, datagram', undefined, () => bareNode(browser, pages.url, 'datagram')],
  [
    'tab-node, ours over WebRTC',
    'tab-node, bare channel, reliable',
    () => ourNode(scene, 'webrtc', { webRtc: 'native' }),
  ],
  ['tab-node, bare WebSocket', undefined, () => bareWebSocket(browser, pages.url)],
  [
    'tab-node, ours over WebSocket',
    'tab-node, bare WebSocket',
    () => ourNode(scene, 'websocket', { webSocket: { listen: '127.0.0.1:0' } }),
  ],
]
const only = process.env.BENCH_ONLY
const rates = new Map<string, number[]>()
try {
  for (let run = 0; run < RUNS; run++)
    for (const [name, , measure] of measurements) {
      if (only !== undefined && !name.includes(only)) continue
      const rate = await measure()
      rates.set(name, [...(rates.get(name) ?? []), rate])
      console.log(`${name}: ${rate.toFixed(1)} MB/s`)
    }
} finally {
  await browser.close()
  await pages.close()
  await rendezvous.close()
}

const median = (values: readonly number[]): number =>
  [...values].sort((a, b) => a - b)[values.length >> 1] ?? Number.NaN
console.log(`Chromium ${browser.version()}, ${BYTES >> 20} MiB one way, median of ${RUNS}`)
console.table(
  measurements.map(([name, base]) => {
    const rate = median(rates.get(name) ?? [])
    const share = base === undefined ? '' : (rate / median(rates.get(base) ?? [])).toFixed(2)
    return { what: name, 'MB/s': rate.toFixed(1), 'of the bare one': share }
  }),
)
