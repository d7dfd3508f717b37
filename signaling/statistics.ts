/** What the rendezvous tells about itself: `/api/stats` and `/metrics` (spec/04 §17). No IPs, keys or hostnames. */
import type { Instant } from '../core/machine.ts'
import type { Beacon } from './beacon.ts'
import type { CompatRelay } from './compat-relay.ts'
import { STALE_AFTER_MS, STATS_EDGES_MAX, STATS_NODES_MAX } from './limits.ts'
import { backboneAddress } from './register-operation.ts'
import type { Registry } from './registry.ts'
import { DURATION_BOUNDS, type RequestMetrics } from './request-metrics.ts'

/** Members as on the wire. `nodes` and `edges` stop at 10 000 and 20 000 entries. */
export interface RegistryStats {
  readonly total_nodes: number
  readonly active_nodes: number
  readonly total_trust_links: number
  readonly total_requests: number
  readonly unique_tags: number
  readonly task_executors: number
  readonly networks: readonly {
    readonly id: number
    readonly name: string
    readonly members: number
    readonly online_members: number
  }[]
  readonly nodes: readonly {
    readonly address: string
    readonly tags: readonly string[]
    readonly online: boolean
    readonly trust_links: number
    readonly task_exec: boolean
    readonly polo_score: number
  }[]
  readonly edges: readonly { readonly source: string; readonly target: string }[]
  readonly uptime_secs: number
}

/** Counters of the sockets, which no machine knows. */
export interface SocketCounters {
  connections: number
  connectionsRefused: number
  framesRefused: number
  datagramsUnsent: number
}

export interface StatisticsSources {
  readonly registry: Registry
  readonly beacon: Beacon
  readonly requests: RequestMetrics
  readonly sockets: SocketCounters
  readonly startedAt: Instant
}

export function registryStats(sources: StatisticsSources, now: Instant): RegistryStats {
  const { nodes, trust, networks } = sources.registry.desk
  const online = new Set<number>()
  const tags = new Set<string>()
  const listed: RegistryStats['nodes'][number][] = []
  const edges: { source: string; target: string }[] = []
  let executors = 0
  for (const node of nodes.liveNodes()) {
    const isOnline = now - node.lastSeenAt < STALE_AFTER_MS
    if (isOnline) online.add(node.id)
    if (node.taskExec) executors++
    for (const tag of node.tags) tags.add(tag)
    const peers = trust.peers(node.id)
    if (listed.length < STATS_NODES_MAX)
      listed.push({
        address: backboneAddress(node.id),
        tags: node.tags,
        online: isOnline,
        trust_links: peers.size,
        task_exec: node.taskExec,
        polo_score: node.poloScore,
      })
    for (const peer of peers)
      if (peer >= node.id && edges.length < STATS_EDGES_MAX && nodes.live(peer) !== undefined)
        edges.push({ source: backboneAddress(node.id), target: backboneAddress(peer) })
  }
  const total = nodes.liveCount
  const active = online.size
  return {
    total_nodes: total,
    active_nodes: active,
    total_trust_links: trust.pairCount,
    total_requests: sources.requests.total,
    unique_tags: tags.size,
    task_executors: executors,
    networks: [
      { id: 0, name: 'backbone', members: total, online_members: active },
      ...[...networks.all()].map(({ id, name }) => ({
        id,
        name,
        members: networks.memberCount(id),
        online_members: [...networks.members(id)].filter(({ node }) => online.has(node)).length,
      })),
    ],
    nodes: listed.sort((a, b) => (a.address < b.address ? -1 : 1)),
    edges,
    uptime_secs: Math.floor((now - sources.startedAt) / 1000),
  }
}

