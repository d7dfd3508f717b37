/** The life of a node's key (spec/04 §8.11, 05 §6.3): rotation, expiry, facts; trust as the registry knows it. */
import { utf8 } from '../core/bytes.ts'
import { formatRfc3339, parseRfc3339 } from '../core/time-text.ts'
import type { KeyRotation } from '../core/trust/key-rotations.ts'
import { rotateKeyChallenge, setKeyExpiryChallenge } from '../core/wire/registry-challenge.ts'
import { isAdmin, nodeOrAdmin } from './admin-access.ts'
import { KEY_EXPIRY_MAX_SECONDS } from './limits.ts'
import type { NodeRecord } from './node-table.ts'
import { backboneAddress } from './register-operation.ts'
import {
  nodeNotFound,
  type Operation,
  Refusal,
  type RegistryDesk,
  type RegistryRequest,
  refuse,
} from './registry-desk.ts'
import { nodeIdField, parsePublicKey, parseSignature, stringField } from './request-fields.ts'

/** Why a node with this key is refused what needs a valid one, or `undefined` (spec/05 §24 L13). */
export function expiredKey(
  { id, keyExpiresAt }: NodeRecord,
  unixSeconds: number,
): string | undefined {
  if (keyExpiresAt === 0 || unixSeconds < keyExpiresAt) return undefined
  return `node ${id}: key expired at ${formatRfc3339(keyExpiresAt)}`
}

/** Days since the key was made or rotated to. */
export function keyAgeDays(
  { keyCreatedAt, keyRotatedAt }: NodeRecord,
  unixSeconds: number,
): number | undefined {
  const since = Math.max(keyCreatedAt, keyRotatedAt)
  return since === 0 ? undefined : Math.max(0, Math.floor((unixSeconds - since) / 86_400))
}

/** Deviation (spec/05 §24 L13): once expired, only the admin token changes it. */
const setKeyExpiry: Operation = (desk, request) => {
  const { message, now } = request
  const text = stringField(message, 'expires_at')
  const isCleared = text === '' || text === 'never'
  const expiresAt = isCleared ? 0 : parseRfc3339(text)
  if (expiresAt === undefined) return refuse('invalid expires_at: expected RFC 3339')
  if (!isCleared && expiresAt <= now.unixSeconds)
    return refuse('invalid expires_at: must be in the future')
  if (expiresAt - now.unixSeconds > KEY_EXPIRY_MAX_SECONDS)
    return refuse('invalid expires_at: cannot exceed 10 years')
  const nodeId = nodeIdField(message, 'node_id')
  const node = nodeOrAdmin(desk, request, nodeId, setKeyExpiryChallenge(nodeId))
  if (node instanceof Refusal) return node.reply
  const isEnterprise = desk.networks
    .ofNode(nodeId)
    .some((id) => desk.networks.get(id)?.isEnterprise === true)
  if (!isCleared && !isEnterprise)
    return refuse('enterprise feature: key expiry requires enterprise network membership')
  const expired = expiredKey(node, now.unixSeconds)
  if (expired !== undefined && !isAdmin(desk, message)) return refuse(expired)
  desk.nodes.change(node, { keyExpiresAt: expiresAt })
  if (isCleared) {
    const details = { old_expires_at: formatRfc3339(node.keyExpiresAt) }
    desk.audit.add('key.expiry_cleared', now.unixSeconds, { node: nodeId, details })
    return { type: 'set_key_expiry_ok', node_id: nodeId }
  }
  const details = { expires_at: formatRfc3339(expiresAt) }
  desk.audit.add('key.expiry_set', now.unixSeconds, { node: nodeId, details })
  return { type: 'set_key_expiry_ok', node_id: nodeId, expires_at: formatRfc3339(expiresAt) }
}

const getKeyInfo: Operation = (desk, { message, now }) => {
  const nodeId = nodeIdField(message, 'node_id')
  const node = desk.nodes.live(nodeId)
  if (node === undefined) return refuse(nodeNotFound(nodeId))
  const { keyCreatedAt, keyRotatedAt, keyExpiresAt, keyRotations } = node
  return {
    type: 'get_key_info_ok',
    node_id: nodeId,
    ...(keyCreatedAt === 0 ? {} : { created_at: formatRfc3339(keyCreatedAt) }),
    rotate_count: keyRotations,
    key_age_days: keyAgeDays(node, now.unixSeconds) ?? 0,
    ...(keyRotatedAt === 0 ? {} : { rotated_at: formatRfc3339(keyRotatedAt) }),
    ...(keyExpiresAt === 0 ? {} : { expires_at: formatRfc3339(keyExpiresAt) }),
  }
}

