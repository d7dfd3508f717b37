/** Networks as a whole: made, joined, left, renamed, deleted (spec/05 §12). */

import { formatAddress } from '../core/wire/address.ts'
import { joinNetworkChallenge, leaveNetworkChallenge } from '../core/wire/registry-challenge.ts'
import type { RegistryMessage } from '../core/wire/registry-message.ts'
import { actorIn, adminRefusal, nodeOrAdmin, sameSecret } from './admin-access.ts'
import { MEMBERS_MAX, NETWORKS_MAX, NETWORKS_PER_NODE_MAX, TOKEN_BYTES_MAX } from './limits.ts'
import { exprPolicyProblem, parseDocument, rulesProblem } from './policy-document.ts'
import {
  nodeNotFound,
  type Operation,
  Refusal,
  type RegistryDesk,
  refuse,
} from './registry-desk.ts'
import type { StoredMember, StoredNetwork } from './registry-store.ts'
import { booleanField, networkIdField, nodeIdField, quoted, stringField } from './request-fields.ts'
import { isJoinRule } from './sqlite-rows.ts'
import { networkNameProblem } from './validation.ts'

export function networkNotFound(id: number): string {
  return `network ${id}: network not found`
}

/** The custom network a request names, which has to be an enterprise one where `isEnterprise`. */
export function namedNetwork(
  desk: RegistryDesk,
  message: RegistryMessage,
  isEnterprise = false,
): StoredNetwork | Refusal {
  const id = networkIdField(message, 'network_id')
  const network = desk.networks.get(id)
  if (network === undefined) return new Refusal(networkNotFound(id))
  if (isEnterprise && !network.isEnterprise)
    return new Refusal('enterprise feature: requires enterprise network')
  return network
}

const createNetwork: Operation = (desk, request) => {
  const { message, now } = request
  const refusal = adminRefusal(desk, request)
  if (refusal !== undefined) return refusal.reply
  const creator = nodeIdField(message, 'node_id')
  if (desk.nodes.live(creator) === undefined) return refuse(nodeNotFound(creator))
  const fields = newNetworkFields(desk, message)
  if (fields instanceof Refusal) return fields.reply
  if (desk.networks.size >= NETWORKS_MAX) return refuse('too many networks on this registry')
  if (desk.networks.ofNode(creator).length >= NETWORKS_PER_NODE_MAX)
    return refuse(`node ${creator} is in too many networks`)
  const network = desk.networks.create({ ...fields, createdAt: now.unixSeconds })
  if (network === undefined) return refuse('network ID space exhausted')
  desk.networks.addMember(network.id, creator, 'owner')
  const { name, joinRule, isEnterprise, rules } = network
  const isManaged = rules !== ''
  desk.audit.add('network.created', now.unixSeconds, {
    network: network.id,
    details: {
      name,
      join_rule: joinRule,
      creator_node_id: creator,
      enterprise: isEnterprise,
      managed: isManaged,
    },
  })
  return {
    type: 'create_network_ok',
    network_id: network.id,
    name,
    enterprise: isEnterprise,
    ...(isManaged ? { managed: true } : {}),
  }
}

