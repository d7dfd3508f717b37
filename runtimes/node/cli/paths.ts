/** Files of one user's installation (spec/08 §1). */
import { existsSync } from 'node:fs'
import { join } from 'node:path'

export interface PilotPaths {
  readonly directory: string
  readonly config: string
  readonly pid: string
  readonly lock: string
  readonly log: string
  readonly received: string
  readonly inbox: string
  readonly gatewayPid: string
  /** Of the gateway that runs, for the other gateway commands. */
  readonly gatewaySocket: string
  /** Addresses that the gateway added to the loopback interface. */
  readonly gatewayAliases: string
}

export function pilotPaths(home: string): PilotPaths {
  const directory = join(home, '.pilot')
  return {
    directory,
    config: join(directory, 'config.json'),
    pid: join(directory, 'pilot.pid'),
    lock: join(directory, 'pilot.lock'),
    log: join(directory, 'pilot.log'),
    received: join(directory, 'received'),
    inbox: join(directory, 'inbox'),
    gatewayPid: join(directory, 'gateway.pid'),
    gatewaySocket: join(directory, 'gateway.sock'),
    gatewayAliases: join(directory, 'gateway-aliases.json'),
  }
}

/** The identity that is there: of later versions first, then base; else where to create one (spec/08 §7). */
export function defaultIdentityPath(directory: string): string {
  const later = join(directory, 'identity.json')
  const base = join(directory, 'identity.key')
  return !existsSync(later) && existsSync(base) ? base : later
}

export const DEFAULT_SOCKET = '/tmp/pilot.sock'
/** Deviation: the reference's public rendezvous is not ours to send people to. */
export const DEFAULT_REGISTRY = '127.0.0.1:9000'

/** The rendezvous keeps the beacon beside the registry: same host, port 9001 (spec/08 §7). */
export function defaultBeacon(registry: string): string {
  const host = registry.replace(/:\d+$/, '')
  return `${host}:9001`
}
