/** Error replies (spec/06 §5): the sheet's texts and prefixes, which drivers match on. */
import { PilotError } from '../../../core/errors.ts'

/** Complete text for a failed Dial of `nodeId` (spec/06 §5.2). */
export function dialErrorText(error: unknown, nodeId: number): string {
  if (!(error instanceof PilotError)) return `send SYN: ${messageOf(error)}`
  switch (error.code) {
    case 'ERR_CONNECTION_REFUSED':
      return 'connection refused'
    case 'ERR_DIAL_TIMEOUT':
    case 'ERR_TIMEOUT':
      return 'dial timeout'
    case 'ERR_DIAL_SELF':
      return 'dial to self'
    case 'ERR_ABORTED':
      return 'dial cancelled'
    case 'ERR_LIMIT':
      return `dial: ${error.message}`
    case 'ERR_NODE_CLOSED':
      return 'daemon is stopping'
    case 'ERR_PEER_UNRESOLVED':
    case 'ERR_REGISTRY':
    case 'ERR_REGISTRY_UNAVAILABLE':
      return error.message.startsWith('resolve node ')
        ? error.message
        : `resolve node ${nodeId}: ${registryText(error)}`
    default:
      return error.message
  }
}

/** `<label>: registry: <message>`; the second part only where the registry is the cause. */
export function requestErrorText(error: unknown, label: string): string {
  if (
    error instanceof PilotError &&
    (error.code === 'ERR_REGISTRY' ||
      error.code === 'ERR_REGISTRY_UNAVAILABLE' ||
      error.code === 'ERR_HOSTNAME_NOT_FOUND' ||
      error.code === 'ERR_PEER_UNRESOLVED')
  )
    return `${label}: ${registryText(error)}`
  return `${label}: ${messageOf(error)}`
}

export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}

function registryText({ code, message }: PilotError): string {
  const text = message.replace(/^registry: /, '')
  return code === 'ERR_REGISTRY_UNAVAILABLE'
    ? `registry: ${UNREACHABLE}${text}`
    : `registry: ${text}`
}

/** Tells a registry that was not reached from one that refused. */
export const UNREACHABLE = 'cannot be reached: '
