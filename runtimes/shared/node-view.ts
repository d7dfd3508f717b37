/** What a node machine holds, as the public API shows it. */
import { type Endpoint, formatEndpoint, type NodeMachine, type Peer } from '../../core/index.ts'
import type { ConnectionInfo, NodeInfo, PeerInfo } from './api.ts'
import { isMadePath, madePathKind } from './path-socket.ts'

export interface NodeInfoSource {
  readonly machine: NodeMachine
  readonly uptimeMs: number
  readonly encrypt: boolean
  /** Drops of the socket, by reason. */
  readonly socketDrops: Readonly<Record<string, number>> | undefined
}

export function nodeInfo({ machine, uptimeMs, encrypt, socketDrops }: NodeInfoSource): NodeInfo {
  const peers = [...machine.peers.values()]
  const keyed = peers.filter((peer) => peer.tunnel.isKeyed).length
  return {
    uptimeMs,
    endpoint: formatEndpoint(machine.endpoint),
    encrypt,
    connections: machine.liveStreams,
    ports: machine.ports.size,
    peers: peers.length,
    encryptedPeers: keyed,
    authenticatedPeers: keyed,
    relayPeers: peers.filter((peer) => peer.paths.kind === 'relay').length,
    bytesSent: machine.bytesSent,
    bytesReceived: machine.bytesReceived,
    packetsSent: machine.datagramsSent,
    packetsReceived: machine.datagramsReceived,
    beacon: machine.beaconStatus ?? 'none',
    drops: { ...machine.drops, ...occurred(socketDrops) },
  }
}

/** Sorted by id. */
export function connectionInfos(machine: NodeMachine): readonly ConnectionInfo[] {
  const all: ConnectionInfo[] = []
  for (const peer of machine.peers.values())
    for (const { connection } of peer.streams.values())
      all.push({
        id: connection.id,
        localPort: connection.local.port,
        remoteAddress: connection.remote.address,
        remotePort: connection.remote.port,
        state: connection.state,
        ...connection.info(),
        ...connection.stats,
      })
  return all.sort((a, b) => a.id - b.id)
}

/** Sorted by node id. `directReason`: why a peer has no direct path, `''` where nothing is known. */
export function peerInfos(
  machine: NodeMachine,
  directReason: (peerId: number) => string,
): readonly PeerInfo[] {
  return [...machine.peers.values()]
    .map((peer) => ({
      nodeId: peer.id,
      endpoint: endpointText(peer.paths.endpoint),
      encrypted: peer.tunnel.isKeyed,
      authenticated: peer.tunnel.isKeyed,
      path: peer.paths.kind,
      transport: transportOf(peer),
      directReason: directReason(peer.id),
      rttMs: peer.rttMs,
      bytesSent: peer.bytesSent,
      bytesReceived: peer.bytesReceived,
    }))
    .sort((a, b) => a.nodeId - b.nodeId)
}

function endpointText(endpoint: Endpoint | undefined): string {
  return endpoint === undefined || isMadePath(endpoint) ? '' : formatEndpoint(endpoint)
}

function transportOf({ paths: { kind, endpoint } }: Peer): PeerInfo['transport'] {
  if (kind !== 'direct') return kind
  return (endpoint && madePathKind(endpoint)) ?? 'udp'
}

/** Only what happened at all, as the machine counts. */
function occurred(drops: Readonly<Record<string, number>> = {}): Record<string, number> {
  return Object.fromEntries(Object.entries(drops).filter(([, count]) => count > 0))
}
