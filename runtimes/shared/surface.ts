/** What the entry of every runtime exports beside its own `createNode`. */
export type { CongestionName } from '../../core/index.ts'
export { ERROR_CODES, Identity, PilotError, type PilotErrorCode } from '../../core/index.ts'
export type * from './api.ts'
export type { Transport } from './host-node.ts'
export { type Broadcast, type BroadcastOptions, broadcastDatagram } from './services/broadcast.ts'
export type { NameClient } from './services/name-service.ts'
export type { SecureConnection, SecureInfo, SecureOptions } from './services/secure-connection.ts'
