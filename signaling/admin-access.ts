/** Who may do what by a token or by a role (spec/05 §11, §12). */
import { utf8 } from '../core/bytes.ts'
import { roleChallenge } from '../core/wire/registry-challenge.ts'
import type { RegistryMessage } from '../core/wire/registry-message.ts'
import type { NodeRecord } from './node-table.ts'
import { nodeNotFound, Refusal, type RegistryDesk, type RegistryRequest } from './registry-desk.ts'
import type { MemberRole, StoredNetwork } from './registry-store.ts'
import { nodeIdField, stringField } from './request-fields.ts'

/** Compares in a time that does not depend on where the texts differ. */
export function sameSecret(given: string, secret: string): boolean {
  const [a, b] = [utf8(given), utf8(secret)]
  let difference = a.length ^ b.length
  for (let i = 0; i < a.length; i++) difference |= a[i]! ^ (b[i % b.length] ?? 0)
  return difference === 0 && b.length > 0
}

/** Whether the request carries the registry's admin token. */
export function isAdmin(desk: RegistryDesk, message: RegistryMessage): boolean {
  const { adminToken } = desk.options
  return adminToken !== undefined && sameSecret(stringField(message, 'admin_token'), adminToken)
}

/** Why a request that only the registry's admin token allows is refused. */
export function adminRefusal(desk: RegistryDesk, request: RegistryRequest): Refusal | undefined {
  if (desk.options.adminToken === undefined || desk.options.adminToken === '')
    return new Refusal('network creation is disabled')
  return isAdmin(desk, request.message) ? undefined : wrongToken(desk, request)
}

/** A guess costs its source as much as a wrong signature. */
export function wrongToken(desk: RegistryDesk, request: RegistryRequest): Refusal {
  desk.chargeForgery(request)
  return new Refusal('invalid admin token')
}

/** The live node of this id, once its signature or the admin token allows it. */
export function nodeOrAdmin(
  desk: RegistryDesk,
  request: RegistryRequest,
  nodeId: number,
  challenge: string,
): NodeRecord | Refusal {
  if (stringField(request.message, 'signature') !== '' || !('admin_token' in request.message))
    return desk.authenticate(request, nodeId, challenge)
  if (!isAdmin(desk, request.message)) return wrongToken(desk, request)
  return desk.nodes.live(nodeId) ?? new Refusal(nodeNotFound(nodeId))
}

/** Who acts in a network: 0 is whoever knows a token. */
export interface Actor {
  readonly nodeId: number
}

/**
 * By the registry's or the network's admin token, or by a role. Deviation (spec/05 §24 L1): a role counts
 * only with a signature, which the reference does not ask for; its command line tool uses the token.
 */
export function actorIn(
  desk: RegistryDesk,
  request: RegistryRequest,
  network: StoredNetwork,
  roles: readonly MemberRole[],
  targetId?: number,
): Actor | Refusal {
  const { message } = request
  const token = stringField(message, 'admin_token')
  if (token !== '') {
    const isTrue = isAdmin(desk, message) || sameSecret(token, network.adminToken)
    return isTrue ? { nodeId: 0 } : wrongToken(desk, request)
  }
  const nodeId = nodeIdField(message, 'node_id')
  const challenge = roleChallenge(stringField(message, 'type'), nodeId, network.id, targetId)
  const node = desk.authenticate(request, nodeId, challenge)
  if (node instanceof Refusal) return node
  const member = desk.networks.member(network.id, nodeId)
  if (member === undefined)
    return new Refusal(`node ${nodeId} is not a member of network ${network.id}`)
  if (!roles.includes(member.role))
    return new Refusal(`role ${roles.join(' or ')} required in network ${network.id}`)
  return { nodeId }
}

/**
 * Whether what members know of their network may be told (spec/05 §24 L5): to who knows a token, and on a
 * connection that has proven the key of a member.
 */
export function mayReadNetwork(
  desk: RegistryDesk,
  { message, connection }: RegistryRequest,
  network: StoredNetwork,
): boolean {
  const token = stringField(message, 'admin_token')
  if (token !== '' && (isAdmin(desk, message) || sameSecret(token, network.adminToken))) return true
  for (const id of connection.provenIds) {
    const node = desk.nodes.live(id)
    const isMember = desk.networks.member(network.id, id) !== undefined
    if (isMember && node !== undefined && connection.hasProven(node)) return true
  }
  return false
}
