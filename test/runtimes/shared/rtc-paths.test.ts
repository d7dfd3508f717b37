/** WebRTC paths between two nodes whose UDP reaches only the rendezvous: negotiated over the relayed tunnel. */
import { afterEach, describe, expect, it } from 'vitest'
import { RTCPeerConnection as WeriftConnection } from 'werift'
import { Identity, TrustStore } from '../../../core/index.ts'
import { nodeCrypto } from '../../../runtimes/node/crypto.ts'
import { registryConnector } from '../../../runtimes/node/registry-socket.ts'
import { UdpSocket } from '../../../runtimes/node/udp-socket.ts'
import { systemClock, unixNow } from '../../../runtimes/shared/clock.ts'
import { SharedPilotNode } from '../../../runtimes/shared/pilot-node.ts'
import { createRendezvous, type Rendezvous } from '../../../signaling/index.ts'

const made: WeriftConnection[] = []
const createPeerConnection = (): never => {
  const connection = new WeriftConnection({
    iceServers: [],
    iceUseIpv6: false,
    // Loopback only, which it does not offer by itself.
    iceAdditionalHostAddresses: ['127.0.0.1'],
    iceFilterCandidatePair: ({ localCandidate, remoteCandidate }) =>
      localCandidate.host === '127.0.0.1' && remoteCandidate.host === '127.0.0.1',
  })
  made.push(connection)
  return connection as never
}

const open: { close(): Promise<void> }[] = []
afterEach(async () => {
  made.length = 0
  for (const thing of open.splice(0).reverse()) await thing.close()
})

async function rendezvous(): Promise<Rendezvous> {
  const server = await createRendezvous({
    registryAddress: '127.0.0.1:0',
    beaconAddress: '127.0.0.1:0',
  })
  open.push(server)
  return server
}

/** A node that hears by UDP from the beacon only, as behind a firewall. */
async function node(
  server: Rendezvous,
  hostname: string,
  withRtc = true,
): Promise<SharedPilotNode> {
  const socket = await UdpSocket.bind('127.0.0.1:0')
  const beacon = server.beaconEndpoint
  const guarded = {
    localEndpoint: socket.localEndpoint,
    ondatagram: undefined as UdpSocket['ondatagram'],
    send: (datagram: Uint8Array, to: { address: string; port: number }) => {
      if (to.port === beacon.port) socket.send(datagram, to)
    },
    close: () => socket.close(),
  }
  socket.ondatagram = (datagram, from) => {
    if (from.port === beacon.port) guarded.ondatagram?.(datagram, from)
  }
  const { port } = server.registryEndpoint
  const started = await SharedPilotNode.start({
    machine: {
      crypto: nodeCrypto,
      identity: Identity.generate(nodeCrypto),
      trustStore: new TrustStore(),
      unixNow,
      localEndpoint: socket.localEndpoint,
      beacon: { address: '127.0.0.1', port: beacon.port },
      hostname,
      isPublic: true,
    },
    socket: guarded,
    registry: registryConnector({ host: '127.0.0.1', port }),
    clock: systemClock,
    ...(withRtc ? { createPeerConnection } : {}),
  })
  open.push(started)
  return started
}

async function trusted(a: SharedPilotNode, b: SharedPilotNode): Promise<void> {
  await Promise.all([a.trust.request(b.nodeId), b.trust.request(a.nodeId)])
  await Promise.all([a.trust.wait(b.nodeId, 10_000), b.trust.wait(a.nodeId, 10_000)])
}

async function until(check: () => boolean, ms: number): Promise<void> {
  const end = Date.now() + ms
  while (!check() && Date.now() < end) await new Promise((resolve) => setTimeout(resolve, 20))
  expect(check()).toBe(true)
}

function echo(server: SharedPilotNode): void {
  server.listen(4000).onconnection = (connection) => {
    void connection.readable.pipeTo(connection.writable).catch(() => {})
  }
}

