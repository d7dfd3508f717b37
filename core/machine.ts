/**
 * The one contract of every protocol layer (STYLE §1): input and API methods mutate, `poll*` methods
 * drain. After any mutation, drain until nothing is left, then arm one timer for `pollTimeout()`.
 */

import { formatIp, ipBytes } from './ip.ts'

/** Milliseconds on a monotonic clock with an arbitrary zero. */
export type Instant = number

/**
 * Real IP and port a datagram comes from or goes to. Adapters intern them: one object per
 * (address, port), so that machines may compare with `===` before they compare fields.
 */
export interface Endpoint {
  /** IPv4 in dotted form, also for IPv4-mapped IPv6 sources; else IPv6 without brackets. */
  readonly address: string
  /** 1..65535 */
  readonly port: number
}

/** False when either is missing. */
export function sameEndpoint(a: Endpoint | undefined, b: Endpoint | undefined): boolean {
  return (
    a === b || (a !== undefined && b !== undefined && a.port === b.port && a.address === b.address)
  )
}

/** `address:port`, IPv6 as `[address]:port`. */
export function formatEndpoint({ address, port }: Endpoint): string {
  return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`
}

/** `ip:port` or `[ip]:port` with a numeric IP and a port of 1..65535; IPv4-mapped IPv6 becomes IPv4. */
export function parseEndpoint(text: string): Endpoint | undefined {
  const match = /^(?:\[([^\]]+)\]|([^:]+)):(\d{1,5})$/.exec(text)
  const bytes = match === null ? undefined : ipBytes(match[1] ?? match[2]!)
  const port = Number(match?.[3])
  if (bytes === undefined || port < 1 || port > 0xffff) return undefined
  return { address: formatIp(bytes), port }
}

/** A machine without datagrams of its own. Early, late and repeated `handleTimeout` calls are harmless. */
export interface Machine<Event> {
  handleTimeout(now: Instant): void
  pollTimeout(): Instant | undefined
  pollEvent(): Event | undefined
}
