/** Public surface of the rendezvous server: re-exports only. */
export type { BeaconLimits, CompatLimits, RegistryLimits } from './limits.ts'
export type { Log, LogFields, LogFormat, LogLevel } from './log.ts'
export { createLog, LOG_LEVELS } from './log.ts'
export type { ConnectionLimits } from './registry-sessions.ts'
export type { Rendezvous, RendezvousOptions } from './serve-node.ts'
export { createRendezvous } from './serve-node.ts'
export type { TlsKeyPair } from './serve-registry.ts'
export type { RegistryStats } from './statistics.ts'
