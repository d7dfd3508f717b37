/** `pilot-ts/browser`: the public surface in a page. */
export {
  ERROR_CODES,
  Identity,
  type LaterSigner,
  PilotError,
  type PilotErrorCode,
  type PromptSigner,
  type Signer,
} from '../../core/index.ts'
export type * from '../shared/api.ts'
export {
  type CreateNodeOptions,
  createNode,
  openIdentityVault,
  type PageNode,
} from './create-node.ts'
export type { IdentityStatus, IdentityVault } from './identity-vault.ts'
