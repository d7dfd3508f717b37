/** Invites to networks with rule `invite` (spec/05 §13). */
import {
  inviteChallenge,
  pollInvitesChallenge,
  respondInviteChallenge,
} from '../core/wire/registry-challenge.ts'
import { nodeOrAdmin, sameSecret, wrongToken } from './admin-access.ts'
import { INVITES_MAX } from './limits.ts'
import { admissionProblem, admit, namedNetwork } from './network-operations.ts'
import {
  nodeNotFound,
  type Operation,
  Refusal,
  type RegistryDesk,
  type RegistryRequest,
  refuse,
} from './registry-desk.ts'
import type { StoredNetwork } from './registry-store.ts'
import { booleanField, nodeIdField, stringField } from './request-fields.ts'

const inviteToNetwork: Operation = (desk, request) => {
  const { message, now } = request
  const network = namedNetwork(desk, message, true)
  if (network instanceof Refusal) return network.reply
  const inviter = nodeIdField(message, 'inviter_id')
  const target = nodeIdField(message, 'target_node_id')
  const refusal = inviterRefusal(desk, request, network, inviter, target)
  if (refusal !== undefined) return refusal.reply
  if (network.joinRule !== 'invite')
    return refuse(`network ${network.id} takes no invites (join rule ${network.joinRule})`)
  if (target === inviter) return refuse('cannot invite yourself')
  if (desk.nodes.live(target) === undefined) return refuse(nodeNotFound(target))
  if (desk.networks.member(network.id, target) !== undefined)
    return refuse(`node ${target} is already a member of network ${network.id}`)
  const reply = { type: 'invite_to_network_ok', network_id: network.id, target_node_id: target }
  if (desk.networks.invite(network.id, target) !== undefined)
    return { ...reply, status: 'already_invited' }
  if (desk.networks.invitesFor(target).length >= INVITES_MAX)
    return refuse(`too many pending invites for node ${target}`)
  const { id } = network
  desk.networks.addInvite({ network: id, target, inviter, unixSeconds: now.unixSeconds })
  const details = { inviter_id: inviter }
  desk.audit.add('invite.created', now.unixSeconds, { node: target, network: id, details })
  return reply
}

/** The network's own admin token lifts the role of an inviter who signs, not the signature (spec/05 §12). */
function inviterRefusal(
  desk: RegistryDesk,
  request: RegistryRequest,
  network: StoredNetwork,
  inviter: number,
  target: number,
): Refusal | undefined {
  const { message } = request
  const challenge = inviteChallenge(inviter, network.id, target)
  const node = nodeOrAdmin(desk, request, inviter, challenge)
  if (node instanceof Refusal) return node
  const token = stringField(message, 'admin_token')
  if (token !== '') {
    const isTrue =
      sameSecret(token, desk.options.adminToken ?? '') || sameSecret(token, network.adminToken)
    return isTrue ? undefined : wrongToken(desk, request)
  }
  const member = desk.networks.member(network.id, inviter)
  if (member === undefined)
    return new Refusal(`inviter ${inviter} is not a member of network ${network.id}`)
  return member.role === 'owner' || member.role === 'admin'
    ? undefined
    : new Refusal(`role owner or admin required in network ${network.id}`)
}

/** Does not consume: an invite stays until it is answered. */
const pollInvites: Operation = (desk, request) => {
  const nodeId = nodeIdField(request.message, 'node_id')
  const node = desk.authenticate(request, nodeId, pollInvitesChallenge(nodeId))
  if (node instanceof Refusal) return node.reply
  return {
    type: 'poll_invites_ok',
    invites: desk.networks.invitesFor(nodeId).map(({ network, inviter, unixSeconds }) => ({
      network_id: network,
      inviter_id: inviter,
      timestamp: unixSeconds,
    })),
  }
}

const respondInvite: Operation = (desk, request) => {
  const { message, now } = request
  const network = namedNetwork(desk, message)
  if (network instanceof Refusal) return network.reply
  const nodeId = nodeIdField(message, 'node_id')
  const challenge = respondInviteChallenge(nodeId, network.id)
  const node = desk.authenticate(request, nodeId, challenge)
  if (node instanceof Refusal) return node.reply
  const invite = desk.networks.invite(network.id, nodeId)
  if (invite === undefined)
    return refuse(`no pending invite of node ${nodeId} to network ${network.id}: not found`)
  const accepted = booleanField(message, 'accept')
  if (accepted) {
    const problem = admissionProblem(desk, network, nodeId)
    if (problem !== undefined) return refuse(problem)
    admit(desk, network, nodeId, now.unixSeconds)
  } else desk.networks.removeInvite(network.id, nodeId)
  const details = { accepted }
  const subject = { node: nodeId, network: network.id, details }
  desk.audit.add('invite.responded', now.unixSeconds, subject)
  return { type: 'respond_invite_ok', accepted, network_id: network.id }
}

export const INVITE_OPERATIONS: Readonly<Record<string, Operation>> = {
  invite_to_network: inviteToNetwork,
  poll_invites: pollInvites,
  respond_invite: respondInvite,
}