async function roundTrip(from: SharedPilotNode, to: number, bytes: number): Promise<void> {
  const connection = await from.dial({ address: { network: 0, node: to }, port: 4000 })
  const sent = Uint8Array.from({ length: bytes }, (_, i) => (i * 31) & 255)
  const writer = connection.writable.getWriter()
  const writing = writer.write(sent).then(() => writer.close())
  let at = 0
  for await (const chunk of connection.readable) {
    expect(Buffer.compare(chunk, sent.subarray(at, at + chunk.length))).toBe(0)
    at += chunk.length
  }
  expect(at).toBe(bytes)
  await writing
}

describe('WebRTC paths', () => {
  it('are made for trusted peers that are only relayed, carry the streams, and are left without a loss', async () => {
    const server = await rendezvous()
    const a = await node(server, 'a')
    const b = await node(server, 'b')
    echo(b)
    await trusted(a, b)
    await roundTrip(a, b.nodeId, 100_000)
    await until(() => a.peers()[0]?.transport === 'webrtc', 20_000)
    await until(() => b.peers()[0]?.transport === 'webrtc', 20_000)
    await roundTrip(a, b.nodeId, 500_000)
    expect(a.info().drops.forged ?? 0).toBe(0)
  }, 60_000)

  it('that die in the middle of a transfer lose no byte: the relay takes over', async () => {
    const server = await rendezvous()
    const a = await node(server, 'a')
    const b = await node(server, 'b')
    echo(b)
    await trusted(a, b)
    await until(() => a.peers()[0]?.transport === 'webrtc', 20_000)
    const transfer = roundTrip(a, b.nodeId, 4_000_000)
    await new Promise((resolve) => setTimeout(resolve, 150))
    for (const connection of made) await connection.close()
    await transfer
    expect(a.peers()[0]?.path).toBe('relay')
    await roundTrip(a, b.nodeId, 1000)
  }, 60_000)

  it('are not made when signaling was tampered with, and the reason is visible', async () => {
    const server = await rendezvous()
    const a = await node(server, 'a')
    const b = await node(server, 'b', false)
    // b speaks the negotiation itself, with a signature that is not its own.
    b.listen(446).onconnection = (stream) => {
      const json = Buffer.from(
        JSON.stringify({
          session: '0'.repeat(32),
          sequence: 1,
          body: JSON.stringify({ kind: 'description', type: 'answer', sdp: 'v=0' }),
          signature: Buffer.alloc(64).toString('base64'),
        }),
      )
      const head = Buffer.alloc(4)
      head.writeUInt32BE(json.length)
      stream.write(Buffer.concat([head, json]))
    }
    echo(b)
    await trusted(a, b)
    await roundTrip(a, b.nodeId, 1000)
    await until(() => (a.peers()[0]?.directReason ?? '').includes('invalid signature'), 20_000)
    expect(a.peers()[0]).toMatchObject({ path: 'relay', transport: 'relay' })
    await roundTrip(a, b.nodeId, 1000)
  }, 60_000)

  it('are refused to strangers', async () => {
    const server = await rendezvous()
    const a = await node(server, 'a')
    const b = await node(server, 'b')
    echo(b)
    await roundTrip(a, b.nodeId, 1000)
    await expect(
      a.dial({ address: { network: 0, node: b.nodeId }, port: 446 }),
    ).resolves.toBeDefined()
    expect(a.peers()[0]?.transport).toBe('relay')
  }, 30_000)

  it('are not missed by a peer that has none: the relay goes on', async () => {
    const server = await rendezvous()
    const a = await node(server, 'a')
    const b = await node(server, 'b', false)
    echo(b)
    await trusted(a, b)
    await roundTrip(a, b.nodeId, 100_000)
    await until(() => (a.peers()[0]?.directReason ?? '') !== '', 20_000)
    expect(a.peers()[0]).toMatchObject({ path: 'relay', transport: 'relay' })
    await roundTrip(a, b.nodeId, 1000)
  }, 60_000)
})
