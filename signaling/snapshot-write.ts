/** The state of a store as a reference's state file (spec/04 §15, 05 §20), for a registry of either generation. */
import { formatRfc3339 } from '../core/time-text.ts'
import type { StoredMember, StoredNetwork, StoredNode, StoredState } from './registry-store.ts'
import { ownMembers } from './snapshot-own.ts'

type Members = Record<string, unknown>

/**
 * What a reference has no place for stands in the member `pilot_ts`, which references pass over.
 */
export function writeSnapshot(state: StoredState, unixSeconds: number): string {
  const nodes = [...state.nodes]
  const live = nodes.filter(({ isLive }) => isLive)
  const members = [...state.members].filter(({ departedAt }) => departedAt === 0)
  const now = formatRfc3339(unixSeconds)
  const byNode = Map.groupBy(members, ({ node }) => node)
  const byNetwork = Map.groupBy(members, ({ network }) => network)
  const networksOf = (id: number): number[] => (byNode.get(id) ?? []).map(({ network }) => network)
  return JSON.stringify({
    version: 1,
    next_node: state.nextNodeId,
    next_net: state.nextNetworkId,
    nodes: Object.fromEntries(
      live.map((node) => [node.id, nodeOf(node, networksOf(node.id), now)]),
    ),
    networks: {
      0: {
        id: 0,
        name: 'backbone',
        join_rule: 'open',
        members: live.map(({ id }) => id),
        created: now,
      },
      ...Object.fromEntries(
        [...state.networks].map((network) => [
          network.id,
          networkOf(network, byNetwork.get(network.id) ?? []),
        ]),
      ),
    },
    trust_pairs: [...state.pairs].map((pair) => pair.join(':')),
    pub_key_idx: Object.fromEntries(nodes.map(({ id, publicKey }) => [publicKey, id])),
    handshake_inbox: byTarget(state.requests, ({ from, justification, unixSeconds: at }) => ({
      from_node_id: from,
      justification,
      timestamp: formatRfc3339(at),
    })),
    handshake_responses: byTarget(state.responses, ({ from, accept, unixSeconds: at }) => ({
      from_node_id: from,
      accept,
      timestamp: formatRfc3339(at),
    })),
    invite_inbox: byTarget(state.invites, ({ network, inviter, unixSeconds: at }) => ({
      network_id: network,
      inviter_id: inviter,
      timestamp: formatRfc3339(at),
    })),
    pilot_ts: ownMembers(state, nodes),
    audit_log: [...state.audit].map(({ unixSeconds: at, action, node, network, details }) => ({
      timestamp: formatRfc3339(at),
      action,
      ...(network === 0 ? {} : { network_id: network }),
      ...(node === 0 ? {} : { node_id: node }),
      ...(details === '' ? {} : { details }),
    })),
  })
}

function nodeOf(node: StoredNode, networks: readonly number[], now: string): Members {
  const { keyCreatedAt, keyRotatedAt, keyExpiresAt } = node
  return {
    id: node.id,
    ...(node.owner === '' ? {} : { owner: node.owner }),
    public_key: node.publicKey,
    ...(node.endpoint === '' || node.relayOnly ? {} : { real_addr: node.endpoint }),
    networks: [0, ...networks],
    ...(node.isPublic ? { public: true } : {}),
    // It counts as seen just now, as it does for our own restart (spec/04 §21.12).
    last_seen: now,
    ...(node.hostname === '' ? {} : { hostname: node.hostname }),
    ...(node.tags.length === 0 ? {} : { tags: node.tags }),
    ...(node.poloScore === 0 ? {} : { polo_score: node.poloScore }),
    ...(node.taskExec ? { task_exec: true } : {}),
    ...(node.lanAddrs.length === 0 ? {} : { lan_addrs: node.lanAddrs }),
    ...(keyCreatedAt === 0 ? {} : { key_created: formatRfc3339(keyCreatedAt) }),
    ...(keyRotatedAt === 0 ? {} : { key_rotated: formatRfc3339(keyRotatedAt) }),
    ...(node.keyRotations === 0 ? {} : { key_rot_count: node.keyRotations }),
    ...(keyExpiresAt === 0 ? {} : { key_expires: formatRfc3339(keyExpiresAt) }),
    ...(node.version === '' ? {} : { version: node.version }),
    ...(node.endpoints.length === 0 ? {} : { endpoints: node.endpoints }),
  }
}

function networkOf(network: StoredNetwork, members: readonly StoredMember[]): Members {
  const { maxMembers, allowedPorts, description } = network
  const hasPolicy = maxMembers > 0 || allowedPorts !== null || description !== ''
  const tagged = members.filter(({ tags }) => tags.length > 0)
  return {
    id: network.id,
    name: network.name,
    join_rule: network.joinRule,
    ...(network.token === '' ? {} : { token: network.token }),
    members: members.map(({ node }) => node),
    member_roles: Object.fromEntries(
      members.filter(({ role }) => role !== '').map(({ node, role }) => [node, role]),
    ),
    ...(tagged.length === 0
      ? {}
      : { member_tags: Object.fromEntries(tagged.map(({ node, tags }) => [node, tags])) }),
    ...(network.adminToken === '' ? {} : { admin_token: network.adminToken }),
    ...(hasPolicy
      ? { policy: { max_members: maxMembers, allowed_ports: allowedPorts, description } }
      : {}),
    ...(network.rules === '' ? {} : { rules: JSON.parse(network.rules) }),
    ...(network.exprPolicy === '' ? {} : { expr_policy: JSON.parse(network.exprPolicy) }),
    ...(network.isEnterprise ? { enterprise: true } : {}),
    created: formatRfc3339(network.createdAt),
  }
}

function byTarget<Item extends { readonly target: number }>(
  items: Iterable<Item>,
  format: (item: Item) => Members,
): Record<string, Members[]> {
  const inboxes: Record<string, Members[]> = {}
  for (const item of items) {
    inboxes[item.target] ??= []
    inboxes[item.target]!.push(format(item))
  }
  return inboxes
}
