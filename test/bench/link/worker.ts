/**
 * One end of a transfer over the link: `node worker.ts <role> <json>`. Servers print `{"ready":...}`, then one line of
 * JSON with what arrived in `durationMs` from the first byte on, and one with all that came when the client, which goes
 * on for a little longer, has ended.
 */
import { connect, createServer } from 'node:net'
import { type CongestionName, createNode } from '../../../runtimes/node/index.ts'
import { createRendezvous } from '../../../signaling/index.ts'

interface Setup {
  readonly host: string
  readonly local: string
  readonly durationMs: number
  readonly congestion?: CongestionName
  /** What the server said it is ready with. */
  readonly ready: { readonly port: number; readonly node: number; readonly beacon: number }
}

const [role = '', json = '{}'] = process.argv.slice(2)
const setup = JSON.parse(json) as Setup
const print = (value: object): void => void process.stdout.write(`${JSON.stringify(value)}\n`)
const chunk = new Uint8Array(65_536)

/** The client's first byte and the server's time are not the same. */
const LONGER_MS = 500

/** Counts what arrives, and tells it when the time is up, and at the end. */
function counter(): { readonly count: (bytes: number) => void; readonly end: () => void } {
  let received = 0
  let startedAt = 0
  return {
    count: (bytes) => {
      received += bytes
      if (startedAt > 0) return
      startedAt = performance.now()
      setTimeout(() => print({ received, ms: performance.now() - startedAt }), setup.durationMs)
    },
    end: () => print({ total: received }),
  }
}

/** True while the client goes on, from the first call on. */
function clock(): () => boolean {
  const until = performance.now() + setup.durationMs + LONGER_MS
  return () => performance.now() < until
}

function tcpServer(): void {
  const server = createServer((socket) => {
    const { count, end } = counter()
    socket.on('data', (data: Buffer) => count(data.length))
    socket.on('end', end)
    socket.on('error', () => {})
  })
  server.listen(0, setup.host, () =>
    print({ ready: { port: (server.address() as { port: number }).port } }),
  )
}

function tcpClient(): void {
  const socket = connect(setup.ready.port, setup.host)
  let isOn: (() => boolean) | undefined
  const push = (): void => {
    isOn ??= clock()
    while (isOn() && socket.write(chunk));
    if (!isOn()) socket.end()
  }
  socket.on('connect', push).on('drain', push)
}

async function pilotServer(): Promise<void> {
  const { host } = setup
  const rendezvous = await createRendezvous({
    registryAddress: `${host}:0`,
    beaconAddress: `${host}:0`,
  })
  const { port } = rendezvous.registryEndpoint
  const beacon = rendezvous.beaconEndpoint.port
  const node = await createNode({
    registry: `${host}:${port}`,
    beacon: `${host}:${beacon}`,
    listen: `${host}:0`,
    isPublic: true,
  })
  node.listen(9).onconnection = (connection) => {
    const { count, end } = counter()
    connection.onreadable = () => {
      for (let data = connection.read(); data !== undefined; data = connection.read())
        count(data.length)
      if (!connection.ended) return
      connection.onreadable = undefined
      end()
    }
  }
  print({ ready: { port, beacon, node: node.nodeId } })
}

async function pilotClient(): Promise<void> {
  const { host, local, ready, congestion = 'auto' } = setup
  const node = await createNode({
    registry: `${host}:${ready.port}`,
    beacon: `${host}:${ready.beacon}`,
    listen: `${local}:0`,
    isPublic: true,
    congestion,
  })
  const connection = await node.dial({ address: { network: 0, node: ready.node }, port: 9 })
  const isOn = clock()
  const push = (): void => {
    while (isOn() && connection.write(chunk) === chunk.length);
    if (!isOn()) connection.close()
  }
  connection.onwritable = push
  push()
}

const roles: Record<string, () => unknown> = {
  'tcp-server': tcpServer,
  'tcp-client': tcpClient,
  'pilot-server': pilotServer,
  'pilot-client': pilotClient,
}
process.on('SIGTERM', () => process.exit(0))
await roles[role]?.()
