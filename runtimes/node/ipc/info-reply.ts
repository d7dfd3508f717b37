/** The Info and Health objects (spec/06 §6): the union of what base, v1.9f and H2 clients look for. */
import { toBase64 } from '../../../core/bytes.ts'
import { type Address, formatAddress } from '../../../core/wire/address.ts'
import type { ConnectionInfo, PeerInfo, PilotNode } from '../../shared/api.ts'
import { FRAME_BYTES_MAX } from './opcode.ts'

/** What the daemon knows beside the node. */
export interface DaemonFacts {
  readonly version: string
  /** `''` when none is configured. */
  readonly owner: string
  /** An identity file is configured. */
  readonly hasIdentity: boolean
  /** `host:port`, or `''`. */
  readonly beacon: string
  /** `compat`: everything goes through the WebSocket of a rendezvous (spec/09). */
  readonly transport: 'udp' | 'compat'
  /** Events that no webhook heard of because too many waited. */
  readonly webhookDrops?: number
  /** Why the registry does not know this node by the name it was given; `''` or absent when it does. */
  readonly hostnameError?: string
  /** Addresses in networks beside the backbone. */
  readonly networks?: readonly Address[]
}

export interface InfoCounters {
  /** Streams refused because a backlog was full. */
  readonly acceptQueueDrops: number
}

/** Room for both lists, so that the reply stays below the frame limit (spec/06 §7, G4). */
const LIST_BYTES = FRAME_BYTES_MAX / 2 - 16_384

export function infoReply(
  node: PilotNode,
  facts: DaemonFacts,
  counters: InfoCounters,
): Record<string, unknown> {
  const info = node.info()
  const connections = cut(node.connections().map(connectionEntry))
  const peers = cut(node.peers().map(peerEntry))
  return {
    node_id: node.nodeId,
    address: formatAddress(node.address),
    hostname: node.hostname,
    ...hostnameError(facts),
    uptime_secs: Math.floor(info.uptimeMs / 1000),
    connections: info.connections,
    ports: info.ports,
    peers: info.peers,
    encrypted_peers: info.encryptedPeers,
    authenticated_peers: info.authenticatedPeers,
    relay_peer_count: info.relayPeers,
    encrypt: info.encrypt,
    identity: facts.hasIdentity,
    public: node.isPublic,
    public_key: toBase64(node.publicKey),
    owner: facts.owner,
    email: facts.owner,
    bytes_sent: info.bytesSent,
    bytes_recv: info.bytesReceived,
    pkts_sent: info.packetsSent,
    pkts_recv: info.packetsReceived,
    peer_list: peers.list,
    conn_list: connections.list,
    ...(peers.isCut && { peer_list_truncated: true }),
    ...(connections.isCut && { conn_list_truncated: true }),
    version: facts.version,
    networks: (facts.networks ?? []).map((one) => ({
      network_id: one.network,
      address: formatAddress(one),
    })),
    handshake_pending_count: node.trust.pending().length,
    handshake_outgoing: node.trust.outgoing().map(({ nodeId, sentAt }) => ({
      node_id: nodeId,
      sent_at: sentAt,
    })),
    accept_queue_drops: counters.acceptQueueDrops,
    endpoint: info.endpoint,
    registry: node.registry.endpoint,
    registry_reachable: node.registry.isReachable,
    beacon_addr: facts.beacon,
    ...(info.beacon !== 'none' && {
      beacon_reachable: info.beacon === 'answering',
      beacon_status: info.beacon,
    }),
    transport: facts.transport,
    webhook_queue_dropped: facts.webhookDrops ?? 0,
    drops: info.drops,
    capabilities: CAPABILITIES,
    features: ['dgram_confirm', 'handshake_wait', 'dial_cancel'],
    pid: process.pid,
  }
}

/** Words of v1.9 for what its drivers look for before they use it. */
const CAPABILITIES = [
  'lookup_node',
  'sign_challenge',
  'handshake_pending_notifications',
  'stream_send_result',
  'stream_send_result_v2',
]

export function healthReply(
  node: PilotNode,
  facts: DaemonFacts,
  counters: InfoCounters,
): Record<string, unknown> {
  const info = node.info()
  return {
    status: 'ok',
    uptime_seconds: Math.floor(info.uptimeMs / 1000),
    connections: info.connections,
    peers: info.peers,
    bytes_sent: info.bytesSent,
    bytes_recv: info.bytesReceived,
    encrypted_peers: info.encryptedPeers,
    authenticated_peers: info.authenticatedPeers,
    relay_peer_count: info.relayPeers,
    handshake_pending_count: node.trust.pending().length,
    accept_queue_drops: counters.acceptQueueDrops,
    webhook_queue_dropped: facts.webhookDrops ?? 0,
    beacon_addr: facts.beacon,
    registry_reachable: node.registry.isReachable,
    ...(info.beacon !== 'none' && { beacon_reachable: info.beacon === 'answering' }),
  }
}

function hostnameError({ hostnameError: error = '' }: DaemonFacts): { hostname_error?: string } {
  return error === '' ? {} : { hostname_error: error }
}

function peerEntry(peer: PeerInfo): Record<string, unknown> {
  return {
    node_id: peer.nodeId,
    endpoint: peer.endpoint,
    encrypted: peer.encrypted,
    authenticated: peer.authenticated,
    relay: peer.path === 'relay',
    path: peer.path,
    transport: peer.transport,
    ...(peer.directReason !== '' && { direct_reason: peer.directReason }),
    ...(peer.rttMs !== undefined && { rtt_ms: Math.round(peer.rttMs * 1000) / 1000 }),
  }
}

function connectionEntry(connection: ConnectionInfo): Record<string, unknown> {
  return {
    id: connection.id,
    local_port: connection.localPort,
    remote_addr: formatAddress(connection.remoteAddress),
    remote_port: connection.remotePort,
    state: connection.state,
    cong_win: connection.cwnd,
    ssthresh: connection.ssthresh,
    in_flight: connection.inFlight,
    srtt_ms: Math.round(connection.srttMs),
    rttvar_ms: Math.round(connection.rttvarMs),
    unacked: connection.unackedSegments,
    ooo_buf: connection.outOfOrderSegments,
    peer_recv_win: connection.peerWindowBytes,
    recv_win: connection.windowBytes,
    in_recovery: connection.inRecovery,
    bytes_sent: connection.bytesSent,
    bytes_recv: connection.bytesReceived,
    segs_sent: connection.segmentsSent,
    segs_recv: connection.segmentsReceived,
    retransmits: connection.retransmits,
    fast_retx: connection.fastRetransmits,
    sack_recv: connection.sacksReceived,
    sack_sent: connection.sacksSent,
    dup_acks: connection.duplicateAcks,
  }
}

/** The entries that fit, sorted as given. */
function cut(entries: Record<string, unknown>[]): {
  list: Record<string, unknown>[]
  isCut: boolean
} {
  let bytes = 0
  const end = entries.findIndex((entry) => {
    bytes += JSON.stringify(entry).length + 1
    return bytes > LIST_BYTES
  })
  return end < 0 ? { list: entries, isCut: false } : { list: entries.slice(0, end), isCut: true }
}
