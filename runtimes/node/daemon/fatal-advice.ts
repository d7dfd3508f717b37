/** Fatal errors of the daemon: what happened, and what to do about it, on one line. */
import { PilotError } from '../../../core/errors.ts'
import type { DaemonConfig } from './config.ts'

export function adviceFor(error: unknown, config: DaemonConfig): string {
  if (!(error instanceof PilotError)) return error instanceof Error ? error.message : String(error)
  const advice = adviceOf(error, config)
  return (advice === '' ? error.message : `${error.message}; ${advice}`).replaceAll('\n', ' ')
}

function adviceOf({ code, message }: PilotError, config: DaemonConfig): string {
  switch (code) {
    case 'ERR_RELAY_UNAVAILABLE':
      return `is a rendezvous with -http running at ${config.rendezvousUrl}? proxies are taken from HTTPS_PROXY and HTTP_PROXY`
    case 'ERR_REGISTRY_UNAVAILABLE':
      if (config.transport === 'compat')
        return `is a rendezvous with -http running at ${config.rendezvousUrl}? proxies are taken from HTTPS_PROXY and HTTP_PROXY`
      return `is a rendezvous running at ${config.registry}? start one with: pilot-rendezvous, or name another with --registry`
    case 'ERR_REGISTRY':
      if (message.includes('no valid answer')) return 'something else than a registry listens there'
      return 'the registry refused this node; check --owner and the identity'
    case 'ERR_ADDRESS_IN_USE':
      if (message.includes('WebSocket')) return 'choose another address with --ws-listen'
      if (!message.includes(config.socket))
        return 'choose another UDP port with --listen (":0" takes any free one)'
      return message.includes('not a socket')
        ? 'choose another path with --socket'
        : 'stop it with: pilotctl daemon stop, or choose another path with --socket'
    case 'ERR_STORE_IO':
      if (message.includes('socket')) return 'choose another path with --socket'
      return 'check permissions and free space there, or choose another place with --identity, --log-file or HOME'
    case 'ERR_INVALID_ARGUMENT':
      return message.includes('beacon')
        ? 'name another with --beacon, or none with --beacon ""'
        : 'see: pilot-daemon --help'
    default:
      return '' // ERR_IDENTITY_INVALID and ERR_STORE_CORRUPT say it themselves
  }
}
