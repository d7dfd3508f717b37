/**
 * What local programs have this node's key sign, and what they have it verify (spec/06 §11.2, §11.3). Every text that
 * is signed begins with words of its own, so that no answer here means anything at a registry or to a peer.
 */
import { concat, fromBase64, fromHex, toBase64, toHex, utf8 } from '../../../core/bytes.ts'
import { PilotError, UsageError } from '../../../core/errors.ts'
import {
  ENVELOPE_SKEW_SECONDS,
  formatEnvelope,
  parseEnvelope,
} from '../../../core/service/request-envelope.ts'
import { formatAddress } from '../../../core/wire/address.ts'
import type { PilotNode, RegistryReply } from '../../shared/api.ts'
import { nodeCrypto } from '../crypto.ts'

export interface IdentityContext {
  readonly node: PilotNode
  /** Ed25519 with the node's key. */
  readonly sign: (message: Uint8Array) => Promise<Uint8Array>
  /** Unix seconds. */
  readonly unixNow: () => number
}

type Members = Readonly<Record<string, unknown>>
type Reply = Record<string, unknown>

const CHALLENGE_DOMAIN = 'pilot.ipc.sign_challenge.v1\0'
const SKEW_SECONDS_MAX = 86_400

export async function signChallenge(
  { node, sign }: IdentityContext,
  challenge: Uint8Array,
): Promise<Reply> {
  const signature = await sign(concat(utf8(CHALLENGE_DOMAIN), challenge))
  return {
    node_id: node.nodeId,
    public_key: toBase64(node.publicKey),
    signature: toBase64(signature),
  }
}

/** @throws {UsageError} `ERR_INVALID_ARGUMENT` for members that make no envelope. */
export async function signEnvelope(
  { node, sign, unixNow }: IdentityContext,
  members: Members,
): Promise<Reply> {
  const nonce =
    members.nonce === undefined || members.nonce === ''
      ? nodeCrypto.random(8)
      : fromHex(text(members, 'nonce'))
  const envelope = formatEnvelope({
    address: node.address,
    at: Math.floor(unixNow()),
    nonce: nonce ?? new Uint8Array(0),
    bodyHash: bodyHashOf(members),
    audience: text(members, 'audience'),
  })
  return {
    type: 'sign_envelope_ok',
    envelope,
    signature: toBase64(await sign(utf8(envelope))),
    address: formatAddress(node.address),
  }
}

/** `valid`, and why not, or whose it is and how that is known. @throws {PilotError} of the registry. */
export async function verifyEnvelope(
  { node, unixNow }: IdentityContext,
  members: Members,
): Promise<Reply> {
  const type = 'verify_envelope_ok'
  const invalid = (reason: string): Reply => ({ type, valid: false, reason })
  const envelopeText = text(members, 'envelope')
  const envelope = parseEnvelope(envelopeText)
  if (envelope === undefined) return invalid('malformed envelope')
  const signature = fromBase64(text(members, 'signature'))
  if (signature?.length !== 64) return invalid('malformed signature')
  const skew = members.max_skew_secs ?? 0
  if (typeof skew !== 'number' || !(skew >= 0 && skew <= SKEW_SECONDS_MAX))
    throw new UsageError(
      'ERR_INVALID_ARGUMENT',
      `max_skew_secs is a number from 0 to ${SKEW_SECONDS_MAX}`,
    )
  if (Math.abs(unixNow() - envelope.at) > (skew === 0 ? ENVELOPE_SKEW_SECONDS : skew))
    return invalid('timestamp outside of the allowed skew')
  const { node: nodeId } = envelope.address
  const known = node.trust.trusted().find((one) => one.nodeId === nodeId)
  let [key, via] = [known?.publicKey ?? '', 'trusted']
  if (nodeId === node.nodeId) [key, via] = [toBase64(node.publicKey), 'self']
  const wantsStanding = members.check_standing === true
  let reply: RegistryReply | undefined
  // Pinned keys come first: the registry cannot replace them.
  if (key === '' || wantsStanding)
    try {
      reply = await node.registry.lookup(nodeId)
    } catch (error) {
      if (!(error instanceof PilotError) || error.code !== 'ERR_REGISTRY') throw error
      if (key === '' || wantsStanding) return invalid('unknown node')
    }
  if (key === '')
    [key, via] = [typeof reply?.public_key === 'string' ? reply.public_key : '', 'registry']
  const publicKey = fromBase64(key)
  if (publicKey === undefined || publicKey.length !== 32) return invalid('unknown node')
  if (!nodeCrypto.ed25519Verify(publicKey, utf8(envelopeText), signature))
    return invalid('bad signature')
  const { network } = envelope.address
  const networks = Array.isArray(reply?.networks) ? reply.networks : undefined
  return {
    type,
    valid: true,
    node_id: nodeId,
    address: formatAddress(envelope.address),
    verified_via: via,
    trusted: known !== undefined,
    ...(wantsStanding && {
      ...pick(reply, ['online', 'last_seen_unix', 'key_generation']),
      ...(networks !== undefined && { network_member: networks.includes(network) }),
    }),
  }
}

/** The signed forms in which badges and enrollments of an issuer go to the registry (spec/05 §18). */
export async function submitBadge(context: IdentityContext, members: Members): Promise<Reply> {
  const badge = text(members, 'badge')
  return submit(context, `submit_badge:${context.node.nodeId}:${badge}`, {
    type: 'submit_badge',
    badge,
    badge_sig: text(members, 'badge_sig'),
  })
}

/** @throws {UsageError} `ERR_INVALID_ARGUMENT` unless it is an enrollment of this node. */
export async function enrollRecovery(context: IdentityContext, members: Members): Promise<Reply> {
  const enrollment = text(members, 'enrollment')
  const parts = enrollment.split(':')
  const { nodeId } = context.node
  if (parts.length !== 7 || !enrollment.startsWith(`pilotenroll:v1:${nodeId}:`))
    throw new UsageError('ERR_INVALID_ARGUMENT', `not an enrollment of node ${nodeId}`)
  return submit(context, `enroll_recovery:${nodeId}:${parts[4]}`, {
    type: 'enroll_recovery',
    enrollment,
    enrollment_sig: text(members, 'enrollment_sig'),
  })
}

async function submit(
  { node, sign }: IdentityContext,
  challenge: string,
  message: Record<string, unknown>,
): Promise<Reply> {
  const signature = toBase64(await sign(utf8(challenge)))
  return node.registry.request({ ...message, node_id: node.nodeId, signature })
}

function bodyHashOf(members: Members): string {
  if (members.body_hash !== undefined && members.body_hash !== '') return text(members, 'body_hash')
  const body = fromBase64(text(members, 'body_b64'))
  if (body === undefined) throw new UsageError('ERR_INVALID_ARGUMENT', 'body_b64 is base64')
  return toHex(nodeCrypto.sha256(body))
}

/** `''` is text as well. @throws {UsageError} `ERR_INVALID_ARGUMENT`. */
function text(members: Members, name: string): string {
  const value = members[name] ?? ''
  if (typeof value !== 'string')
    throw new UsageError('ERR_INVALID_ARGUMENT', `${name} must be a text`)
  return value
}

function pick(reply: RegistryReply | undefined, names: readonly string[]): Reply {
  const found = names.flatMap((name) => (reply?.[name] === undefined ? [] : [[name, reply[name]]]))
  return Object.fromEntries(found)
}
