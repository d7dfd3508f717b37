/** Nodes whose UDP reaches only the rendezvous, as behind firewalls, and what tests do with them. */
import { expect } from 'vitest'
import { RTCPeerConnection as WeriftConnection } from 'werift'
import { Identity, TrustStore } from '../../../core/index.ts'
import { nodeCrypto } from '../../../runtimes/node/crypto.ts'
import { registryConnector } from '../../../runtimes/node/registry-socket.ts'
import { NO_STUN } from '../../../runtimes/node/rtc/backend.ts'
import { UdpSocket } from '../../../runtimes/node/udp-socket.ts'
import { systemClock, unixNow } from '../../../runtimes/shared/clock.ts'
import { type PilotNodeOptions, SharedPilotNode } from '../../../runtimes/shared/pilot-node.ts'
import type { PeerConnection } from '../../../runtimes/shared/rtc/peer-connection.ts'
import { createRendezvous, type Rendezvous } from '../../../signaling/index.ts'

/** Closed in turn, the last first, by `closeAll`. */
export const open: { close(): Promise<unknown> }[] = []

export async function closeAll(): Promise<void> {
  for (const thing of open.splice(0).reverse()) await thing.close()
}

/** werift on loopback, which it does not offer by itself. */
export function loopbackConnection(): WeriftConnection {
  return new WeriftConnection({
    iceServers: [NO_STUN as { urls: string }],
    iceUseIpv6: false,
    iceAdditionalHostAddresses: ['127.0.0.1'],
    iceFilterCandidatePair: ({ localCandidate, remoteCandidate }) =>
      localCandidate.host === '127.0.0.1' && remoteCandidate.host === '127.0.0.1',
  })
}

export async function rendezvous(): Promise<Rendezvous> {
  const server = await createRendezvous({
    registryAddress: '127.0.0.1:0',
    beaconAddress: '127.0.0.1:0',
  })
  open.push(server)
  return server
}

/** A node that hears by UDP from the beacon only. Without `createPeerConnection` it has no WebRTC. */
export async function relayedNode(
  server: Rendezvous,
  hostname: string,
  options: Partial<PilotNodeOptions> & { readonly identity?: Identity } = {},
): Promise<SharedPilotNode> {
  const { identity = Identity.generate(nodeCrypto), ...more } = options
  const socket = await UdpSocket.bind('127.0.0.1:0')
  const beacon = server.beaconEndpoint
  const guarded = {
    localEndpoint: socket.localEndpoint,
    ondatagram: undefined as UdpSocket['ondatagram'],
    send: (datagram: Uint8Array, to: { address: string; port: number }) =>
      to.port === beacon.port ? socket.send(datagram, to) : true,
    close: () => socket.close(),
  }
  socket.ondatagram = (datagram, from) => {
    if (from.port === beacon.port) guarded.ondatagram?.(datagram, from)
  }
  const { port } = server.registryEndpoint
  const started = await SharedPilotNode.start({
    machine: {
      crypto: nodeCrypto,
      identity,
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
    ...more,
  })
  open.push(started)
  return started
}

/** Also remembers what it made, for tests that break it. */
export function connectionMaker(): { make: () => PeerConnection; made: WeriftConnection[] } {
  const made: WeriftConnection[] = []
  const make = (): PeerConnection => {
    const connection = loopbackConnection()
    made.push(connection)
    return connection as unknown as PeerConnection
  }
  return { make, made }
}

export async function trusted(a: SharedPilotNode, b: SharedPilotNode): Promise<void> {
  await Promise.all([a.trust.request(b.nodeId), b.trust.request(a.nodeId)])
  await Promise.all([a.trust.wait(b.nodeId, 10_000), b.trust.wait(a.nodeId, 10_000)])
}

export async function until(check: () => boolean, ms: number): Promise<number> {
  const started = Date.now()
  while (!check() && Date.now() < started + ms)
    await new Promise((resolve) => setTimeout(resolve, 10))
  expect(check()).toBe(true)
  return Date.now() - started
}

export function transportOf(node: SharedPilotNode): string {
  return node.peers()[0]?.transport ?? ''
}

export function echo(server: SharedPilotNode): void {
  server.listen(4000).onconnection = (connection) => {
    void connection.readable.pipeTo(connection.writable).catch(() => {})
  }
}

/** Sends bytes to an echo on port 4000 and compares every one that comes back. */
export async function roundTrip(from: SharedPilotNode, to: number, bytes: number): Promise<void> {
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