/** Deviation (spec/05 §24 L4): a pair that one side alone made is not trust. */
const checkTrust: Operation = (desk, { message }) => {
  const nodeId = nodeIdField(message, 'node_id')
  const peerId = nodeIdField(message, 'peer_id')
  return { type: 'check_trust_ok', trusted: areTrusted(desk, nodeId, peerId) }
}

function areTrusted({ trust, networks }: RegistryDesk, a: number, b: number): boolean {
  if (networks.share(a, b)) return true
  return trust.hasPair(a, b) && trust.hasConsent(a, b) && trust.hasConsent(b, a)
}

/**
 * Deviation (spec/04 §22 W4): the signature must cover the new key, the new key must belong to nobody, and
 * `new_key_signature`, the same text signed by the new key, must verify when it is sent.
 */
const rotateKey: Operation = (desk, request) => {
  const { message } = request
  if (stringField(message, 'signature') === '')
    return refuse('rotate_key requires a valid signature')
  const newKeyText = stringField(message, 'new_public_key')
  if (newKeyText === '') return refuse('rotate_key requires new_public_key')
  const newKey = parsePublicKey(newKeyText)
  if (newKey === undefined) return refuse('invalid new_public_key: need base64 of 32 bytes')
  const nodeId = nodeIdField(message, 'node_id')
  const challenge = rotateKeyChallenge(nodeId, newKeyText)
  const node = authenticateRotation(desk, request, nodeId, challenge)
  if (node instanceof Refusal) return node.reply
  const expired = expiredKey(node, request.now.unixSeconds)
  if (expired !== undefined) return refuse(expired)
  const proof = stringField(message, 'new_key_signature')
  const proofBytes = parseSignature(proof)
  if (
    proof !== '' &&
    (proofBytes === undefined || !desk.options.verify(newKey.bytes, utf8(challenge), proofBytes))
  )
    return refuse('signature by new_public_key verification failed')
  const holder = desk.nodes.byKey(newKey.text)
  if (holder !== undefined && holder.id !== nodeId)
    return refuse('new_public_key already belongs to a node')
  const rotations = rotationsAfter(desk, request, node, challenge)
  const rotated =
    holder === undefined ? desk.nodes.rekey(node, newKey, request.now.unixSeconds, rotations) : node
  rotated.lastSeenAt = request.now.at
  desk.audit.add('key.rotated', request.now.unixSeconds, { node: nodeId })
  return {
    type: 'rotate_key_ok',
    node_id: nodeId,
    address: backboneAddress(nodeId),
    public_key: newKeyText,
  }
}

/** None after a signature that does not cover the new key: it proves nothing to who trusts the former one. */
function rotationsAfter(
  desk: RegistryDesk,
  { message }: RegistryRequest,
  node: NodeRecord,
  challenge: string,
): readonly KeyRotation[] {
  const signature = stringField(message, 'signature')
  const bytes = parseSignature(signature)
  if (bytes === undefined || !desk.options.verify(node.keyBytes, utf8(challenge), bytes)) return []
  return [...node.rotations, { publicKey: node.publicKey, signature }]
}

function authenticateRotation(
  desk: RegistryDesk,
  request: RegistryRequest,
  nodeId: number,
  challenge: string,
): ReturnType<RegistryDesk['authenticate']> {
  const node = desk.authenticate(request, nodeId, challenge)
  if (!(node instanceof Refusal) || desk.options.allowUnboundRotation !== true) return node
  return desk.authenticate(request, nodeId, `rotate:${nodeId}`)
}

export const KEY_OPERATIONS: Readonly<Record<string, Operation>> = {
  rotate_key: rotateKey,
  set_key_expiry: setKeyExpiry,
  get_key_info: getKeyInfo,
  check_trust: checkTrust,
}
