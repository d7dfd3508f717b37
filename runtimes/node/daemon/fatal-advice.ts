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
      return `is a rendezvous running at ${config.registry}? start one with: pilot-rendezvous, or name another with -registry`
    case 'ERR_REGISTRY':
      return 'the registry refused this node; check -hostname, -owner and the identity'
    case 'ERR_ADDRESS_IN_USE':
      return message.includes(config.socket)
        ? 'stop it with: pilotctl daemon stop, or choose another with -socket'
        : 'choose another UDP port with -listen (":0" takes any free one)'
    case 'ERR_STORE_IO':
      return 'check the permissions and the free space there, or choose another place (HOME, -identity, -socket, -log-file)'
    case 'ERR_INVALID_ARGUMENT':
      return 'see: pilot-daemon --help'
    default:
      return '' // ERR_IDENTITY_INVALID and ERR_STORE_CORRUPT say it themselves
  }
}
