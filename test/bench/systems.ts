/** What can be measured, in the order of the table. */
import type { Kind } from '../interop/programs.ts'

export type Group = 'ours' | 'ceiling' | 'peer' | 'reference'

export interface Row {
  /** Of `--only`. */
  readonly id: string
  readonly title: string
  readonly group: Group
  readonly encryption: 'end to end' | 'channel' | 'none'
  /** Beneath this folder: compiled ones in `systems/`, those with packages of their own in `peers/`. */
  readonly module: string
  readonly options?: Readonly<Record<string, unknown>>
  readonly hasBroker?: true
  /** Arguments of both daemons, where there are daemons. */
  readonly daemon?: readonly string[]
  /** Daemons of this kind, measured by commands (`commands.ts`). */
  readonly commands?: Kind
}

const SMALL = { datagramBytesMax: 1232 }

function ours(id: string, title: string, options: Row['options']): Row {
  const module = 'systems/pilot.ts'
  return { id, title, group: 'ours', encryption: 'end to end', module, options: options ?? {} }
}

function daemon(id: string, title: string, args: readonly string[]): Row {
  const module = 'systems/pilot-daemon.ts'
  return { id, title, group: 'ours', encryption: 'end to end', module, daemon: args }
}

function ceiling(id: string, title: string, datagramBytes: number): Row {
  const module = 'systems/udp.ts'
  const options = { datagramBytes }
  return { id, title, group: 'ceiling', encryption: 'end to end', module, options }
}

function peer(
  id: string,
  title: string,
  encryption: Row['encryption'],
  module: string,
  more: Pick<Row, 'options' | 'hasBroker'> = {},
): Row {
  return { id, title, group: 'peer', encryption, module, ...more }
}

export const ROWS: readonly Row[] = [
  ours('ours-1152', 'ours, 1152-byte segments', { ...SMALL, native: false }),
  ours('ours-1152-native', 'ours, 1152-byte segments, koffi', { ...SMALL, native: true }),
  ours('ours-mtu', 'ours, path MTU', { native: false }),
  ours('ours-mtu-native', 'ours, path MTU, koffi', { native: true }),
  daemon('ours-daemon-1152', 'ours, daemons, 1152-byte segments, koffi', ['-datagram-max', '1232']),
  daemon('ours-daemon', 'ours, daemons, path MTU, koffi', []),
  ceiling('udp-1152', 'bare UDP + AES-256-GCM, 1152 bytes', 1152),
  ceiling('udp-16384', 'bare UDP + AES-256-GCM, 16 KiB', 16_384),
  peer('tcp', 'raw TCP', 'none', 'systems/tcp.ts'),
  peer('tls', 'TLS 1.3', 'channel', 'systems/tcp.ts', { options: { isSecure: true } }),
  peer('http2', 'HTTP/2 over TLS', 'channel', 'systems/http2.ts'),
  peer('grpc', 'gRPC over TLS (@grpc/grpc-js)', 'channel', 'peers/grpc.mjs'),
  peer('ws', 'WebSocket (ws)', 'none', 'peers/websocket.mjs'),
  peer('wss', 'WebSocket over TLS (ws)', 'channel', 'peers/websocket.mjs', {
    options: { isSecure: true },
  }),
  peer('hyperdht', 'hyperdht (Noise over UDX)', 'end to end', 'peers/hyperdht.mjs', {
    hasBroker: true,
  }),
  peer('libp2p-tcp', 'js-libp2p TCP, Noise, yamux', 'end to end', 'peers/libp2p.mjs'),
  peer('libp2p-quic', 'js-libp2p QUIC', 'end to end', 'peers/libp2p.mjs', {
    options: { isQuic: true },
  }),
  peer('data-channel', 'WebRTC (node-datachannel)', 'end to end', 'peers/data-channel.mjs'),
  commands('pilotctl-ours', 'by pilotctl: ours', 'ours'),
  commands('pilotctl-g1', 'by pilotctl: reference, February 2026', 'G1'),
  commands('pilotctl-g2', 'by pilotctl: reference, v1.9', 'G2'),
]

function commands(id: string, title: string, kind: Kind): Row {
  const group = kind === 'ours' ? 'ours' : 'reference'
  return { id, title, group, encryption: 'end to end', module: '', commands: kind }
}

/** Rows by id, by the beginning of an id, or by group; all of them without words. */
export function rowsOf(words: readonly string[]): Row[] {
  if (words.length === 0) return [...ROWS]
  const matches = (row: Row, word: string): boolean =>
    row.id === word ||
    row.id.startsWith(`${word}-`) ||
    row.group === word ||
    `${row.group}s` === word
  for (const word of words)
    if (!ROWS.some((row) => matches(row, word)))
      throw new Error(`nothing is called ${word}; there are ${ROWS.map(({ id }) => id).join(', ')}`)
  return ROWS.filter((row) => words.some((word) => matches(row, word)))
}
