/** `pilot-ts/deno`: the public surface in Deno. */
export { nodeCrypto } from '../node/crypto.ts'
export { acceptSecure, dialSecure } from '../node/secure.ts'
export { nameserverOf } from '../node/services.ts'
export type { Storage } from '../shared/storage.ts'
export * from '../shared/surface.ts'
export { type CreateNodeOptions, createNode, loadIdentity } from './create-node.ts'
export { KvStorage } from './kv-storage.ts'
