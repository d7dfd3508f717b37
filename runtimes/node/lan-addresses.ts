/** Where this machine is reached inside of its own network, for peers behind the same NAT (spec/05 §5.1). */
import { networkInterfaces } from 'node:os'
import { type Endpoint, formatEndpoint } from '../../core/index.ts'

/** What a v1.9 registry and ours keep of them. */
const ADDRESSES_MAX = 16
const PRIVATE = /^(?:10\.|192\.168\.|169\.254\.|172\.(?:1[6-9]|2\d|3[01])\.)/

/** `ip:port` of private and link-local IPv4 addresses at which the socket takes datagrams; at most 16. */
export function lanAddresses(
  { address: bound, port }: Endpoint,
  interfaces: ReturnType<typeof networkInterfaces> = networkInterfaces(),
): readonly string[] {
  const isWildcard = bound === '0.0.0.0' || bound === '::'
  const addresses = Object.values(interfaces)
    .flatMap((addresses) => addresses ?? [])
    .filter(({ family, internal }) => family === 'IPv4' && !internal)
    .map(({ address }) => address)
    .filter((address) => PRIVATE.test(address) && (isWildcard || address === bound))
  return addresses.slice(0, ADDRESSES_MAX).map((address) => formatEndpoint({ address, port }))
}