/** Deviation: a join rule nobody knows, and rule `token` without a token, are refused (spec/05 §24 L8, L9). */
export function newNetworkFields(
  desk: RegistryDesk,
  message: RegistryMessage,
): Omit<StoredNetwork, 'id' | 'createdAt'> | Refusal {
  const name = stringField(message, 'name')
  const problem = networkNameProblem(name)
  if (problem !== undefined) return new Refusal(`invalid network name: ${problem}`)
  if (desk.networks.byName(name) !== undefined)
    return new Refusal(`network ${quoted(name)} already exists`)
  const joinRule = stringField(message, 'join_rule') || 'open'
  if (!isJoinRule(joinRule))
    return new Refusal(`invalid join_rule ${quoted(joinRule)} (must be open, token or invite)`)
  const isEnterprise = booleanField(message, 'enterprise')
  if (joinRule === 'invite' && !isEnterprise)
    return new Refusal('enterprise feature: invite-only networks require the enterprise flag')
  const token = stringField(message, 'token')
  const adminToken = stringField(message, 'network_admin_token')
  if (joinRule === 'token' && token === '') return new Refusal('token required for join rule token')
  if (Math.max(token.length, adminToken.length) > TOKEN_BYTES_MAX)
    return new Refusal(`token too long (max ${TOKEN_BYTES_MAX} chars)`)
  const rules = parseDocument(message.rules)
  const rulesWrong = rules.value === undefined ? rules.problem : rulesProblem(rules.value)
  if (rulesWrong !== undefined) return new Refusal(`invalid rules: ${rulesWrong}`)
  const policy = parseDocument(message.expr_policy)
  const policyWrong = policy.value === undefined ? policy.problem : exprPolicyProblem(policy.value)
  if (policyWrong !== undefined) return new Refusal(`invalid expr_policy: ${policyWrong}`)
  return {
    name,
    joinRule,
    token: joinRule === 'token' ? token : '',
    adminToken,
    isEnterprise,
    maxMembers: 0,
    allowedPorts: null,
    description: '',
    rules: rules.text,
    exprPolicy: policy.text,
  }
}

const joinNetwork: Operation = (desk, request) => {
  const { message, now } = request
  const networkId = networkIdField(message, 'network_id')
  if (networkId === 0) return refuse('cannot join the backbone network')
  const nodeId = nodeIdField(message, 'node_id')
  const challenge = joinNetworkChallenge(nodeId, networkId)
  const node = nodeOrAdmin(desk, request, nodeId, challenge)
  if (node instanceof Refusal) return node.reply
  const network = namedNetwork(desk, message)
  if (network instanceof Refusal) return network.reply
  const { joinRule } = network
  if (joinRule === 'token' && !sameSecret(stringField(message, 'token'), network.token)) {
    desk.chargeForgery(request)
    return refuse(`invalid token for network ${networkId}`)
  }
  if (joinRule === 'invite') return refuse(`cannot join network ${networkId} without an invite`)
  const problem = admissionProblem(desk, network, nodeId)
  if (problem !== undefined) return refuse(problem)
  admit(desk, network, nodeId, now.unixSeconds)
  return {
    type: 'join_network_ok',
    network_id: networkId,
    address: formatAddress({ network: networkId, node: nodeId }),
    ...(network.rules === '' ? {} : { rules: JSON.parse(network.rules) }),
    ...(network.exprPolicy === '' ? {} : { expr_policy: JSON.parse(network.exprPolicy) }),
  }
}

/** Why this node cannot become a member now. */
export function admissionProblem(
  desk: RegistryDesk,
  { id, maxMembers }: StoredNetwork,
  nodeId: number,
): string | undefined {
  if (desk.networks.member(id, nodeId) !== undefined)
    return `node ${nodeId} already in network ${id}`
  if (desk.networks.memberCount(id) >= (maxMembers === 0 ? MEMBERS_MAX : maxMembers))
    return 'network membership limit reached'
  if (desk.networks.ofNode(nodeId).length >= NETWORKS_PER_NODE_MAX)
    return `node ${nodeId} is in too many networks`
  return undefined
}

export function admit(
  desk: RegistryDesk,
  { id }: StoredNetwork,
  nodeId: number,
  unixSeconds: number,
): void {
  desk.networks.removeInvite(id, nodeId)
  desk.networks.addMember(id, nodeId, 'member')
  desk.audit.add('network.joined', unixSeconds, { node: nodeId, network: id })
}

