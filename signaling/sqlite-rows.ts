/** Rows of the registry's SQLite file that later versions added, checked: what cannot be is refused (spec/04 §22 W26). */

import { parseRotations } from '../core/trust/key-rotations.ts'
import { parseExtraEndpoints, parseLanAddrs } from './registration-extras.ts'
import type {
  JoinRule,
  MemberRole,
  StoredAuditEntry,
  StoredInvite,
  StoredMember,
  StoredNetwork,
  StoredNode,
} from './registry-store.ts'
import { hostnameProblem, parseTags } from './validation.ts'

export type Row = Record<string, unknown>

/** What is wrong, in a few words. */
export class BadRow extends Error {}

export function keyFactsOf(
  row: Row,
): Pick<
  StoredNode,
  | 'keyCreatedAt'
  | 'keyRotatedAt'
  | 'keyExpiresAt'
  | 'keyRotations'
  | 'version'
  | 'lanAddrs'
  | 'endpoints'
  | 'rotations'
> {
  return {
    keyCreatedAt: Number(row.key_created),
    keyRotatedAt: Number(row.key_rotated),
    keyExpiresAt: Number(row.key_expires),
    keyRotations: Number(row.key_rotations),
    version: String(row.version),
    lanAddrs: parseLanAddrs(json(row.lan_addrs)),
    endpoints: parseExtraEndpoints(json(row.endpoints)),
    rotations: parseRotations(json(row.rotations)),
  }
}

export function networkOf(row: Row): StoredNetwork {
  const id = integer(row.id, 1, 0xffff, 'a network id')
  const name = String(row.name)
  if (hostnameProblem(name) !== undefined) throw new BadRow(`the name of network ${id}`)
  const joinRule = String(row.join_rule)
  if (!isJoinRule(joinRule)) throw new BadRow(`the join rule of network ${id}`)
  const ports = json(row.allowed_ports)
  if (ports !== null && !(Array.isArray(ports) && ports.every(isPort)))
    throw new BadRow(`the ports of network ${id}`)
  for (const text of [row.rules, row.expr_policy]) if (text !== '') json(text)
  return {
    id,
    name,
    joinRule,
    token: String(row.token),
    adminToken: String(row.admin_token),
    isEnterprise: row.is_enterprise === 1,
    createdAt: Number(row.created_at),
    maxMembers: integer(row.max_members, 0, 0xffffffff, `the limit of network ${id}`),
    allowedPorts: ports,
    description: String(row.description),
    rules: String(row.rules),
    exprPolicy: String(row.expr_policy),
  }
}

export function memberOf(row: Row): StoredMember {
  const network = integer(row.network, 1, 0xffff, 'a network id')
  const node = integer(row.node, 1, 0xffffffff, 'a node id')
  const role = String(row.role)
  if (!isRole(role)) throw new BadRow(`the role of node ${node} in network ${network}`)
  const { tags } = { tags: undefined, ...parseTags(json(row.tags)) }
  if (tags === undefined) throw new BadRow(`the tags of node ${node} in network ${network}`)
  return { network, node, role, tags, departedAt: Number(row.departed_at) }
}

export function inviteOf(row: Row): StoredInvite {
  return {
    network: integer(row.network, 1, 0xffff, 'a network id'),
    target: integer(row.target, 1, 0xffffffff, 'a node id'),
    inviter: integer(row.inviter, 0, 0xffffffff, 'a node id'),
    unixSeconds: Number(row.unix_seconds),
  }
}

export function auditOf(row: Row): StoredAuditEntry {
  return {
    sequence: integer(row.sequence, 1, Number.MAX_SAFE_INTEGER, 'an audit number'),
    kind: row.kind === 'admin' ? 'admin' : 'node',
    unixSeconds: Number(row.unix_seconds),
    action: String(row.action),
    node: Number(row.node),
    network: Number(row.network),
    details: String(row.details),
  }
}

export function isJoinRule(text: string): text is JoinRule {
  return text === 'open' || text === 'token' || text === 'invite'
}

export function isRole(text: string): text is MemberRole {
  return text === '' || text === 'owner' || text === 'admin' || text === 'member'
}

export function isPort(value: unknown): value is number {
  return typeof value === 'number' && Number.isInteger(value) && value >= 1 && value <= 0xffff
}

function integer(value: unknown, least: number, most: number, what: string): number {
  if (typeof value !== 'number' || !Number.isInteger(value) || value < least || value > most)
    throw new BadRow(`${what} out of range`)
  return value
}

function json(text: unknown): unknown {
  try {
    return JSON.parse(String(text))
  } catch {
    throw new BadRow('a text that is not JSON')
  }
}
