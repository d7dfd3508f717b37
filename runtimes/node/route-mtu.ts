/**
 * The MTU of the interface that leads to an endpoint: where path MTU discovery begins. A larger datagram would be
 * cut to fragments by this machine's own kernel, which makes every loss larger.
 */
import { readFileSync } from 'node:fs'
import { isIPv6 } from 'node:net'
import { networkInterfaces } from 'node:os'
import type { Endpoint } from '../../core/index.ts'
import { ipBytes } from '../../core/ip.ts'

/** Where the machine does not tell. */
const ETHERNET_MTU = 1500
const MACOS_LOOPBACK_MTU = 16_384
/** IPv4 and IPv6 header with UDP's. */
const HEADER_BYTES = { v4: 28, v6: 48 } as const
const UDP_PAYLOAD_MAX = 65_507

/** What is read from the system; given by tests. */
export interface RouteSources {
  readonly platform: string
  readonly ownAddresses: () => readonly string[]
  /** Text of a file. @throws where there is none. */
  readonly read: (path: string) => string
}

const system: RouteSources = {
  platform: process.platform,
  ownAddresses: () =>
    Object.values(networkInterfaces()).flatMap((list) => (list ?? []).map((one) => one.address)),
  read: (path) => readFileSync(path, 'utf8'),
}

/** Largest UDP payload that leaves for `to` in one piece, in bytes. */
export function datagramBytesTo({ address }: Endpoint, sources: RouteSources = system): number {
  const headers = isIPv6(address) ? HEADER_BYTES.v6 : HEADER_BYTES.v4
  return Math.min(UDP_PAYLOAD_MAX, mtuTo(address, sources) - headers)
}

function mtuTo(address: string, sources: RouteSources): number {
  const isOwn =
    /^127\./.test(address) || address === '::1' || sources.ownAddresses().includes(address)
  if (sources.platform === 'darwin' && isOwn) return MACOS_LOOPBACK_MTU
  if (sources.platform !== 'linux') return ETHERNET_MTU
  try {
    const device = isOwn ? 'lo' : deviceTo(address, sources)
    const mtu =
      device === undefined ? Number.NaN : Number(sources.read(`/sys/class/net/${device}/mtu`))
    return mtu >= 1280 ? mtu : ETHERNET_MTU
  } catch {
    return ETHERNET_MTU
  }
}

interface RouteEntry {
  readonly device: string
  readonly prefix: bigint
  readonly bits: number
  readonly metric: number
}

/** The interface of the longest matching route, of several the one of the lowest metric. */
function deviceTo(address: string, { read }: RouteSources): string | undefined {
  const bytes = ipBytes(address)
  if (bytes === undefined) return undefined
  const isV6 = bytes.length === 16
  const width = 8 * bytes.length
  const target = bigEndian(bytes)
  const routes = isV6
    ? ipv6Routes(read('/proc/net/ipv6_route'))
    : ipv4Routes(read('/proc/net/route'))
  const matches = routes.filter(
    ({ prefix, bits }) => target >> BigInt(width - bits) === prefix >> BigInt(width - bits),
  )
  matches.sort((a, b) => b.bits - a.bits || a.metric - b.metric)
  return matches[0]?.device
}

/** `Iface Destination Gateway Flags RefCnt Use Metric Mask …`, addresses in hexadecimal, low byte first. */
function ipv4Routes(text: string): RouteEntry[] {
  return rows(text.split('\n').slice(1), 8).map(
    ([device = '', destination = '', , , , , metric = '', mask = '']) => ({
      device,
      prefix: littleEndian(destination),
      bits: [...littleEndian(mask).toString(2)].filter((bit) => bit === '1').length,
      metric: Number(metric),
    }),
  )
}

/** `destination bits source bits next-hop metric refcnt use flags device`, all but the name in hexadecimal. */
function ipv6Routes(text: string): RouteEntry[] {
  return rows(text.split('\n'), 10).map(
    ([destination = '', bits = '', , , , metric = '', , , , device = '']) => ({
      device,
      prefix: BigInt(`0x${destination}`),
      bits: Number.parseInt(bits, 16),
      metric: Number.parseInt(metric, 16),
    }),
  )
}

function rows(lines: readonly string[], columns: number): string[][] {
  return lines.map((line) => line.trim().split(/\s+/)).filter((row) => row.length >= columns)
}

function littleEndian(hex: string): bigint {
  return BigInt(`0x${hex.match(/../g)?.reverse().join('') ?? '0'}`)
}

function bigEndian(bytes: Uint8Array): bigint {
  return BigInt(`0x${Buffer.from(bytes).toString('hex')}`)
}
