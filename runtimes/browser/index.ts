/** `pilot-ts/browser`: the public surface in a page. */
export { ERROR_CODES, PilotError, type PilotErrorCode } from '../../core/errors.ts'
export { Identity } from '../../core/identity/identity.ts'
export type { LaterSigner, PromptSigner, Signer } from '../../core/identity/signer.ts'
export type * from '../shared/api.ts'
export {
  type CreateNodeOptions,
  createNode,
  openIdentityVault,
  type PageNode,
} from './create-node.ts'
export type { IdentityStatus, IdentityVault } from './identity-vault.ts'
