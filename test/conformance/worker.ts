/**
 * One runtime's process or page: runs the suite, or stands as a peer of the matrix. It is told what to do, and tells
 * what came of it, by HTTP: `fetch` is what all runtimes have.
 */
import type { PeerInfo, PilotConnection, PilotNode } from '../../runtimes/shared/api.ts'
import { AsyncStream } from '../../runtimes/shared/services/async-stream.ts'
import { type ConformanceKit, type NodeWish, runSuite, type ScenarioResult } from './suite.ts'
import { bytesFrom, codeOfError, equal, generated, hashOf, sleep, within } from './tools.ts'

/** What `createNode` of every runtime takes that has UDP and files. */
export interface NodeOptions extends Omit<NodeWish, 'home'> {
  readonly transport: 'udp' | 'compat'
  readonly registry?: string
  readonly beacon?: string
  readonly listen?: string
  readonly rendezvousUrl?: string
  readonly identity?: string
  /** Only peers of the matrix ask for it. */
  readonly webRtc?: boolean
}

export interface WorkerParts {
  readonly runtime: string
  /** `identity` is the name of a place where it is kept. @throws `ERR_UNSUPPORTED` for another's transport. */
  create(options: NodeOptions): Promise<PilotNode>
  /** How a node goes when its program does, where that is no `close`. */
  end?(node: PilotNode): Promise<void>
  /** Trusted peers can be reached by WebRTC. */
  readonly hasWebRtc: boolean
  /** {@link WorkerSettings} as JSON. */
  readonly settings: string | undefined
}

export interface WorkerSettings {
  readonly mode: 'suite' | 'peer'
  readonly transport: 'udp' | 'compat'
  /** Names this worker toward the runner. */
  readonly name: string
  /** `http://host:port` of the runner. */
  readonly control: string
  readonly registry: string
  readonly beacon: string
  readonly rendezvousUrl: string
  /** A directory of its own. */
  readonly home: string
}

export type WorkerReport =
  | { readonly type: 'suite'; readonly results: readonly ScenarioResult[] }
  | { readonly type: 'ready'; readonly nodeId: number; readonly hasWebRtc: boolean }
  | { readonly type: 'trusting' }
  | { readonly type: 'transfer'; readonly outcome: TransferOutcome }
  | { readonly type: 'failed'; readonly reason: string }
  /** The runtime has not what is asked for; its own words. */
  | { readonly type: 'cannot'; readonly reason: string }

export interface TransferOutcome {
  /** `''` when every byte came back. */
  readonly failure: string
  /** What carried it. */
  readonly path: string
  readonly megabytesPerSecond: number
}

export type WorkerCommand =
  | { readonly type: 'trust'; readonly nodeIds: readonly number[] }
  /** Once `path` carries it; by whatever does without one. */
  | { readonly type: 'dial'; readonly nodeId: number; readonly path?: PeerInfo['transport'] }
  | { readonly type: 'end' }

const TRANSFER_BYTES = 8 << 20
const TRANSFER_MS = 40_000
const TRUST_MS = 20_000
const PATH_TRIALS = 400
const PATH_TRIAL_MS = 50
const PORT = 4000

export async function work({
  runtime,
  create,
  end = (node) => node.close(),
  hasWebRtc,
  settings: settingsText,
}: WorkerParts): Promise<void> {
  const settings = JSON.parse(settingsText ?? '') as WorkerSettings
  const { transport, rendezvousUrl, registry, beacon, home: directory } = settings
  const place =
    transport === 'compat' ? { rendezvousUrl } : { registry, beacon, listen: '127.0.0.1:0' }
  const createNode = ({ home, ...wish }: NodeWish, more: object = {}): Promise<PilotNode> =>
    create({
      ...place,
      ...wish,
      ...more,
      transport,
      ...(home === undefined ? {} : { identity: `${directory}/${home}/identity.json` }),
    })
  try {
    if (settings.mode === 'peer')
      await bePeer(
        await createNode({ isPublic: true }, hasWebRtc ? { webRtc: true } : {}),
        hasWebRtc,
        settings,
      )
    else {
      const kit: ConformanceKit = {
        runtime,
        transport,
        createNode: (wish) => createNode(wish),
        end,
        restartRendezvous: async () => void (await post(settings, 'restart', {})),
      }
      await report(settings, { type: 'suite', results: await runSuite(kit) })
    }
  } catch (error) {
    if (codeOfError(error) === 'ERR_UNSUPPORTED')
      return void (await report(settings, { type: 'cannot', reason: (error as Error).message }))
    const reason = error instanceof Error ? (error.stack ?? error.message) : String(error)
    await report(settings, { type: 'failed', reason })
  }
}

