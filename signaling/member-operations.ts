/** Members of a network: roles, tags, removal (spec/05 §12). */
import { actorIn, mayReadNetwork } from './admin-access.ts'
import { namedNetwork, networkNotFound, removeMember } from './network-operations.ts'
import { type Operation, Refusal, type RegistryDesk, refuse } from './registry-desk.ts'
import type { StoredMember } from './registry-store.ts'
import { networkIdField, nodeIdField } from './request-fields.ts'
import { parseTags } from './validation.ts'

export function notAMember(node: number, network: number): string {
  return `node ${node} is not a member of network ${network}`
}

function memberOr(desk: RegistryDesk, network: number, node: number): StoredMember | Refusal {
  return desk.networks.member(network, node) ?? new Refusal(notAMember(node, network))
}

const kickMember: Operation = (desk, request) => {
  const { message, now } = request
  const network = namedNetwork(desk, message, true)
  if (network instanceof Refusal) return network.reply
  const target = nodeIdField(message, 'target_node_id')
  const actor = actorIn(desk, request, network, ['owner', 'admin'], target)
  if (actor instanceof Refusal) return actor.reply
  const member = memberOr(desk, network.id, target)
  if (member instanceof Refusal) return member.reply
  if (member.role === 'owner') return refuse('cannot kick the network owner')
  removeMember(desk, member)
  const details = { by: actor.nodeId }
  desk.audit.add('member.kicked', now.unixSeconds, { node: target, network: network.id, details })
  return { type: 'kick_member_ok', network_id: network.id, target_node_id: target }
}

function setRole(role: 'admin' | 'member'): Operation {
  const type = role === 'admin' ? 'promote_member' : 'demote_member'
  return (desk, request) => {
    const { message, now } = request
    const network = namedNetwork(desk, message, true)
    if (network instanceof Refusal) return network.reply
    const target = nodeIdField(message, 'target_node_id')
    const actor = actorIn(desk, request, network, ['owner'], target)
    if (actor instanceof Refusal) return actor.reply
    const member = memberOr(desk, network.id, target)
    if (member instanceof Refusal) return member.reply
    if (member.role === 'owner')
      return refuse(role === 'admin' ? 'cannot promote the owner' : 'cannot demote the owner')
    if (member.role === role)
      return refuse(
        role === 'admin'
          ? `node ${target} is already an admin`
          : `node ${target} is already a member without role`,
      )
    desk.networks.changeMember(member, { role })
    desk.audit.add(role === 'admin' ? 'member.promoted' : 'member.demoted', now.unixSeconds, {
      node: target,
      network: network.id,
      details: { role },
    })
    return { type: `${type}_ok`, network_id: network.id, target_node_id: target, role }
  }
}

const transferOwnership: Operation = (desk, request) => {
  const { message, now } = request
  const network = namedNetwork(desk, message, true)
  if (network instanceof Refusal) return network.reply
  const target = nodeIdField(message, 'new_owner_id')
  const actor = actorIn(desk, request, network, ['owner'], target)
  if (actor instanceof Refusal) return actor.reply
  const owner = desk.networks.owner(network.id)
  if (owner === undefined) return refuse(`network ${network.id} has no owner: cannot transfer it`)
  const member = memberOr(desk, network.id, target)
  if (member instanceof Refusal) return member.reply
  if (owner.node === target) return refuse(`node ${target} is already the owner`)
  desk.networks.changeMember(owner, { role: 'admin' })
  desk.networks.changeMember(member, { role: 'owner' })
  desk.audit.add('network.ownership_transferred', now.unixSeconds, {
    node: target,
    network: network.id,
    details: { old_owner: owner.node, new_owner: target },
  })
  return {
    type: 'transfer_ownership_ok',
    network_id: network.id,
    old_owner: owner.node,
    new_owner: target,
  }
}

/** Told to anybody, as the stock command line tool asks without a token; `lookup` tells memberships too. */
const getMemberRole: Operation = (desk, { message }) => {
  const network = namedNetwork(desk, message)
  if (network instanceof Refusal) return network.reply
  const target = nodeIdField(message, 'target_node_id')
  const member = memberOr(desk, network.id, target)
  if (member instanceof Refusal) return member.reply
  return {
    type: 'get_member_role_ok',
    network_id: network.id,
    target_node_id: target,
    role: member.role || 'member',
  }
}

const setMemberTags: Operation = (desk, request) => {
  const { message, now } = request
  const network = namedNetwork(desk, message)
  if (network instanceof Refusal) return network.reply
  const { tags, problem } = { tags: [], ...parseTags(message.tags) }
  if (problem !== undefined) return refuse(problem.replace('too many tags', 'too many member tags'))
  const target = nodeIdField(message, 'target_node_id')
  const actor = actorIn(desk, request, network, ['owner', 'admin'], target)
  if (actor instanceof Refusal) return actor.reply
  const member = memberOr(desk, network.id, target)
  if (member instanceof Refusal) return member.reply
  desk.networks.changeMember(member, { tags })
  desk.audit.add('member_tags.changed', now.unixSeconds, {
    node: target,
    network: network.id,
    details: { tags: tags.join(' ') },
  })
  return { type: 'set_member_tags_ok', network_id: network.id, target_node_id: target, tags }
}

/** Of one member, or with target 0 of all, keyed by decimal text (spec/05 §23 T9). */
const getMemberTags: Operation = (desk, request) => {
  const networkId = networkIdField(request.message, 'network_id')
  const network = namedNetwork(desk, request.message)
  if (network instanceof Refusal || !mayReadNetwork(desk, request, network))
    return refuse(networkNotFound(networkId))
  const target = nodeIdField(request.message, 'target_node_id')
  const type = 'get_member_tags_ok'
  if (target !== 0) {
    const member = memberOr(desk, network.id, target)
    if (member instanceof Refusal) return member.reply
    return { type, network_id: networkId, target_node_id: target, tags: member.tags }
  }
  const members: Record<string, readonly string[]> = {}
  let bytes = 0
  for (const { node, tags } of desk.networks.members(networkId)) {
    bytes += 24 + JSON.stringify(tags).length
    if (bytes > ALL_TAGS_BYTES_MAX) return { type, network_id: networkId, members, truncated: true }
    members[node] = tags
  }
  return { type, network_id: networkId, members }
}

/** Of one answer, which has at most 1 MiB (spec/04 §2). */
const ALL_TAGS_BYTES_MAX = 768 * 1024

export const MEMBER_OPERATIONS: Readonly<Record<string, Operation>> = {
  kick_member: kickMember,
  promote_member: setRole('admin'),
  demote_member: setRole('member'),
  transfer_ownership: transferOwnership,
  get_member_role: getMemberRole,
  set_member_tags: setMemberTags,
  get_member_tags: getMemberTags,
}
