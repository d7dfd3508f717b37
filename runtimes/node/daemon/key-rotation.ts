/**
 * Another key for the same node (spec/05 §6.3). The new one is on disk before the registry hears of it, and takes the
 * place of the old one when the registry has taken it, so that no crash in between costs the address.
 */
import { rename, rm } from 'node:fs/promises'
import { toBase64, utf8 } from '../../../core/bytes.ts'
import { PilotError, StorageError, UsageError } from '../../../core/errors.ts'
import { Identity } from '../../../core/identity/identity.ts'
import type {
  RegistryRequest,
  RegistryRequests,
} from '../../../core/rendezvous/registry-requests.ts'
import { rotateKeyChallenge } from '../../../core/wire/registry-challenge.ts'
import type { RegistryReply } from '../../shared/api.ts'
import { nodeCrypto } from '../crypto.ts'
import { writeFileAtomic } from '../file-storage.ts'

export interface KeyRotation {
  readonly nodeId: number
  readonly requests: RegistryRequests
  /** Signed with the present key. */
  readonly ask: (request: RegistryRequest) => Promise<RegistryReply>
  /** Of the identity; `undefined` where the node keeps none. */
  readonly path: string | undefined
  /** Nobody in between can put another key into a request that does not cover it (spec/05 §23 T6). */
  readonly isOverTls: boolean
}

/**
 * The registry's answer, once it and the identity file have the new key. The node must be started anew.
 *
 * @throws {PilotError} `ERR_INVALID_ARGUMENT` without a file, `ERR_REGISTRY` where nothing has changed,
 * `ERR_REGISTRY_UNAVAILABLE` where that is not known: the new key then stays in `<path>.next`. `ERR_STORE_IO`.
 */
export async function rotateKey(rotation: KeyRotation): Promise<RegistryReply> {
  const { path } = rotation
  if (path === undefined)
    throw new UsageError('ERR_INVALID_ARGUMENT', 'this node keeps no identity file')
  const next = Identity.generate(nodeCrypto)
  const nextPath = `${path}.next`
  await writeFileAtomic(nextPath, utf8(next.format()))
  let reply: RegistryReply
  try {
    reply = await request(rotation, next)
  } catch (error) {
    if (error instanceof PilotError && error.code === 'ERR_REGISTRY')
      await rm(nextPath, { force: true })
    throw error
  }
  try {
    await rename(nextPath, path)
  } catch (cause) {
    throw new StorageError(
      'ERR_STORE_IO',
      `the registry has the new key; move ${nextPath} to ${path}`,
      { cause },
    )
  }
  return reply
}

async function request(rotation: KeyRotation, next: Identity): Promise<RegistryReply> {
  const { nodeId, requests, ask, isOverTls } = rotation
  const challenge = rotateKeyChallenge(nodeId, toBase64(next.publicKey))
  try {
    return await ask(requests.rotateKey(next.publicKey, true, next.sign(utf8(challenge))))
  } catch (error) {
    // Registries of February 2026 and of v1.9 sign less.
    if (!isOverTls || !(error instanceof PilotError) || error.code !== 'ERR_REGISTRY') throw error
    return ask(requests.rotateKey(next.publicKey, false))
  }
}
