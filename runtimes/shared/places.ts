/** Places as people write them: hosts, endpoints and what to listen on. */
import { type Endpoint, parseEndpoint, UsageError } from '../../core/index.ts'
import { ipBytes } from '../../core/ip.ts'

/** @throws {UsageError} `ERR_INVALID_ARGUMENT` unless the text is `host:port` with a port of 1 to 65535. */
export function parseHostPort(text: string, what: string): { host: string; port: number } {
  const match = /^(?:\[([^\]]+)\]|([^:[\]]+)):(\d{1,5})$/.exec(text)
  const host = match?.[1] ?? match?.[2]
  const port = Number(match?.[3])
  if (host === undefined || port < 1 || port > 0xffff)
    throw new UsageError(
      'ERR_INVALID_ARGUMENT',
      `the ${what} is host:port, got ${JSON.stringify(text)}`,
    )
  return { host, port }
}

/** `''` is every address. @throws {UsageError} `ERR_INVALID_ARGUMENT`. */
export function parseListen(text: string): Endpoint {
  const match = /^(?:\[([^\]]*)\]|([^:]*)):(\d{1,5})$/.exec(text)
  const host = match?.[1] ?? match?.[2] ?? ''
  const port = Number(match?.[3])
  const address =
    host === 'localhost' ? '127.0.0.1' : host === '0.0.0.0' || host === '::' ? '' : host
  if (match === null || port > 0xffff || (address !== '' && ipBytes(address) === undefined))
    throw new UsageError(
      'ERR_INVALID_ARGUMENT',
      `expected an address to listen on as ip:port or :port, got ${JSON.stringify(text)}`,
    )
  return { address, port }
}

/** @throws {UsageError} `ERR_INVALID_ARGUMENT` unless the text is `ip:port`. */
export function requireEndpoint(text: string): Endpoint {
  const endpoint = parseEndpoint(text)
  if (endpoint === undefined)
    throw new UsageError(
      'ERR_INVALID_ARGUMENT',
      `the endpoint is ip:port, got ${JSON.stringify(text)}`,
    )
  return endpoint
}
