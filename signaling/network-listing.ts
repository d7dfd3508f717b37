/** Which networks there are, and who is in them (spec/05 §7, §12). */
import { formatRfc3339 } from '../core/time-text.ts'
import { formatAddress } from '../core/wire/address.ts'
import type { RegistryMessage } from '../core/wire/registry-message.ts'
import { isAdmin, mayReadNetwork } from './admin-access.ts'
import { LISTED_MEMBERS_MAX } from './limits.ts'
import { namedNetwork, networkNotFound } from './network-operations.ts'
import {
  type Operation,
  Refusal,
  type RegistryDesk,
  type RegistryRequest,
  refuse,
} from './registry-desk.ts'
import type { StoredNetwork } from './registry-store.ts'
import { networkIdField, nodeIdField } from './request-fields.ts'

const listNetworks: Operation = (desk) => ({
  type: 'list_networks_ok',
  networks: [
    {
      id: 0,
      name: 'backbone',
      members: desk.nodes.liveCount,
      join_rule: 'open',
      enterprise: false,
      created: desk.createdAt,
    },
    ...[...desk.networks.all()].map((network) => networkEntry(desk, network)),
  ],
})

function networkEntry(desk: RegistryDesk, network: StoredNetwork): RegistryMessage {
  const { id, name, joinRule, isEnterprise, createdAt, rules, exprPolicy } = network
  return {
    id,
    name,
    members: desk.networks.memberCount(id),
    join_rule: joinRule,
    enterprise: isEnterprise,
    created: createdAt,
    ...(rules === '' ? {} : { managed: true, rules: JSON.parse(rules) }),
    ...(exprPolicy === '' ? {} : { has_expr_policy: true }),
    ...(isEnterprise && network.maxMembers > 0 ? { max_members: network.maxMembers } : {}),
    ...(isEnterprise && network.description !== '' ? { description: network.description } : {}),
  }
}

/**
 * At most 1000 members, above the id `after` where it is given; `truncated` says that there are more
 * (spec/05 §24 L25).
 */
const listNodes: Operation = (desk, request) => {
  const { message } = request
  const networkId = networkIdField(message, 'network_id')
  const asked = nodeIdField(message, 'limit')
  const limit = asked === 0 ? LISTED_MEMBERS_MAX : Math.min(asked, LISTED_MEMBERS_MAX)
  const after = nodeIdField(message, 'after')
  let ids: readonly number[]
  if (networkId === 0) {
    if (!isAdmin(desk, message))
      return refuse('listing backbone nodes is not permitted (use lookup with a specific node_id)')
    ids = [...desk.nodes.liveNodes()].map(({ id }) => id)
  } else {
    const network = namedNetwork(desk, message)
    // One text for a network that is not there and one whose members are not told (spec/05 §24 L5).
    if (network instanceof Refusal || !mayReadNetwork(desk, request, network))
      return refuse(networkNotFound(networkId))
    ids = [...desk.networks.members(networkId)].map(({ node }) => node)
  }
  const rest = ids.filter((id) => id > after).sort((a, b) => a - b)
  return {
    type: 'list_nodes_ok',
    nodes: rest.slice(0, limit).map((id) => nodeEntry(desk, request, networkId, id)),
    ...(rest.length > limit ? { truncated: true } : {}),
  }
}

function nodeEntry(
  desk: RegistryDesk,
  { now }: RegistryRequest,
  network: number,
  id: number,
): RegistryMessage {
  const node = desk.nodes.live(id)
  const member = desk.networks.member(network, id)
  const role = member === undefined || member.role === '' ? {} : { role: member.role }
  const address = formatAddress({ network, node: id })
  if (node === undefined) return { node_id: id, address, offline: true, ...role }
  const seenAgo = Math.max(0, now.at - node.lastSeenAt) / 1000
  return {
    node_id: id,
    address,
    public: node.isPublic,
    polo_score: node.poloScore,
    last_seen: formatRfc3339(Math.floor(now.unixSeconds - seenAgo)),
    ...(node.hostname === '' ? {} : { hostname: node.hostname }),
    ...(node.isPublic && !node.relayOnly ? { real_addr: node.endpoint } : {}),
    ...role,
    ...(node.tags.length === 0 ? {} : { tags: node.tags }),
    ...(member === undefined || member.tags.length === 0 ? {} : { member_tags: member.tags }),
    ...(node.version === '' ? {} : { version: node.version }),
    ...(node.taskExec ? { task_exec: true } : {}),
  }
}

export const LISTING_OPERATIONS: Readonly<Record<string, Operation>> = {
  list_networks: listNetworks,
  list_nodes: listNodes,
}
