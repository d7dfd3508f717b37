/** `pilot-ts/node`: the public surface in Node. */
export * from '../shared/surface.ts'
export { type CreateNodeOptions, createNode, loadIdentity } from './create-node.ts'
export { nodeCrypto } from './crypto.ts'
export type { WebRtcBackend, WebRtcChoice } from './rtc/backend.ts'
export { acceptSecure, dialSecure } from './secure.ts'
export { nameserverOf } from './services.ts'
export type { WebRtcOptions } from './web-rtc.ts'
export type { WebSocketPathOptions } from './web-socket-options.ts'