/** Prometheus text format 0.0.4. */
export function prometheusText(sources: StatisticsSources, now: Instant): string {
  const { registry, beacon, requests, sockets } = sources
  const stats = registryStats(sources, now)
  const lines: string[] = []
  const family = (name: string, type: string, help: string, ...samples: string[]): void => {
    lines.push(`# HELP ${name} ${help}`, `# TYPE ${name} ${type}`, ...samples)
  }
  const single = (name: string, type: 'counter' | 'gauge', help: string, value: number): void =>
    family(name, type, help, `${name} ${value}`)

  const seen = [...requests.seen()]
  family(
    'pilot_requests_total',
    'counter',
    'Registry requests by type.',
    ...seen.map(([type, one]) => `pilot_requests_total{type="${type}"} ${one.requests}`),
  )
  family(
    'pilot_errors_total',
    'counter',
    'Registry requests answered with an error, by type.',
    ...seen
      .filter(([, one]) => one.errors > 0)
      .map(([type, one]) => `pilot_errors_total{type="${type}"} ${one.errors}`),
  )
  family(
    'pilot_request_duration_seconds',
    'histogram',
    'Time to handle a registry request, without writing to disk.',
    ...seen.flatMap(([type, one]) => {
      let count = 0
      const buckets = [...DURATION_BOUNDS, '+Inf'].map((bound, i) => {
        count += one.buckets[i]!
        return `pilot_request_duration_seconds_bucket{type="${type}",le="${bound}"} ${count}`
      })
      return [
        ...buckets,
        `pilot_request_duration_seconds_sum{type="${type}"} ${one.seconds}`,
        `pilot_request_duration_seconds_count{type="${type}"} ${one.requests}`,
      ]
    }),
  )
  single('pilot_nodes_online', 'gauge', 'Nodes seen within 180 s.', stats.active_nodes)
  single('pilot_nodes_total', 'gauge', 'Registered nodes.', stats.total_nodes)
  single('pilot_trust_links', 'gauge', 'Trust pairs.', stats.total_trust_links)
  single('pilot_task_executors', 'gauge', 'Nodes that execute tasks.', stats.task_executors)
  single('pilot_uptime_seconds', 'gauge', 'Seconds since the start.', stats.uptime_secs)
  const succeeded: readonly (readonly [string, string, string])[] = [
    ['pilot_registrations_total', 'register', 'Registrations, repeated ones too.'],
    ['pilot_deregistrations_total', 'deregister', 'Deregistrations.'],
    ['pilot_trust_reports_total', 'report_trust', 'Reported trust pairs.'],
    ['pilot_trust_revocations_total', 'revoke_trust', 'Revoked trust pairs.'],
    ['pilot_handshake_requests_total', 'request_handshake', 'Relayed handshake requests.'],
  ]
  for (const [name, type, help] of succeeded)
    single(name, 'counter', help, requests.succeeded(type))
  single(
    'pilot_foreign_signatures_total',
    'counter',
    'Valid signatures from an address other than the node is registered at.',
    registry.desk.foreignSignatures,
  )
  single('pilot_connections', 'gauge', 'Open registry connections.', sockets.connections)
  single(
    'pilot_connections_refused_total',
    'counter',
    'Registry connections closed at once because of a cap.',
    sockets.connectionsRefused,
  )
  single(
    'pilot_frames_refused_total',
    'counter',
    'Registry connections closed because of bytes that are no frame.',
    sockets.framesRefused,
  )
  const { counters } = beacon
  single('pilot_beacon_nodes', 'gauge', 'Nodes registered at the beacon.', beacon.nodeCount)
  single('pilot_beacon_peer_nodes', 'gauge', 'Nodes at peer beacons.', beacon.peerNodeCount)
  single('pilot_beacon_discovers_total', 'counter', 'Discover messages.', counters.discovers)
  single('pilot_beacon_punches_total', 'counter', 'Introductions.', counters.punches)
  single('pilot_beacon_stun_total', 'counter', 'STUN bindings answered.', counters.stunBindings)
  single('pilot_beacon_relayed_total', 'counter', 'Relayed frames.', counters.relayedFrames)
  single('pilot_beacon_relayed_bytes_total', 'counter', 'Relayed bytes.', counters.relayedBytes)
  family(
    'pilot_beacon_drops_total',
    'counter',
    'Datagrams dropped, by reason.',
    ...Object.entries({ ...counters.drops, unsent: sockets.datagramsUnsent })
      .sort()
      .map(([reason, count]) => `pilot_beacon_drops_total{reason="${reason}"} ${count}`),
  )
  if (beacon.compat !== undefined) compatFamilies(beacon.compat, family, single)
  return `${lines.join('\n')}\n`
}

type Family = (name: string, type: string, help: string, ...samples: string[]) => void
type Single = (name: string, type: 'counter' | 'gauge', help: string, value: number) => void

/** The WebSockets of the beacon. */
function compatFamilies(relay: CompatRelay, family: Family, single: Single): void {
  const { counters } = relay
  single('pilot_compat_connections', 'gauge', 'Open WebSockets.', relay.connectionCount)
  single('pilot_compat_nodes', 'gauge', 'Nodes on WebSockets.', relay.nodeCount)
  single('pilot_compat_queued_bytes', 'gauge', 'Bytes that wait for WebSockets.', relay.queuedBytes)
  const totals: readonly (readonly [string, string, number])[] = [
    ['opened', 'WebSockets opened.', counters.opened],
    ['authenticated', 'Nodes authenticated.', counters.authenticated],
    ['auth_failures', 'Authentications that failed.', counters.authFailures],
    ['replaced', 'Connections replaced by another of the same node.', counters.replaced],
    ['timed_out', 'Connections closed because nothing was heard.', counters.timedOut],
  ]
  for (const [name, help, value] of totals)
    single(`pilot_compat_${name}_total`, 'counter', help, value)
  const byReason = (name: string, help: string, counts: Readonly<Record<string, number>>): void =>
    family(
      name,
      'counter',
      help,
      ...Object.entries(counts)
        .sort()
        .map(([reason, count]) => `${name}{reason="${reason}"} ${count}`),
    )
  byReason('pilot_compat_refused_total', 'Upgrades refused, by reason.', counters.refused)
  byReason('pilot_compat_drops_total', 'Messages dropped, by reason.', counters.drops)
}
