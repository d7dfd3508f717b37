/** Starts a TCP listener and says in words why it cannot. */
import type { Server } from 'node:net'
import { NetworkError } from '../core/errors.ts'
import { canonicalIp, type ListenAddress } from './serve-address.ts'

/**
 * The bound address. Without a host: all addresses, IPv6 and IPv4.
 *
 * @throws {NetworkError} `ERR_ADDRESS_IN_USE`, `ERR_INVALID_ARGUMENT`.
 */
export async function listen(
  server: Server,
  { host, port }: ListenAddress,
  what: string,
  flag: string,
): Promise<{ address: string; port: number }> {
  await new Promise<void>((resolve, reject) => {
    const fail = (cause: NodeJS.ErrnoException): void =>
      reject(listenError(cause, `${host ?? ''}:${port}`, what, flag))
    server.once('error', fail)
    server.listen({ port, ...(host === undefined ? {} : { host }) }, () => {
      server.off('error', fail)
      resolve()
    })
  })
  const bound = server.address()
  if (bound === null || typeof bound === 'string')
    throw new NetworkError('ERR_INVALID_ARGUMENT', `${what} is not bound to an IP address`)
  return { address: canonicalIp(bound.address) ?? bound.address, port: bound.port }
}

/** Says what to do, in one line. */
export function listenError(
  cause: NodeJS.ErrnoException,
  address: string,
  what: string,
  flag: string,
): NetworkError {
  if (cause.code === 'EADDRINUSE')
    return new NetworkError(
      'ERR_ADDRESS_IN_USE',
      `${what} cannot listen on ${address}: another program does; stop it or choose another port with ${flag}`,
      { cause },
    )
  const why =
    cause.code === 'EACCES'
      ? 'permission denied; choose a port above 1023'
      : cause.code === 'EADDRNOTAVAIL' || cause.code === 'ENOTFOUND'
        ? 'this machine does not have that address'
        : cause.message
  return new NetworkError(
    'ERR_INVALID_ARGUMENT',
    `${what} cannot listen on ${address}: ${why} (${flag})`,
    { cause },
  )
}
