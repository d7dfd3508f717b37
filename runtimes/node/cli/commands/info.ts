/** What the daemon tells about itself: `info`, `health`, `peers`, `connections` (spec/08 §3.6, §3.7). */
import type { Command } from 'commander'
import { PilotError } from '../../../../core/errors.ts'
import type { DaemonReply } from '../../ipc/client.ts'
import type { Cli } from '../cli.ts'
import { requestFailure } from '../failure.ts'
import { formatFields, formatTable } from '../table.ts'
import { formatBytes, formatUptime } from '../values.ts'

/** Connections shown to people. */
const SHOWN_MAX = 50
/** Reasons for drops shown to people; `--json` has all. */
const DROPS_SHOWN = 4

export function addInfoCommands(program: Command, cli: Cli): void {
  program
    .command('info')
    .description('This node: address, peers, traffic, connections')
    .action(async () => {
      const info = await cli.request('info', (daemon) => daemon.info())
      const connections = listOf(info, 'conn_list')
      cli.result(info, [
        'Pilot Protocol Daemon',
        ...formatFields(infoFields(info), '  '),
        ...(connections.some(isOpen) ? ['', ...connectionLines(connections)] : []),
      ])
    })

  program
    .command('health')
    .description('Short health report of the daemon')
    .action(async () => {
      const health = await readHealth(cli)
      cli.result(health, [
        'Daemon Health',
        ...formatFields(
          [
            ['Status', `${health.status ?? 'unknown'}`],
            ['Uptime', formatUptime(numberOf(health, 'uptime_seconds'))],
            ['Connections', `${numberOf(health, 'connections')}`],
            ['Peers', `${numberOf(health, 'peers')}`],
            ['Bytes Sent', formatBytes(numberOf(health, 'bytes_sent'))],
            ['Bytes Recv', formatBytes(numberOf(health, 'bytes_recv'))],
            ...(typeof health.registry_reachable === 'boolean'
              ? ([['Registry', health.registry_reachable ? 'reachable' : 'NOT reachable']] as const)
              : []),
            ...(typeof health.beacon_reachable === 'boolean'
              ? ([['Beacon', health.beacon_reachable ? 'answers' : 'does NOT answer']] as const)
              : []),
          ],
          '  ',
        ),
      ])
    })

  program
    .command('peers')
    .description('Nodes this one has a tunnel to')
    .option('--search <text>', 'only peers whose node id or endpoint contains the text')
    .option('--limit <n>', 'show at most so many')
    .option('--all [bool]', 'show all (the default)')
    .action(async (options: { search?: string; limit?: string }) => {
      const info = await cli.request('peers: info', (daemon) => daemon.info())
      const { search = '' } = options
      const all = listOf(info, 'peer_list').filter(
        (peer) => `${peer.node_id}`.includes(search) || `${peer.endpoint ?? ''}`.includes(search),
      )
      const peers = options.limit === undefined ? all : all.slice(0, Number(options.limit) || 0)
      cli.result({ peers, total: all.length }, peerLines(peers, search))
    })

  program
    .command('connections')
    .description('Streams of this node')
    .action(async () => {
      const info = await cli.request('connections: info', (daemon) => daemon.info())
      const connections = listOf(info, 'conn_list')
      cli.result(
        { connections, total: connections.length },
        !connections.some(isOpen)
          ? [
              'no active connections',
              '  connect to a peer: pilotctl connect <address|hostname> --message "hello"',
            ]
          : connectionLines(connections),
      )
    })
}

async function readHealth(cli: Cli): Promise<DaemonReply> {
  const daemon = await cli.daemon()
  try {
    return await daemon.requestJson({ type: 'health' })
  } catch (error) {
    if (!(error instanceof PilotError) || !error.message.startsWith('unknown command'))
      throw requestFailure('health', error)
  }
  const info = await cli.request('health', (one) => one.info()) // a base daemon
  return {
    status: 'ok',
    uptime_seconds: numberOf(info, 'uptime_secs'),
    connections: numberOf(info, 'connections'),
    peers: numberOf(info, 'peers'),
    bytes_sent: numberOf(info, 'bytes_sent'),
    bytes_recv: numberOf(info, 'bytes_recv'),
  }
}

