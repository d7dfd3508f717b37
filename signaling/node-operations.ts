/** Operations on one node record and its attributes (spec/04 §8.2 to §8.12). */

import { utf8 } from '../core/bytes.ts'
import {
  deregisterChallenge,
  heartbeatChallenge,
  punchChallenge,
  resolveChallenge,
  rotateKeyChallenge,
  setHostnameChallenge,
  setTagsChallenge,
  setTaskExecChallenge,
  setVisibilityChallenge,
} from '../core/wire/registry-challenge.ts'
import type { RegistryMessage } from '../core/wire/registry-message.ts'
import type { NodeRecord } from './node-table.ts'
import { backboneAddress } from './register-operation.ts'
import type { RegistryConnection } from './registry-connection.ts'
import {
  nodeNotFound,
  type Operation,
  Refusal,
  type RegistryDesk,
  type RegistryRequest,
  refuse,
} from './registry-desk.ts'
import {
  booleanField,
  nodeIdField,
  parsePublicKey,
  parseSignature,
  quoted,
  stringField,
} from './request-fields.ts'
import { hostnameProblem, parseTags } from './validation.ts'

const heartbeat: Operation = (desk, request) => {
  const nodeId = nodeIdField(request.message, 'node_id')
  const node = desk.authenticate(request, nodeId, heartbeatChallenge(nodeId))
  if (node instanceof Refusal) return node.reply
  node.lastSeenAt = request.now.at
  return { type: 'heartbeat_ok', time: request.now.unixSeconds }
}

const deregister: Operation = (desk, request) => {
  const nodeId = nodeIdField(request.message, 'node_id')
  if (desk.nodes.live(nodeId) === undefined) return { type: 'deregister_ok' }
  const node = desk.authenticate(request, nodeId, deregisterChallenge(nodeId))
  if (node instanceof Refusal) return node.reply
  if (!desk.deregistrations.take(nodeId, request.now.at))
    return refuse(`rate limited: too many deregistrations of node ${nodeId}`)
  desk.nodes.remove(node)
  return { type: 'deregister_ok' }
}

const lookup: Operation = (desk, { message, connection }) => {
  const nodeId = nodeIdField(message, 'node_id')
  const node = desk.nodes.live(nodeId)
  if (node === undefined) return refuse(nodeNotFound(nodeId))
  return {
    type: 'lookup_ok',
    node_id: nodeId,
    address: backboneAddress(nodeId),
    networks: [0],
    public_key: node.publicKey,
    public: node.isPublic,
    polo_score: node.poloScore,
    ...(node.hostname === '' ? {} : { hostname: node.hostname }),
    ...(node.tags.length === 0 ? {} : { tags: node.tags }),
    ...(node.taskExec ? { task_exec: true } : {}),
    ...(node.isPublic ? place(desk, node, connection) : {}),
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
  const target = desk.nodes.live(targetId)
  if (target === undefined) return hidden(targetId)
  if (desk.mayResolve(requesterId, target)) {
    if (targetId !== requesterId) desk.trust.addConsent(requesterId, targetId, 'resolved')
  } else if (!desk.farewells.has(requesterId, targetId, request.now.at)) return hidden(targetId)
  return { type: 'resolve_ok', node_id: targetId, ...place(desk, target, request.connection) }
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

/** The name is checked before the signature (spec/04 §8.6). */
const setHostname: Operation = (desk, request) => {
  const hostname = stringField(request.message, 'hostname')
  const problem = hostname === '' ? undefined : hostnameProblem(hostname)
  if (problem !== undefined) return refuse(`invalid hostname: ${problem}`)
  const nodeId = nodeIdField(request.message, 'node_id')
  const node = desk.authenticate(request, nodeId, setHostnameChallenge(nodeId))
  if (node instanceof Refusal) return node.reply
  const holder = hostname === '' ? undefined : desk.nodes.byHostname(hostname)
  if (holder !== undefined && holder.id !== nodeId)
    return refuse(`hostname ${quoted(hostname)} already in use by node ${holder.id}`)
  if (node.hostname !== hostname) desk.nodes.change(node, { hostname })
  return { type: 'set_hostname_ok', node_id: nodeId, hostname }
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

const setVisibility: Operation = (desk, request) => {
  const nodeId = nodeIdField(request.message, 'node_id')
  const node = desk.authenticate(request, nodeId, setVisibilityChallenge(nodeId))
  if (node instanceof Refusal) return node.reply
  const isPublic = booleanField(request.message, 'public')
  if (node.isPublic !== isPublic) desk.nodes.change(node, { isPublic })
  return {
    type: 'set_visibility_ok',
    node_id: nodeId,
    visibility: isPublic ? 'public' : 'private',
  }
}

/** An empty list is answered with null (spec/04 §8.9). */
const setTags: Operation = (desk, request) => {
  const { tags, problem } = { tags: [], ...parseTags(request.message.tags) }
  if (problem !== undefined) return refuse(problem)
  const nodeId = nodeIdField(request.message, 'node_id')
  const node = desk.authenticate(request, nodeId, setTagsChallenge(nodeId))
  if (node instanceof Refusal) return node.reply
  if (node.tags.join() !== tags.join()) desk.nodes.change(node, { tags })
  return { type: 'set_tags_ok', node_id: nodeId, tags: tags.length === 0 ? null : tags }
}

const setTaskExec: Operation = (desk, request) => {
  const nodeId = nodeIdField(request.message, 'node_id')
  const node = desk.authenticate(request, nodeId, setTaskExecChallenge(nodeId))
  if (node instanceof Refusal) return node.reply
  const taskExec = booleanField(request.message, 'enabled')
  if (node.taskExec !== taskExec) desk.nodes.change(node, { taskExec })
  return { type: 'set_task_exec_ok', node_id: nodeId, task_exec: taskExec }
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
  const rotated = holder === undefined ? desk.nodes.rekey(node, newKey) : node
  rotated.lastSeenAt = request.now.at
  return {
    type: 'rotate_key_ok',
    node_id: nodeId,
    address: backboneAddress(nodeId),
    public_key: newKeyText,
  }
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

export const NODE_OPERATIONS: Readonly<Record<string, Operation>> = {
  heartbeat,
  deregister,
  lookup,
  resolve,
  punch,
  set_hostname: setHostname,
  resolve_hostname: resolveHostname,
  set_visibility: setVisibility,
  set_tags: setTags,
  set_task_exec: setTaskExec,
  rotate_key: rotateKey,
}
