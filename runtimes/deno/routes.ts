/** What Deno tells of this machine's interfaces, as far as it is permitted: all of it is only useful, none needed. */
import type { Endpoint } from '../../core/index.ts'
import { lanAddresses } from '../node/lan-addresses.ts'
import { datagramBytesTo, type RouteSources } from '../node/route-mtu.ts'
import { hasPermission } from './permission.ts'

/** Of a receive buffer that Deno cannot enlarge (208 KiB on Linux), this many datagrams fill it at once. */
const DATAGRAM_BYTES_MAX = 8192

/** `--allow-sys=networkInterfaces`; without it peers behind the same NAT are found by the beacon alone. */
export function denoLanAddresses(local: Endpoint): readonly string[] {
  const interfaces: Parameters<typeof lanAddresses>[1] = {}
  for (const { name, address, netmask, mac, cidr, family, scopeid } of ownInterfaces()) {
    const internal = address.startsWith('127.') || address === '::1'
    const info = { address, netmask, mac, cidr, internal }
    const entry =
      family === 'IPv4' ? { ...info, family } : { ...info, family, scopeid: scopeid ?? 0 }
    const list = interfaces[name] ?? []
    list.push(entry)
    interfaces[name] = list
  }
  return lanAddresses(local, interfaces)
}

/** Routes are in `/proc`, which Deno opens only with every permission: else a link is taken for Ethernet. */
export function denoDatagramBytesTo(to: Endpoint): number {
  // The loopback interface of every system carries more than that.
  if (/^127\.|^::1$/.test(to.address)) return DATAGRAM_BYTES_MAX
  return Math.min(DATAGRAM_BYTES_MAX, datagramBytesTo(to, sources))
}

const sources: RouteSources = {
  platform: Deno.build.os,
  ownAddresses: () => ownInterfaces().map(({ address }) => address),
  read: (path) => Deno.readTextFileSync(path),
}

function ownInterfaces(): readonly Deno.NetworkInterfaceInfo[] {
  return hasPermission({ name: 'sys', kind: 'networkInterfaces' }) ? Deno.networkInterfaces() : []
}
