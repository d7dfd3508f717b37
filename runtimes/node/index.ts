/** `pilot-ts/node`: the public surface in Node. */
export type { CongestionName } from '../../core/index.ts'
export { ERROR_CODES, Identity, PilotError, type PilotErrorCode } from '../../core/index.ts'
export type * from '../shared/api.ts'
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
export { type CreateNodeOptions, createNode, loadIdentity, type Transport } from './create-node.ts'
export { nodeCrypto } from './crypto.ts'
export type { WebRtcBackend, WebRtcChoice } from './rtc/backend.ts'
export { acceptSecure, dialSecure } from './secure.ts'
export { nameserverOf } from './services.ts'
export type { WebRtcOptions } from './web-rtc.ts'
export type { WebSocketPathOptions } from './web-socket-options.ts'
