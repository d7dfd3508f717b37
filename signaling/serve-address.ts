/** Listen addresses as flags give them, and IP addresses as sockets report them. */
import { UsageError } from '../core/errors.ts'
import { formatIp, ipBytes } from '../core/ip.ts'
import type { Endpoint } from '../core/machine.ts'

export interface ListenAddress {
  /** `undefined`: every address of this machine. */
  readonly host: string | undefined
  /** 0: any free port. */
  readonly port: number
}

/** `host:port`, `:port` or `[ipv6]:port`. @throws {UsageError} `ERR_INVALID_ARGUMENT`. */
export function parseListenAddress(text: string): ListenAddress {
  const match = /^(?:\[([0-9A-Fa-f:.%\w]+)\]|([^:\s]*)):([0-9]{1,5})$/.exec(text)
  const port = Number(match?.[3])
  if (match === null || port > 0xffff)
    throw new UsageError(
      'ERR_INVALID_ARGUMENT',
      `expected a listen address host:port or :port, got ${JSON.stringify(text)}`,
    )
  const host = match[1] ?? match[2] ?? ''
  const isWildcard = host === '' || host === '0.0.0.0' || host === '::'
  return { host: isWildcard && host !== '0.0.0.0' ? undefined : host, port }
}

/** IPv4 dotted also for IPv4-mapped IPv6, IPv6 as RFC 5952, without zone; `undefined` when it is no IP. */
export function canonicalIp(address: string | undefined): string | undefined {
  const bytes = address === undefined ? undefined : ipBytes(address)
  return bytes === undefined ? undefined : formatIp(bytes)
}

/** Endpoint of a socket's peer, `undefined` when it is already gone. */
export function endpointOf(
  address: string | undefined,
  port: number | undefined,
): Endpoint | undefined {
  const ip = canonicalIp(address)
  return ip === undefined || port === undefined ? undefined : { address: ip, port }
}
