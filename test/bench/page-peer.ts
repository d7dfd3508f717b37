/**
 * The Node end of a measurement with a page, in a process of its own: `node page-peer.ts <role> <json>`. It prints
 * one JSON line when ready, and for a bare channel speaks offers and answers by lines.
 */
import { createInterface } from 'node:readline'
import { RTCPeerConnection } from 'node-datachannel/polyfill'
import { WebSocketServer } from 'ws'
import { createNode } from '../../runtimes/node/index.ts'

const [role = '', json = '{}'] = process.argv.slice(2)
const setup = JSON.parse(json) as Record<string, string & number>
const print = (value: object): void => void process.stdout.write(`${JSON.stringify(value)}\n`)

/** Counts what a page sends on a data channel, and tells when asked. */
async function channelPeer(): Promise<void> {
  const connection = new RTCPeerConnection()
  const options =
    setup.kind === 'datagram' ? { ordered: false, maxRetransmits: 0 } : { ordered: true }
  const channel = connection.createDataChannel('bench', { negotiated: true, id: 0, ...options })
  channel.binaryType = 'arraybuffer'
  let received = 0
  channel.onmessage = ({ data }: { data: unknown }) => {
    received += (data as ArrayBuffer).byteLength
  }
  for await (const line of createInterface({ input: process.stdin })) {
    const { sdp } = JSON.parse(line) as { sdp?: string }
    if (sdp === undefined) {
      print({ received })
      continue
    }
    await connection.setRemoteDescription({ type: 'offer', sdp })
    await connection.setLocalDescription(await connection.createAnswer())
    while (connection.iceGatheringState !== 'complete')
      await new Promise((resolve) => setTimeout(resolve, 5))
    print({ sdp: connection.localDescription?.sdp })
  }
}

/** Answers one byte when as many have arrived as the URL says. */
function webSocketPeer(): void {
  const server = new WebSocketServer({ host: '127.0.0.1', port: 0, perMessageDeflate: false })
  server.on('connection', (socket, { url = '' }) => {
    const wanted = Number(/bytes=(\d+)/.exec(url)?.[1])
    let received = 0
    socket.on('message', (data) => {
      received += (data as Buffer).length
      if (received >= wanted) socket.send(new Uint8Array(1))
    })
  })
  server.on('listening', () => print({ port: (server.address() as { port: number }).port }))
}

/** Our own node: a sink on port 9, and the paths that are asked for. */
async function nodePeer(): Promise<void> {
  const node = await createNode({
    registry: setup.registry!,
    beacon: setup.beacon!,
    listen: '127.0.0.1:0',
    hostname: setup.hostname!,
    isPublic: true,
    ...(JSON.parse(setup.paths ?? '{}') as object),
  })
  node.listen(9).onconnection = (stream) => {
    stream.onreadable = () => {
      while (stream.read() !== undefined);
      if (stream.ended) stream.close()
    }
  }
  node.on((event) => {
    if (event.type === 'trust-request') void node.trust.approve(event.nodeId)
  })
  print({ nodeId: node.nodeId })
}

process.on('SIGTERM', () => process.exit(0))
if (role === 'channel') await channelPeer()
else if (role === 'websocket') webSocketPeer()
else await nodePeer()
