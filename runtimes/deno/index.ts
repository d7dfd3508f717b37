/** `pilot-ts/deno`: the public surface in Deno. */
export type { CongestionName } from '../../core/index.ts'
export { ERROR_CODES, Identity, PilotError, type PilotErrorCode } from '../../core/index.ts'
export { nodeCrypto } from '../node/crypto.ts'
export { acceptSecure, dialSecure } from '../node/secure.ts'
export { nameserverOf } from '../node/services.ts'
export type * from '../shared/api.ts'
export type { Transport } from '../shared/host-node.ts'
export {
  type Broadcast,
  type BroadcastOptions,
  broadcastDatagram,
} from '../shared/services/broadcast.ts'
export type { NameClient } from '../shared/services/name-service.ts'
export type {
  SecureConnection,
  SecureInfo,
  SecureOptions,
} from '../shared/services/secure-connection.ts'
export type { Storage } from '../shared/storage.ts'
export { type CreateNodeOptions, createNode, loadIdentity } from './create-node.ts'
export { KvStorage } from './kv-storage.ts'
