/** Who is who and where: what nodes ask about each other (spec/04 §8.4, §8.5, §8.7, §8.12; 05 §7). */
import { formatRotations } from '../core/trust/key-rotations.ts'
import { punchChallenge, resolveChallenge } from '../core/wire/registry-challenge.ts'
import type { RegistryMessage } from '../core/wire/registry-message.ts'
import { expiredKey, keyAgeDays } from './key-operations.ts'
import type { NodeRecord } from './node-table.ts'
import { backboneAddress } from './register-operation.ts'
import type { RegistryConnection } from './registry-connection.ts'
import {
  nodeNotFound,
  type Operation,
  Refusal,
  type RegistryDesk,
  refuse,
} from './registry-desk.ts'
import { nodeIdField, quoted, stringField } from './request-fields.ts'

const lookup: Operation = (desk, { message, connection }) => {
  const nodeId = nodeIdField(message, 'node_id')
  const node = desk.nodes.live(nodeId)
  if (node === undefined) return refuse(nodeNotFound(nodeId))
  return {
    type: 'lookup_ok',
    node_id: nodeId,
    address: backboneAddress(nodeId),
    networks: [0, ...desk.networks.ofNode(nodeId)],
    public_key: node.publicKey,
    public: node.isPublic,
    polo_score: node.poloScore,
    ...(node.hostname === '' ? {} : { hostname: node.hostname }),
    ...(node.tags.length === 0 ? {} : { tags: node.tags }),
    ...(node.taskExec ? { task_exec: true } : {}),
    ...(node.isPublic ? place(desk, node, connection) : {}),
    ...(node.isPublic && node.endpoints.length > 0 ? { endpoints: node.endpoints } : {}),
    ...(node.version === '' ? {} : { version: node.version }),
    ...(node.rotations.length === 0 ? {} : { rotations: formatRotations(node.rotations) }),
    ...(node.relayOnly ? { relay_only: true } : {}),
  }
}

/**
 * Where a node is to be reached. In place of a relay-only one the beacon is named, as later registries do
 * (spec/05 §7): the base profile's daemons dial no node without an address, and go to the relay after 7 s.
 */
function place(
  desk: RegistryDesk,
  node: NodeRecord,
  connection: RegistryConnection,
): { readonly real_addr?: string; readonly relay_only?: true } {
  if (!node.relayOnly) return { real_addr: node.endpoint }
  const beacon = desk.options.beaconAt?.(connection.localAddress)
  return { ...(beacon === undefined ? {} : { real_addr: beacon }), relay_only: true }
}

/** One text whether the target is unknown or private, so that a refusal tells nothing (spec/04 §4). */
function hidden(nodeId: number): RegistryMessage {
  return refuse(`node ${nodeId}: not found or private (establish mutual trust first)`)
}

const resolve: Operation = (desk, request) => {
  const targetId = nodeIdField(request.message, 'node_id')
  const requesterId = nodeIdField(request.message, 'requester_id')
  if (desk.nodes.live(requesterId) === undefined)
    return refuse(`resolve denied: requester node ${requesterId} is not registered`)
  const requester = desk.authenticate(request, requesterId, resolveChallenge(requesterId, targetId))
  if (requester instanceof Refusal) return requester.reply
  const expired = expiredKey(requester, request.now.unixSeconds)
  if (expired !== undefined) return refuse(expired)
  const target = desk.nodes.live(targetId)
  if (target === undefined || expiredKey(target, request.now.unixSeconds) !== undefined)
    return hidden(targetId)
  if (desk.mayResolve(requesterId, target)) {
    if (targetId !== requesterId) desk.trust.addConsent(requesterId, targetId, 'resolved')
  } else if (!desk.farewells.has(requesterId, targetId, request.now.at)) return hidden(targetId)
  const age = keyAgeDays(target, request.now.unixSeconds)
  return {
    type: 'resolve_ok',
    node_id: targetId,
    ...place(desk, target, request.connection),
    public_key: target.publicKey,
    ...(age === undefined ? {} : { key_age_days: age }),
    ...(hasLanOf(desk, requester, target) ? { lan_addrs: target.lanAddrs } : {}),
    ...(target.endpoints.length === 0 ? {} : { endpoints: target.endpoints }),
  }
}

/** Deviation (spec/05 §24 L23): only who has the same public address, or is trusted, is told addresses of a LAN. */
function hasLanOf(desk: RegistryDesk, requester: NodeRecord, target: NodeRecord): boolean {
  if (target.lanAddrs.length === 0 || target.relayOnly) return false
  if (requester.sourceIp === target.sourceIp) return true
  const { id } = target
  return desk.trust.hasPair(requester.id, id) && desk.trust.hasConsent(id, requester.id)
}

/** Deviation (spec/04 §22 W6): the other participant's endpoint is given only as `resolve` would. */
const punch: Operation = (desk, request) => {
  const [requesterId, a, b] = ['requester_id', 'node_a', 'node_b'].map((name) =>
    nodeIdField(request.message, name),
  ) as [number, number, number]
  if (desk.nodes.live(requesterId) === undefined) return refuse(nodeNotFound(requesterId))
  if (requesterId !== a && requesterId !== b)
    return refuse('punch denied: requester must be participant')
  const requester = desk.authenticate(request, requesterId, punchChallenge(a, b))
  if (requester instanceof Refusal) return requester.reply
  const other = requesterId === a ? b : a
  const [nodeA, nodeB] = [desk.nodes.live(a), desk.nodes.live(b)]
  if (nodeA === undefined || nodeB === undefined) return hidden(other)
  const peer = requesterId === a ? nodeB : nodeA
  if (other !== requesterId && !desk.mayResolve(requesterId, peer)) return hidden(other)
  return {
    type: 'punch_ok',
    node_a: a,
    node_a_addr: place(desk, nodeA, request.connection).real_addr ?? '',
    node_b: b,
    node_b_addr: place(desk, nodeB, request.connection).real_addr ?? '',
  }
}

const resolveHostname: Operation = (desk, { message }) => {
  const hostname = stringField(message, 'hostname')
  if (hostname === '') return refuse('hostname required')
  const node = desk.nodes.byHostname(hostname)
  if (node === undefined) return refuse(`hostname ${quoted(hostname)} not found`)
  return {
    type: 'resolve_hostname_ok',
    node_id: node.id,
    address: backboneAddress(node.id),
    public: node.isPublic,
    hostname,
  }
}

export const LOOKUP_OPERATIONS: Readonly<Record<string, Operation>> = {
  lookup,
  resolve,
  punch,
  resolve_hostname: resolveHostname,
}