/** Gives back what it is sent, and dials whom it is told to. */
async function bePeer(
  node: PilotNode,
  hasWebRtc: boolean,
  settings: WorkerSettings,
): Promise<void> {
  node.listen(PORT).onconnection = (connection) => {
    void returnAll(connection).catch(() => connection.reset())
  }
  await report(settings, { type: 'ready', nodeId: node.nodeId, hasWebRtc })
  for (;;) {
    const command = (await post(settings, 'command', {})) as WorkerCommand
    if (command.type === 'end') break
    if (command.type === 'trust') {
      await Promise.all(command.nodeIds.map((nodeId) => trust(node, nodeId)))
      await report(settings, { type: 'trusting' })
      continue
    }
    let outcome: TransferOutcome
    try {
      outcome = await within(TRANSFER_MS, 'transfer', transfer(node, command))
    } catch (error) {
      const failure = codeOfError(error) ?? (error instanceof Error ? error.message : `${error}`)
      outcome = { failure, path: 'none', megabytesPerSecond: 0 }
    }
    await report(settings, { type: 'transfer', outcome })
  }
  await node.close()
}

async function returnAll(connection: PilotConnection): Promise<void> {
  const stream = new AsyncStream(connection)
  for (let piece = await stream.read(); piece !== undefined; piece = await stream.read())
    await stream.write(piece)
  connection.close()
}

async function trust(node: PilotNode, nodeId: number): Promise<void> {
  await node.trust.request(nodeId, 'conformance')
  if (!(await node.trust.wait(nodeId, TRUST_MS))) throw new Error(`${nodeId} gave no trust`)
}

/** A message, then 8 MiB, there and back. */
async function transfer(
  node: PilotNode,
  { nodeId, path }: { readonly nodeId: number; readonly path?: PeerInfo['transport'] },
): Promise<TransferOutcome> {
  const connection = await node.dial(`${nodeId}:${PORT}`)
  const stream = new AsyncStream(connection)
  const message = generated(20, nodeId)
  await stream.write(message)
  equal(hashOf(await bytesFrom(stream, message.length)), hashOf(message), 'message')
  if (path !== undefined) await carriedBy(node, nodeId, path)
  const data = generated(TRANSFER_BYTES, nodeId)
  const startedAt = performance.now()
  const [got] = await Promise.all([bytesFrom(stream, data.length), stream.write(data)])
  const seconds = (performance.now() - startedAt) / 1000
  equal(hashOf(got), hashOf(data), 'hash of 8 MiB')
  connection.close()
  await connection.closed
  return {
    failure: '',
    path: transportTo(node, nodeId),
    megabytesPerSecond: (2 * TRANSFER_BYTES) / 1e6 / seconds,
  }
}

async function carriedBy(
  node: PilotNode,
  nodeId: number,
  path: PeerInfo['transport'],
): Promise<void> {
  for (let trial = 0; trial < PATH_TRIALS; trial++) {
    if (transportTo(node, nodeId) === path) return
    await sleep(PATH_TRIAL_MS)
  }
  const peer = node.peers().find((one) => one.nodeId === nodeId)
  throw new Error(`expected ${path}, got ${peer?.transport}: ${peer?.directReason}`)
}

function transportTo(node: PilotNode, nodeId: number): PeerInfo['transport'] {
  return node.peers().find((peer) => peer.nodeId === nodeId)?.transport ?? 'none'
}

function report(settings: WorkerSettings, body: WorkerReport): Promise<unknown> {
  return post(settings, 'report', body)
}

async function post(
  { control, name }: WorkerSettings,
  what: string,
  body: object,
): Promise<unknown> {
  const response = await fetch(`${control}/${what}/${name}`, {
    method: 'POST',
    body: JSON.stringify(body),
  })
  if (!response.ok) throw new Error(`${what}: the runner answered ${response.status}`)
  return response.json()
}
