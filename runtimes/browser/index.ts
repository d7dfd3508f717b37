/** `pilot-ts/browser`: the public surface in a page. */
export { ERROR_CODES, Identity, PilotError, type PilotErrorCode } from '../../core/index.ts'
export type * from '../shared/api.ts'
export { type CreateNodeOptions, createNode, openIdentityVault } from './create-node.ts'
