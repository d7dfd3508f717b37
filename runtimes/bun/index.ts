/** `pilot-ts/bun`: the public surface in Bun. */
export { nodeCrypto } from '../node/crypto.ts'
export { acceptSecure, dialSecure } from '../node/secure.ts'
export { nameserverOf } from '../node/services.ts'
export * from '../shared/surface.ts'
export { type CreateNodeOptions, createNode, loadIdentity } from './create-node.ts'
