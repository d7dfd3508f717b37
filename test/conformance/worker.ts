/**
 * One runtime's process: runs the suite, or stands as a peer of the matrix. It is told what to do, and tells what
 * came of it, by HTTP: `fetch` is what all runtimes have.
 */
import type { PilotConnection, PilotNode } from '../../runtimes/shared/api.ts'
import { AsyncStream } from '../../runtimes/shared/services/async-stream.ts'
import { type ConformanceKit, type NodeWish, runSuite, type ScenarioResult } from './suite.ts'
import { bytesFrom, equal, generated, hashOf, within } from './tools.ts'

/** What `createNode` of every runtime takes that has UDP and files. */
export interface NodeOptions extends Omit<NodeWish, 'home'> {
  readonly transport: 'udp' | 'compat'
  readonly registry?: string
  readonly beacon?: string
  readonly listen?: string
  readonly rendezvousUrl?: string
  readonly identity?: string
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
  | { readonly type: 'ready'; readonly nodeId: number }
  | { readonly type: 'transfer'; readonly outcome: TransferOutcome }
  | { readonly type: 'failed'; readonly reason: string }

export interface TransferOutcome {
  /** `''` when every byte came back. */
  readonly failure: string
  /** What carried it. */
  readonly path: string
  readonly megabytesPerSecond: number
}

export type WorkerCommand =
  | { readonly type: 'dial'; readonly nodeId: number }
  | { readonly type: 'end' }

const TRANSFER_BYTES = 8 << 20
const TRANSFER_MS = 20_000
const PORT = 4000

export async function work(
  runtime: string,
  create: (options: NodeOptions) => Promise<PilotNode>,
  settingsText: string | undefined,
): Promise<void> {
  const settings = JSON.parse(settingsText ?? '') as WorkerSettings
  const { transport, rendezvousUrl, registry, beacon, home: directory } = settings
  const place =
    transport === 'compat' ? { rendezvousUrl } : { registry, beacon, listen: '127.0.0.1:0' }
  const createNode = ({ home, ...wish }: NodeWish): Promise<PilotNode> =>
    create({
      ...place,
      ...wish,
      transport,
      ...(home === undefined ? {} : { identity: `${directory}/${home}/identity.json` }),
    })
  try {
    if (settings.mode === 'peer') await bePeer(await createNode({ isPublic: true }), settings)
    else {
      const kit: ConformanceKit = {
        runtime,
        transport,
        createNode,
        restartRendezvous: async () => void (await post(settings, 'restart', {})),
      }
      await report(settings, { type: 'suite', results: await runSuite(kit) })
    }
  } catch (error) {
    const reason = error instanceof Error ? (error.stack ?? error.message) : String(error)
    await report(settings, { type: 'failed', reason })
  }
}

/** Gives back what it is sent, and dials whom it is told to. */
async function bePeer(node: PilotNode, settings: WorkerSettings): Promise<void> {
  node.listen(PORT).onconnection = (connection) => {
    void returnAll(connection).catch(() => connection.reset())
  }
  await report(settings, { type: 'ready', nodeId: node.nodeId })
  for (;;) {
    const command = (await post(settings, 'command', {})) as WorkerCommand
    if (command.type === 'end') break
    let outcome: TransferOutcome
    try {
      outcome = await within(TRANSFER_MS, 'transfer', transfer(node, command.nodeId))
    } catch (error) {
      const failure = error instanceof Error ? error.message : String(error)
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

/** A message, then 8 MiB, there and back. */
async function transfer(node: PilotNode, nodeId: number): Promise<TransferOutcome> {
  const connection = await node.dial(`${nodeId}:${PORT}`)
  const stream = new AsyncStream(connection)
  const message = generated(20, nodeId)
  await stream.write(message)
  equal(hashOf(await bytesFrom(stream, message.length)), hashOf(message), 'message')
  const data = generated(TRANSFER_BYTES, nodeId)
  const startedAt = performance.now()
  const [got] = await Promise.all([bytesFrom(stream, data.length), stream.write(data)])
  const seconds = (performance.now() - startedAt) / 1000
  equal(hashOf(got), hashOf(data), 'hash of 8 MiB')
  connection.close()
  await connection.closed
  return {
    failure: '',
    path: node.peers().find((peer) => peer.nodeId === nodeId)?.transport ?? 'none',
    megabytesPerSecond: (2 * TRANSFER_BYTES) / 1e6 / seconds,
  }
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
