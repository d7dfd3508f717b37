/**
 * The worker in a page. What has a home runs in a frame, which is a page of its own with the same storage: there the
 * end of a program is a reload, as when a user presses the key.
 */
import { createNode, PilotError } from '../../../runtimes/browser/index.ts'
import type { PilotNode } from '../../../runtimes/shared/api.ts'
import { type NodeOptions, type WorkerSettings, work } from '../worker.ts'

declare global {
  var createPilotNode: typeof createNode | undefined
}
declare const UDPSocket: new (options: object) => unknown

const frames = new Map<string, HTMLIFrameElement>()
const homes = new WeakMap<PilotNode, string>()
let unnamed = 0

async function main(): Promise<void> {
  const text = decodeURIComponent(location.hash.slice(1))
  const settings = JSON.parse(text) as WorkerSettings
  await work({
    runtime: settings.name,
    create: (options) => create(settings.name, options),
    end: reload,
    hasWebRtc: typeof RTCPeerConnection === 'function',
    settings: text,
  })
}

async function create(prefix: string, options: NodeOptions): Promise<PilotNode> {
  if (options.transport === 'udp') requireUdp()
  const { rendezvousUrl = '', identity, hostname, isPublic, synRateLimit } = options
  const settings = {
    rendezvous: rendezvousUrl,
    storageName: identity ?? `${prefix}-${unnamed++}`,
    workerUrl: '/worker.js',
    ...(hostname === undefined ? {} : { hostname }),
    ...(isPublic === undefined ? {} : { isPublic }),
    ...(synRateLimit === undefined ? {} : { synRateLimit }),
  }
  if (identity === undefined) return createNode(settings)
  const inFrame = (await frameOf(identity)).contentWindow as typeof globalThis | null
  const node = await inFrame?.createPilotNode?.(settings)
  if (node === undefined) throw new Error('the frame has no createNode')
  homes.set(node, identity)
  return node
}

/** @throws {PilotError} `ERR_UNSUPPORTED` with the browser's own words. */
function requireUdp(): void {
  try {
    new UDPSocket({ localAddress: '127.0.0.1' })
  } catch (error) {
    throw new PilotError('ERR_UNSUPPORTED', String(error))
  }
}

/** The node's page goes away as pages do: nothing is closed first. */
async function reload(node: PilotNode): Promise<void> {
  const frame = frames.get(homes.get(node) ?? '')
  if (frame === undefined) throw new Error('only a node with a home has a page of its own')
  const loaded = new Promise((resolve) => frame.addEventListener('load', resolve, { once: true }))
  frame.contentWindow?.location.reload()
  await loaded
}

async function frameOf(home: string): Promise<HTMLIFrameElement> {
  const known = frames.get(home)
  if (known !== undefined) return known
  const frame = document.createElement('iframe')
  const loaded = new Promise((resolve) => frame.addEventListener('load', resolve, { once: true }))
  frame.src = location.pathname
  document.body.append(frame)
  await loaded
  frames.set(home, frame)
  return frame
}

if (window === window.parent) {
  await main()
  document.title = 'ended'
} else globalThis.createPilotNode = createNode
