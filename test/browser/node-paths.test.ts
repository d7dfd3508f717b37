/** Direct paths between a tab in a real browser and nodes of Node: WebRTC by either implementation, and WebSocket. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { createServer } from 'node:https'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Browser, chromium, type Page } from 'playwright-core'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import type { WebSocket } from 'ws'
import { type CreateNodeOptions, createNode } from '../../runtimes/node/index.ts'
import { PathListener } from '../../runtimes/node/path-listener.ts'
import { webRtcProcess } from '../../runtimes/node/web-rtc.ts'
import type { PeerInfo } from '../../runtimes/shared/api.ts'
import type { PilotNodeOptions, SharedPilotNode } from '../../runtimes/shared/pilot-node.ts'
import { createRendezvous, type Rendezvous } from '../../signaling/index.ts'
import { selfSignedCertificate } from '../../signaling/serve-certificate.ts'
import { closeAll, echo, relayedNode } from '../runtimes/shared/relayed-nodes.ts'
import { CHROMIUM, launch, openTab, type PageServer, servePage } from './chromium.ts'

type Joined = { nodeId: number; hostname: string }
type Echoed = { received: number; isEqual: boolean; ms: number }

const MIB = 1 << 20

const call = <T>(page: Page, text: string): Promise<T> => page.evaluate(text) as Promise<T>

async function until(check: () => Promise<boolean>, ms: number): Promise<number> {
  const started = Date.now()
  while (!(await check())) {
    if (Date.now() - started > ms) throw new Error(`waited ${ms} ms in vain`)
    await new Promise((resolve) => setTimeout(resolve, 25))
  }
  return Date.now() - started
}

describe.skipIf(!existsSync(CHROMIUM))('a tab in Chromium and a node in Node', () => {
  let browser: Browser
  let pages: PageServer
  let rendezvous: Rendezvous
  let url: string
  const atEnd: (() => Promise<unknown>)[] = []

  beforeAll(async () => {
    rendezvous = await createRendezvous({
      registryAddress: '127.0.0.1:0',
      beaconAddress: '127.0.0.1:0',
      httpAddress: '127.0.0.1:0',
      limits: { registrationsPerMinute: 1000 },
    })
    url = `ws://127.0.0.1:${rendezvous.httpEndpoint?.port}`
    pages = await servePage()
    browser = await launch()
  }, 60_000)

  afterEach(async () => {
    for (const close of atEnd.splice(0).reverse()) await close()
    await closeAll()
  })

  afterAll(async () => {
    await browser?.close()
    await pages?.close()
    await rendezvous?.close()
  })

  async function start(hostname: string, options: CreateNodeOptions): Promise<SharedPilotNode> {
    const node = await createNode({
      registry: `127.0.0.1:${rendezvous.registryEndpoint.port}`,
      beacon: `127.0.0.1:${rendezvous.beaconEndpoint.port}`,
      listen: '127.0.0.1:0',
      hostname,
      isPublic: true,
      ...options,
    })
    atEnd.push(() => node.close())
    node.listen(4000).onconnection = (connection) => {
      void connection.readable.pipeTo(connection.writable).catch(() => {})
    }
    return node
  }

  /** A node that is only relayed, and whose WebSockets the test can cut. */
  async function startWithDoor(
    hostname: string,
    listen: string,
    options: Partial<PilotNodeOptions> = {},
    tls?: { readonly cert: string; readonly key: string },
  ): Promise<{ node: SharedPilotNode; door: PathListener; cut: () => void }> {
    const door = await PathListener.listen({ listen, ...(tls === undefined ? {} : { tls }) })
    const sockets: WebSocket[] = []
    const watched = {
      urls: door.urls,
      get onsocket() {
        return door.onsocket
      },
      set onsocket(handler) {
        door.onsocket =
          handler === undefined
            ? undefined
            : (socket) => {
                sockets.push(socket as unknown as WebSocket)
                handler(socket)
              }
      },
    }
    const parts = [door, ...(options.parts ?? [])]
    const node = await relayedNode(rendezvous, hostname, { ...options, door: watched, parts })
    echo(node)
    return { node, door, cut: () => sockets.forEach((socket) => void socket.terminate()) }
  }

  async function tab(
    hostname: string,
    which: Browser = browser,
    address: string = pages.url,
  ): Promise<{ page: Page; nodeId: number }> {
    const page = await openTab(which, address)
    atEnd.push(() => page.context().close())
    const { nodeId } = await call<Joined>(page, `tab.join('${url}', '${hostname}')`)
    return { page, nodeId }
  }

  async function transports(node: SharedPilotNode, page: Page): Promise<string> {
    const theirs = (await call<PeerInfo[]>(page, 'tab.peers()'))[0]?.transport
    return `${node.peers()[0]?.transport} ${theirs}`
  }

  /** Both trust each other; ms until both say that this is the way. */
  async function meet(
    node: SharedPilotNode,
    { page, nodeId }: { page: Page; nodeId: number },
    transport: string,
  ): Promise<number> {
    await Promise.all([node.trust.request(nodeId), call(page, `tab.trust(${node.nodeId})`)])
    return until(async () => (await transports(node, page)) === `${transport} ${transport}`, 15_000)
  }

  for (const backend of ['native', 'werift'] as const)
    it(`have a WebRTC path by ${backend} within three seconds, which carries streams`, async () => {
      const node = await start(`rtc-${backend}`, { webRtc: backend })
      const visitor = await tab(`tab-${backend}`)
      const took = await meet(node, visitor, 'webrtc')
      const echoed = await call<Echoed>(visitor.page, `tab.echo('rtc-${backend}', ${4 * MIB})`)
      expect(echoed).toMatchObject({ received: 4 * MIB, isEqual: true })
      console.log(
        `${backend}: path ${took} ms after trust, 4 MiB echoed in ${echoed.ms.toFixed(0)} ms`,
      )
    }, 60_000)

  for (const backend of ['native', 'werift'] as const)
    it(`have one by ${backend} though the browser hides its address behind a name`, async () => {
      const args = ['--no-sandbox', '--disable-gpu', '--disable-background-networking']
      const shy = await chromium.launch({ executablePath: CHROMIUM, args })
      atEnd.push(() => shy.close())
      const node = await start(`shy-${backend}`, { webRtc: backend })
      const visitor = await tab(`tab-shy-${backend}`, shy)
      await meet(node, visitor, 'webrtc')
      const echoed = await call<Echoed>(visitor.page, `tab.echo('shy-${backend}', ${MIB})`)
      expect(echoed).toMatchObject({ received: MIB, isEqual: true })
    }, 60_000)

  it('have a WebSocket at once; cut in the middle of a transfer it loses no byte, and comes back', async () => {
    const { node, cut } = await startWithDoor('ws', ':0')
    const visitor = await tab('tab-ws')
    const took = await meet(node, visitor, 'websocket')
    const { page } = visitor
    const echoed = await call<Echoed>(page, `tab.echo('ws', ${16 * MIB})`)
    expect(echoed).toMatchObject({ received: 16 * MIB, isEqual: true })
    console.log(
      `WebSocket: path ${took} ms after trust, 16 MiB echoed in ${echoed.ms.toFixed(0)} ms`,
    )
    const transfer = call<Echoed>(page, `tab.echo('ws', ${16 * MIB})`)
    await new Promise((resolve) => setTimeout(resolve, 100))
    let wasRelayed = false
    node.on((event) => {
      if (event.type === 'path-changed' && event.path === 'relay') wasRelayed = true
    })
    cut()
    await until(async () => wasRelayed, 15_000)
    expect(await transfer).toMatchObject({ received: 16 * MIB, isEqual: true })
    await until(async () => (await transports(node, page)) === 'websocket websocket', 10_000)
  }, 60_000)

  it('with both, use the WebSocket, and WebRTC when that is gone', async () => {
    const rtc = webRtcProcess('native')!
    const options = { createPeerConnection: () => rtc.create(), parts: [rtc] }
    const { node, cut, door } = await startWithDoor('both', '127.0.0.1:0', options)
    const visitor = await tab('tab-both')
    await meet(node, visitor, 'websocket')
    const { page } = visitor
    await new Promise((resolve) => setTimeout(resolve, 1500)) // for WebRTC behind it
    const transfer = call<Echoed>(page, `tab.echo('both', ${16 * MIB})`)
    await new Promise((resolve) => setTimeout(resolve, 100))
    cut()
    await door.close()
    await until(async () => (await transports(node, page)) === 'webrtc webrtc', 5000)
    expect(await transfer).toMatchObject({ received: 16 * MIB, isEqual: true })
    const why = async (): Promise<string> =>
      (await call<PeerInfo[]>(page, 'tab.peers()'))[0]?.directReason ?? ''
    await until(async () => (await why()).startsWith('WebSocket: ws://127.0.0.1:'), 5000)
  }, 60_000)

  it('meet by WebSocket, in the clear on this machine and by TLS, though the page is from https', async () => {
    const tls = selfSignedCertificate(Date.now())
    const secure = await serveSecurely(pages.url, tls)
    atEnd.push(() => secure.close())
    const args = ['--no-sandbox', '--disable-gpu', '--disable-background-networking']
    const trusting = await chromium.launch({
      executablePath: CHROMIUM,
      args: [...args, '--ignore-certificate-errors'],
    })
    atEnd.push(() => trusting.close())
    // Every address of this machine is told; but for 127.0.0.1 none may be opened from there.
    const { node: plain } = await startWithDoor('from-https', ':0')
    const { node: encrypted } = await startWithDoor('from-https-tls', ':0', {}, tls)
    expect(plain.webSocketUrls.some((one) => one.startsWith('ws://10.77.'))).toBe(true)
    expect(encrypted.webSocketUrls.every((one) => one.startsWith('wss://'))).toBe(true)
    for (const node of [plain, encrypted]) {
      const visitor = await tab(`tab-https-${node.nodeId}`, trusting, secure.url)
      await meet(node, visitor, 'websocket')
    }
  }, 60_000)

  it('restart ICE on the connection that they have when it failed', async () => {
    const [a, b] = await Promise.all([tab('tab-ice-a'), tab('tab-ice-b')])
    const pages = [a.page, b.page]
    for (const page of pages) await call(page, WATCH_CONNECTIONS)
    await Promise.all([
      call(a.page, `tab.trust(${b.nodeId})`),
      call(b.page, `tab.trust(${a.nodeId})`),
    ])
    const areDirect = async (): Promise<boolean> => {
      const all = await Promise.all(pages.map((page) => call<PeerInfo[]>(page, 'tab.peers()')))
      return all.every(([peer]) => peer?.transport === 'webrtc')
    }
    await until(areDirect, 5000)
    const state = (): Promise<string[]> =>
      Promise.all(pages.map((page) => call<string>(page, 'connectionNow()')))
    const before = await state()
    await Promise.all(pages.map((page) => call(page, 'failNow()')))
    await until(async () => (await state()).every((one, i) => one !== before[i]), 5000)
    // Past the ten seconds after which it would have been given up.
    await new Promise((resolve) => setTimeout(resolve, 11_000))
    expect(await areDirect()).toBe(true)
    for (const page of pages) expect(await call<number>(page, 'connectionsLive()')).toBe(1)
    const echoed = await call<Echoed>(a.page, `tab.echo('tab-ice-b', ${MIB})`)
    expect(echoed).toMatchObject({ received: MIB, isEqual: true })
  }, 60_000)

  it('meet where the node is a daemon that was told so by flags', async () => {
    const home = mkdtempSync(join(tmpdir(), 'pilot-paths-'))
    atEnd.push(async () => rmSync(home, { recursive: true, force: true }))
    const { daemon, nodeId } = await startDaemon(home, [
      '-registry',
      `127.0.0.1:${rendezvous.registryEndpoint.port}`,
      '-beacon',
      `127.0.0.1:${rendezvous.beaconEndpoint.port}`,
      '-hostname=flagged',
      '-public',
      '-trust-auto-approve',
      '-ws-listen=127.0.0.1:0',
    ])
    atEnd.push(() => stop(daemon))
    const { page } = await tab('tab-daemon')
    await call(page, `tab.trust(${nodeId})`)
    const took = await until(
      async () => (await call<PeerInfo[]>(page, 'tab.peers()'))[0]?.transport === 'websocket',
      3000,
    )
    console.log(`daemon: path ${took} ms after trust`)
  }, 60_000)
})

