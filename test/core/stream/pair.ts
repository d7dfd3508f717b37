/** Two ends for stream tests: a scripted peer that speaks packets, and two connections back to back. */
import {
  Connection,
  type ConnectionEvent,
  type ConnectionOptions,
} from '../../../core/stream/connection.ts'
import type { ConnectionTuning } from '../../../core/stream/tuning.ts'
import { decodePacket, type Packet } from '../../../core/wire/packet.ts'

export const SYN = 1
export const ACK = 2
export const FIN = 4
export const RST = 8
export const NONE: Uint8Array = new Uint8Array(0)

export const A = { address: { network: 0, node: 1 }, port: 49152 }
export const B = { address: { network: 0, node: 2 }, port: 1000 }

export function options(
  isn = 1000,
  tuning: Partial<ConnectionTuning> = {},
  now = 0,
): ConnectionOptions {
  return { id: 1, local: A, remote: B, isn, now, tuning }
}

/** Everything due at `now`, decoded. */
export function drain(connection: Connection, now: number): Packet[] {
  const packets: Packet[] = []
  for (;;) {
    const out = new Uint8Array(70_000)
    const length = connection.pollTransmit(out, 3, now)
    if (length === 0) return packets
    packets.push(decodePacket(out.subarray(3, 3 + length)))
    if (packets.length > 100_000) throw new Error('endless transmission')
  }
}

export function events(connection: Connection): ConnectionEvent[] {
  const list: ConnectionEvent[] = []
  for (let event = connection.pollEvent(); event !== undefined; event = connection.pollEvent())
    list.push(event)
  return list
}

/** Everything readable, joined. */
export function readAll(connection: Connection, now: number): Uint8Array {
  const parts: Uint8Array[] = []
  for (let part = connection.read(now); part !== undefined; part = connection.read(now))
    parts.push(part)
  return Uint8Array.from(Buffer.concat(parts))
}

const FLAG_TEXT: readonly [number, string][] = [
  [SYN, 'SYN'],
  [FIN, 'FIN'],
  [RST, 'RST'],
  [ACK, 'ACK'],
]

/** `ACK 1+10 ack 5 win 1024`; blocks of a SACK are shown as `sack 5-9`. */
export function show(packet: Packet): string {
  const flags = FLAG_TEXT.filter(([bit]) => (packet.flags & bit) !== 0)
    .map(([, text]) => text)
    .join('+')
  const { payload } = packet
  const isSack = payload.length >= 13 && Buffer.from(payload.subarray(0, 4)).toString() === 'SACK'
  const size = payload.length > 0 && !isSack ? `+${payload.length}` : ''
  const ack = (packet.flags & ACK) !== 0 ? ` ack ${packet.ack}` : ''
  let blocks = ''
  if (isSack) {
    const view = new DataView(payload.buffer, payload.byteOffset)
    for (let i = 0; i < payload[4]!; i++)
      blocks += ` sack ${view.getUint32(5 + 8 * i)}-${view.getUint32(9 + 8 * i)}`
  }
  return `${flags} ${packet.seq}${size}${ack}${blocks}`
}

export function shown(connection: Connection, now: number): string[] {
  return drain(connection, now).map(show)
}

/** An established dialer: ours starts at `isn + 1`, the peer's at `peerIsn + 1`. */
export function established(
  tuning: Partial<ConnectionTuning> = {},
  { isn = 1000, peerIsn = 0, window = 512, now = 0 } = {},
): Connection {
  const connection = Connection.dial(options(isn, tuning, now))
  drain(connection, now)
  connection.handleSegment(SYN | ACK, peerIsn, isn + 1, window, NONE, now)
  drain(connection, now)
  events(connection)
  return connection
}

/** Runs `connection` through its timers up to `until`; what it sends, with times. */
export function run(connection: Connection, from: number, until: number): [number, string][] {
  const log: [number, string][] = []
  let now = from
  for (;;) {
    for (const packet of drain(connection, now)) log.push([now, show(packet)])
    const at = connection.pollTimeout()
    if (at === undefined || at > until) return log
    if (at < now) throw new Error(`timer ${at} lies before ${now}`)
    now = at
    connection.handleTimeout(now)
    const next = connection.pollTimeout()
    drainInto(connection, now, log)
    const after = connection.pollTimeout()
    if (after !== undefined && after <= now) throw new Error(`timer stays at ${after} (${next})`)
  }
}

function drainInto(connection: Connection, now: number, log: [number, string][]): void {
  for (const packet of drain(connection, now)) log.push([now, show(packet)])
}

export function sackPayload(...blocks: readonly (readonly [number, number])[]): Uint8Array {
  const out = new Uint8Array(5 + 8 * blocks.length)
  out.set(Buffer.from('SACK'))
  out[4] = blocks.length
  const view = new DataView(out.buffer)
  blocks.forEach(([left, right], i) => {
    view.setUint32(5 + 8 * i, left)
    view.setUint32(9 + 8 * i, right)
  })
  return out
}

export function bytes(length: number, from = 0): Uint8Array {
  return Uint8Array.from({ length }, (_, i) => (from + i) & 255)
}