const leaveNetwork: Operation = (desk, request) => {
  const { message, now } = request
  const networkId = networkIdField(message, 'network_id')
  if (networkId === 0) return refuse('cannot leave the backbone network')
  const nodeId = nodeIdField(message, 'node_id')
  const challenge = leaveNetworkChallenge(nodeId, networkId)
  const node = nodeOrAdmin(desk, request, nodeId, challenge)
  if (node instanceof Refusal) return node.reply
  const network = namedNetwork(desk, message)
  if (network instanceof Refusal) return network.reply
  const member = desk.networks.member(networkId, nodeId)
  if (member === undefined) return refuse(`node ${nodeId} is not a member of network ${networkId}`)
  if (member.role === 'owner' && network.isEnterprise)
    return refuse('cannot leave network: owner must transfer ownership first')
  removeMember(desk, member)
  desk.audit.add('network.left', now.unixSeconds, { node: nodeId, network: networkId })
  if (member.role === 'owner')
    desk.audit.add('network.owner_lost', now.unixSeconds, { node: nodeId, network: networkId })
  return { type: 'leave_network_ok', network_id: networkId }
}

/** Also what it was invited to there, and whom it invited. */
export function removeMember(desk: RegistryDesk, { network, node }: StoredMember): void {
  desk.networks.removeMember(network, node)
  desk.networks.removeInvitesOf(node, network)
}

const deleteNetwork: Operation = (desk, request) => {
  const { message, now } = request
  if (networkIdField(message, 'network_id') === 0)
    return refuse('cannot delete the backbone network')
  const network = namedNetwork(desk, message)
  if (network instanceof Refusal) return network.reply
  const actor = actorIn(desk, request, network, ['owner'])
  if (actor instanceof Refusal) return actor.reply
  desk.networks.delete(network)
  const details = { name: network.name }
  desk.audit.add('network.deleted', now.unixSeconds, { network: network.id, details })
  return { type: 'delete_network_ok', network_id: network.id }
}

const renameNetwork: Operation = (desk, request) => {
  const { message, now } = request
  const network = namedNetwork(desk, message)
  if (network instanceof Refusal) return network.reply
  const actor = actorIn(desk, request, network, ['owner', 'admin'])
  if (actor instanceof Refusal) return actor.reply
  const name = stringField(message, 'name')
  const problem = networkNameProblem(name)
  if (problem !== undefined) return refuse(`invalid network name: ${problem}`)
  const holder = desk.networks.byName(name)
  if (holder !== undefined && holder.id !== network.id)
    return refuse(`network ${quoted(name)} already exists`)
  desk.networks.change(network, { name })
  const details = { old_name: network.name, new_name: name }
  desk.audit.add('network.renamed', now.unixSeconds, { network: network.id, details })
  return { type: 'rename_network_ok', network_id: network.id, name }
}

/** Without the flag nobody has a role; with it the first member becomes the owner (spec/05 §12). */
const setNetworkEnterprise: Operation = (desk, request) => {
  const { message, now } = request
  const refusal = adminRefusal(desk, request)
  if (refusal !== undefined) return refusal.reply
  const network = namedNetwork(desk, message)
  if (network instanceof Refusal) return network.reply
  const isEnterprise = booleanField(message, 'enterprise')
  if (isEnterprise !== network.isEnterprise) {
    desk.networks.change(network, { isEnterprise })
    let hasOwner = desk.networks.owner(network.id) !== undefined
    for (const member of [...desk.networks.members(network.id)]) {
      const role = !isEnterprise ? '' : hasOwner ? member.role || 'member' : 'owner'
      hasOwner ||= isEnterprise
      if (role !== member.role) desk.networks.changeMember(member, { role })
    }
    const details = { enterprise: isEnterprise }
    desk.audit.add('network.enterprise_changed', now.unixSeconds, { network: network.id, details })
  }
  return { type: 'set_network_enterprise_ok', network_id: network.id, enterprise: isEnterprise }
}

export const NETWORK_OPERATIONS: Readonly<Record<string, Operation>> = {
  create_network: createNetwork,
  join_network: joinNetwork,
  leave_network: leaveNetwork,
  delete_network: deleteNetwork,
  rename_network: renameNetwork,
  set_network_enterprise: setNetworkEnterprise,
}