/** The pages of another server, under https. */
async function serveSecurely(
  from: string,
  tls: { readonly cert: string; readonly key: string },
): Promise<PageServer> {
  const server = createServer(tls, (request, response) => {
    void fetch(new URL(request.url ?? '/', from)).then(async (page) => {
      response.setHeader('content-type', page.headers.get('content-type') ?? '')
      response.end(Buffer.from(await page.arrayBuffer()))
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as { port: number }
  const close = async (): Promise<void> => {
    server.closeAllConnections()
    await new Promise<void>((resolve) => server.close(() => resolve()))
  }
  return { url: `https://127.0.0.1:${port}/`, close }
}

/** Remembers the connections of a page, and lets a test tell them that ICE has failed. */
const WATCH_CONNECTIONS = `(() => {
  const all = []
  const Real = RTCPeerConnection
  globalThis.RTCPeerConnection = function (...options) {
    const connection = new Real(...options)
    all.push(connection)
    return connection
  }
  const live = () => all.filter(({ connectionState }) => connectionState === 'connected')
  const ufrag = ({ localDescription }) => /a=ice-ufrag:(\\S+)/.exec(localDescription.sdp)[1]
  Object.assign(globalThis, {
    connectionsLive: () => live().length,
    connectionNow: () => live().map(ufrag).join(),
    failNow: () => {
      for (const connection of live()) {
        Object.defineProperty(connection, 'connectionState', { get: () => 'failed', configurable: true })
        connection.onconnectionstatechange()
        delete connection.connectionState
        // What it would say when ICE has found its way again.
        setTimeout(() => connection.onconnectionstatechange(), 1000)
      }
    },
  })
})()`

async function startDaemon(
  home: string,
  flags: readonly string[],
): Promise<{ daemon: ChildProcess; nodeId: number }> {
  const program = new URL('../../runtimes/node/bin/pilot-daemon.ts', import.meta.url).pathname
  const own = ['-socket', join(home, 'pilot.sock'), '-identity', join(home, 'identity.json')]
  const daemon = spawn(process.execPath, [program, ...own, ...flags], {
    env: { ...process.env, HOME: home },
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  let log = ''
  const nodeId = await new Promise<number>((resolve, reject) => {
    daemon.stderr?.on('data', (chunk) => {
      log += chunk
      const match = /daemon running.*node_id=(\d+)/.exec(log)
      if (match !== null) resolve(Number(match[1]))
    })
    daemon.on('exit', () => reject(new Error(log)))
  })
  return { daemon, nodeId }
}

async function stop(daemon: ChildProcess): Promise<void> {
  daemon.removeAllListeners('exit')
  if (daemon.exitCode !== null) return
  daemon.kill('SIGTERM')
  await once(daemon, 'exit')
}
