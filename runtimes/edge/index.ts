/** `pilot-ts/edge`: the public surface in workers at the edge. */
export type { Storage } from '../shared/storage.ts'
export * from '../shared/surface.ts'
export { type CreateNodeOptions, createNode, loadIdentity } from './create-node.ts'
// Under the name that every runtime's entry has, too: type checkers know one of them.
export { edgeCrypto, edgeCrypto as nodeCrypto } from './crypto.ts'
export { type DurableObjectStorageLike, DurableStorage } from './durable-storage.ts'
export { MemoryStorage } from './memory-storage.ts'
export { acceptSecure, dialSecure } from './secure.ts'
export { nameserverOf } from './services.ts'
export type { FetcherLike } from './web-socket.ts'
