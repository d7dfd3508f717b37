/** `pilot-ts/edge`: the public surface in workers at the edge. */
export type { CongestionName } from '../../core/index.ts'
export { ERROR_CODES, Identity, PilotError, type PilotErrorCode } from '../../core/index.ts'
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
// Under the name that every runtime's entry has, too: type checkers know one of them.
export { edgeCrypto, edgeCrypto as nodeCrypto } from './crypto.ts'
export { type DurableObjectStorageLike, DurableStorage } from './durable-storage.ts'
export { MemoryStorage } from './memory-storage.ts'
export { acceptSecure, dialSecure } from './secure.ts'
export { nameserverOf } from './services.ts'
export type { FetcherLike } from './web-socket.ts'