function infoFields(info: DaemonReply): (readonly [string, string])[] {
  const text = (key: string): string => (typeof info[key] === 'string' ? info[key] : '')
  const count = (key: string): string => `${numberOf(info, key)}`
  const publicKey = text('public_key')
  return [
    ['Node ID', count('node_id')],
    ['Address', text('address')],
    ...hostnameField(info),
    ...(typeof info.public === 'boolean'
      ? ([['Visibility', info.public ? 'public' : 'private']] as const)
      : []),
    ['Uptime', formatUptime(numberOf(info, 'uptime_secs'))],
    ['Connections', count('connections')],
    ['Ports', count('ports')],
    ['Peers', count('peers')],
    [
      'Encryption',
      info.encrypt === true
        ? `enabled (X25519 + AES-256-GCM), ${count('encrypted_peers')}/${count('peers')} peers encrypted, ${count('authenticated_peers')} authenticated`
        : 'disabled',
    ],
    [
      'Identity',
      `${info.identity === true ? 'persistent' : 'ephemeral'} (Ed25519 ${publicKey.slice(0, 16)}...)`,
    ],
    ...(text('owner') === '' ? [] : ([['Owner', text('owner')]] as const)),
    ...(text('registry') === ''
      ? []
      : ([
          [
            'Registry',
            `${text('registry')}${info.registry_reachable === false ? ' (NOT reachable)' : ''}`,
          ],
        ] as const)),
    ...beaconField(info),
    ...(text('endpoint') === '' ? [] : ([['Endpoint', text('endpoint')]] as const)),
    [
      'Traffic',
      `${formatBytes(numberOf(info, 'bytes_sent'))} sent / ${formatBytes(numberOf(info, 'bytes_recv'))} recv`,
    ],
    ['Packets', `${count('pkts_sent')} sent / ${count('pkts_recv')} recv`],
    ...dropsField(info),
    ...(text('version') === '' ? [] : ([['Version', text('version')]] as const)),
  ]
}

/** The name, or why there is none although one was given. */
export function hostnameField(info: DaemonReply): (readonly [string, string])[] {
  if (typeof info.hostname_error === 'string') return [['Hostname', `none: ${info.hostname_error}`]]
  const { hostname } = info
  return typeof hostname === 'string' && hostname !== '' ? [['Hostname', hostname]] : []
}

function beaconField({ beacon_addr: beacon, beacon_status: status }: DaemonReply) {
  if (typeof beacon !== 'string' || beacon === '') return []
  const note =
    status === 'silent'
      ? ' (does NOT answer: no relay, no hole punching)'
      : status === 'waiting'
        ? ' (has not answered yet)'
        : ''
  return [['Beacon', `${beacon}${note}`]] as const
}

/** Datagrams that were refused, by reason. */
function dropsField({ drops }: DaemonReply): (readonly [string, string])[] {
  if (typeof drops !== 'object' || drops === null) return []
  const counted = Object.entries(drops).filter(
    ([, count]) => typeof count === 'number' && count > 0,
  )
  if (counted.length === 0) return []
  counted.sort(([, a], [, b]) => b - a)
  const total = counted.reduce((sum, [, count]) => sum + count, 0)
  const named = counted.slice(0, DROPS_SHOWN).map(([reason, count]) => `${count} ${reason}`)
  if (counted.length > DROPS_SHOWN) named.push('...')
  return [['Dropped', `${total} (${named.join(', ')})`]]
}

