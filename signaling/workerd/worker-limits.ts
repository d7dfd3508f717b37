/** What a rendezvous in one Durable Object takes: 128 MB of memory, 32 768 WebSockets that sleep, one thread. */
import type { CompatLimits, RegistryLimits } from '../limits.ts'
import { DEFAULT_COMPAT_LIMITS, DEFAULT_REGISTRY_LIMITS } from '../limits.ts'
import { type ConnectionLimits, DEFAULT_CONNECTION_LIMITS } from '../registry-sessions.ts'

export const REGISTRY_LIMITS: RegistryLimits = { ...DEFAULT_REGISTRY_LIMITS, nodesMax: 50_000 }

export const COMPAT_LIMITS: CompatLimits = {
  ...DEFAULT_COMPAT_LIMITS,
  connectionsMax: 16_000,
  bytesPerSecond: 32 * 1024 * 1024,
}

export const CONNECTION_LIMITS: ConnectionLimits = {
  ...DEFAULT_CONNECTION_LIMITS,
  connectionsMax: 16_000,
  unfinishedBytesMax: 16 * 1024 * 1024,
}

/** Said in the log when it starts, and on the status page. */
export const LIMITATIONS: readonly string[] = [
  'This rendezvous runs in a worker: there is no UDP, so no beacon; nodes are reached through its relay only.',
  'There is no registry on TCP: nodes register over a WebSocket (transport compat).',
]
