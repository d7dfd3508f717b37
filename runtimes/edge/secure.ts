/** The secure channel (port 443) at the edge: `dialSecure`, and `acceptSecure` for connections of a listener. */
import type { Address } from '../../core/index.ts'
import type { DialOptions, PilotConnection, PilotNode } from '../shared/api.ts'
import { unixNow } from '../shared/clock.ts'
import * as shared from '../shared/services/secure-connection.ts'
import { edgeCrypto } from './crypto.ts'
import { setTimer } from './timer.ts'

const platform: shared.SecurePlatform = {
  crypto: edgeCrypto,
  unixSeconds: unixNow,
  now: () => performance.now(),
  setTimer,
}

/**
 * Dials port 443 of a node, or another, and resolves when the channel is open: about a second later than the stream
 * where the peer is a reference without authentication.
 *
 * @throws {PilotError} what `node.dial` throws, `ERR_SECURE_CHANNEL`, `ERR_SECURE_AUTH`.
 */
export function dialSecure(
  node: PilotNode,
  to: { readonly address: Address; readonly port?: number },
  options: shared.SecureOptions & DialOptions = {},
): Promise<shared.SecureConnection> {
  return shared.dialSecure(node, to, options, platform)
}

/**
 * The listening side on a connection that was accepted. In mode `auto` it learns the version from what the client
 * sends first: a service that speaks first names the version instead.
 */
export function acceptSecure(
  node: PilotNode,
  connection: PilotConnection,
  options: shared.SecureOptions = {},
): shared.SecureConnection {
  return new shared.SecureConnection(node, connection, 'server', options, platform)
}