function peerLines(peers: readonly DaemonReply[], search: string): string[] {
  if (peers.length === 0)
    return search === ''
      ? ['no peers connected', '  peers appear when you communicate with other nodes']
      : [`no peer matches ${JSON.stringify(search)}`]
  const hasPath = peers.some((peer) => typeof peer.path === 'string')
  const table = formatTable(
    ['NODE ID', 'ENDPOINT', 'ENCRYPTED', 'AUTH', ...(hasPath ? ['PATH', 'RTT'] : [])],
    peers.map((peer) => [
      `${peer.node_id}`,
      `${peer.endpoint || '-'}`,
      peer.encrypted === true ? 'yes (AES-256-GCM)' : 'no',
      peer.authenticated === true ? 'yes (Ed25519)' : 'no',
      ...(hasPath
        ? [pathText(peer), typeof peer.rtt_ms === 'number' ? `${peer.rtt_ms}ms` : '-']
        : []),
    ]),
  )
  return [...table, ...reasonLines(peers)]
}

/** What carries it, where `direct` does not say it: `direct (websocket)`. */
function pathText({ path, transport }: DaemonReply): string {
  const isMade = transport === 'websocket' || transport === 'webrtc'
  return `${path ?? '-'}${isMade ? ` (${transport})` : ''}`
}

/** Why a peer that is relayed has no direct path, where one was tried. */
function reasonLines(peers: readonly DaemonReply[]): string[] {
  return peers
    .filter((peer) => peer.path === 'relay' && typeof peer.direct_reason === 'string')
    .map((peer) => `  ${peer.node_id} is relayed: ${peer.direct_reason}`)
}

/** Streams that are over are remembered for a while; people need not see them. */
function isOpen({ state }: DaemonReply): boolean {
  return state !== 'TIME_WAIT'
}

function connectionLines(all: readonly DaemonReply[]): string[] {
  const connections = all.filter(isOpen)
  const size = (one: DaemonReply, key: string): string => formatBytes(numberOf(one, key))
  const count = (one: DaemonReply, key: string): string => `${numberOf(one, key)}`
  const shown = connections.slice(0, SHOWN_MAX)
  const [header, ...rows] = formatTable(
    [
      'ID',
      'LOCAL',
      'REMOTE ADDR',
      'RPORT',
      'STATE',
      'CWND',
      'FLIGHT',
      'SRTT',
      'UNACK',
      'OOO',
      'PEERWIN',
      'RCVWIN',
    ],
    shown.map((one) => [
      count(one, 'id'),
      count(one, 'local_port'),
      `${one.remote_addr}`,
      count(one, 'remote_port'),
      `${one.state}`,
      size(one, 'cong_win'),
      size(one, 'in_flight'),
      `${count(one, 'srtt_ms')}ms`,
      count(one, 'unacked'),
      count(one, 'ooo_buf'),
      size(one, 'peer_recv_win'),
      size(one, 'recv_win'),
    ]),
  )
  return [
    `Active connections: ${connections.length}`,
    '',
    header!,
    ...rows.flatMap((row, i) => {
      const one = shown[i]!
      return [
        row,
        `      tx: ${size(one, 'bytes_sent')} (${count(one, 'segs_sent')} segs)  rx: ${size(one, 'bytes_recv')} (${count(one, 'segs_recv')} segs)  retx: ${count(one, 'retransmits')}  fast-retx: ${count(one, 'fast_retx')}  sack: ${count(one, 'sack_recv')}/${count(one, 'sack_sent')}  dup-ack: ${count(one, 'dup_acks')}`,
      ]
    }),
    ...(connections.length > SHOWN_MAX ? [`... and ${connections.length - SHOWN_MAX} more`] : []),
  ]
}

function listOf(info: DaemonReply, key: string): DaemonReply[] {
  const value = info[key]
  return Array.isArray(value) ? value.filter((one) => typeof one === 'object' && one !== null) : []
}

/** Members that a daemon of another version may lack count as 0. */
function numberOf(info: DaemonReply, key: string): number {
  const value = info[key]
  return typeof value === 'number' && Number.isFinite(value) ? value : 0
}
