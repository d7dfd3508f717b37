/** Operations of one node on its own record (spec/04 §8.2 to §8.10). */
import {
  deregisterChallenge,
  heartbeatChallenge,
  heartbeatMoveChallenge,
  setHostnameChallenge,
  setTagsChallenge,
  setTaskExecChallenge,
  setVisibilityChallenge,
} from '../core/wire/registry-challenge.ts'
import { nodeOrAdmin } from './admin-access.ts'
import { expiredKey } from './key-operations.ts'
import { KEY_WARNING_SECONDS } from './limits.ts'
import { type Operation, Refusal, refuse } from './registry-desk.ts'
import {
  booleanField,
  nodeIdField,
  quoted,
  registeredEndpoint,
  stringField,
} from './request-fields.ts'
import { hostnameProblem, parseTags } from './validation.ts'

/** With a `listen_addr`, which is signed then, also a new endpoint (spec/05 §6.1). */
const heartbeat: Operation = (desk, request) => {
  const { message, connection, now } = request
  const nodeId = nodeIdField(message, 'node_id')
  const listenAddr = stringField(message, 'listen_addr')
  // The base profile ignores a listen_addr and signs the short text (spec/04 §8.2).
  let node = desk.authenticate(request, nodeId, heartbeatChallenge(nodeId))
  const isMove = node instanceof Refusal && listenAddr !== ''
  if (isMove) node = desk.authenticate(request, nodeId, heartbeatMoveChallenge(nodeId, listenAddr))
  if (node instanceof Refusal) return node.reply
  const expired = expiredKey(node, now.unixSeconds)
  if (expired !== undefined) {
    desk.audit.add('key.expired_heartbeat_blocked', now.unixSeconds, { node: nodeId })
    return refuse(expired)
  }
  const endpoint = registeredEndpoint(listenAddr, connection.source)
  if (isMove && node.endpoint !== endpoint) node = desk.nodes.change(node, { endpoint })
  node.lastSeenAt = now.at
  const warns = node.keyExpiresAt !== 0 && node.keyExpiresAt - now.unixSeconds < KEY_WARNING_SECONDS
  return {
    type: 'heartbeat_ok',
    time: now.unixSeconds,
    ...(warns ? { key_expiry_warning: true } : {}),
  }
}

const deregister: Operation = (desk, request) => {
  const nodeId = nodeIdField(request.message, 'node_id')
  if (desk.nodes.live(nodeId) === undefined) return { type: 'deregister_ok' }
  const node = nodeOrAdmin(desk, request, nodeId, deregisterChallenge(nodeId))
  if (node instanceof Refusal) return node.reply
  if (!desk.deregistrations.take(nodeId, request.now.at))
    return refuse(`rate limited: too many deregistrations of node ${nodeId}`)
  desk.nodes.remove(node)
  desk.networks.depart(nodeId, request.now.unixSeconds)
  desk.audit.add('node.deregistered', request.now.unixSeconds, { node: nodeId })
  return { type: 'deregister_ok' }
}

/** The name is checked before the signature (spec/04 §8.6). */
const setHostname: Operation = (desk, request) => {
  const hostname = stringField(request.message, 'hostname')
  const problem = hostname === '' ? undefined : hostnameProblem(hostname)
  if (problem !== undefined) return refuse(`invalid hostname: ${problem}`)
  const nodeId = nodeIdField(request.message, 'node_id')
  const node = nodeOrAdmin(desk, request, nodeId, setHostnameChallenge(nodeId))
  if (node instanceof Refusal) return node.reply
  const holder = hostname === '' ? undefined : desk.nodes.byHostname(hostname)
  if (holder !== undefined && holder.id !== nodeId)
    return refuse(`hostname ${quoted(hostname)} already in use by node ${holder.id}`)
  if (node.hostname !== hostname) {
    desk.nodes.change(node, { hostname })
    const details = { hostname }
    desk.audit.add('hostname.changed', request.now.unixSeconds, { node: nodeId, details })
  }
  return { type: 'set_hostname_ok', node_id: nodeId, hostname }
}

const setVisibility: Operation = (desk, request) => {
  const nodeId = nodeIdField(request.message, 'node_id')
  const node = nodeOrAdmin(desk, request, nodeId, setVisibilityChallenge(nodeId))
  if (node instanceof Refusal) return node.reply
  const isPublic = booleanField(request.message, 'public')
  if (node.isPublic !== isPublic) {
    desk.nodes.change(node, { isPublic })
    const details = { public: isPublic }
    desk.audit.add('visibility.changed', request.now.unixSeconds, { node: nodeId, details })
  }
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
  const node = nodeOrAdmin(desk, request, nodeId, setTagsChallenge(nodeId))
  if (node instanceof Refusal) return node.reply
  if (node.tags.join() !== tags.join()) {
    desk.nodes.change(node, { tags })
    const details = { tags: tags.join(' ') }
    desk.audit.add('tags.changed', request.now.unixSeconds, { node: nodeId, details })
  }
  return { type: 'set_tags_ok', node_id: nodeId, tags: tags.length === 0 ? null : tags }
}

const setTaskExec: Operation = (desk, request) => {
  const nodeId = nodeIdField(request.message, 'node_id')
  const node = nodeOrAdmin(desk, request, nodeId, setTaskExecChallenge(nodeId))
  if (node instanceof Refusal) return node.reply
  const taskExec = booleanField(request.message, 'enabled')
  if (node.taskExec !== taskExec) {
    desk.nodes.change(node, { taskExec })
    const details = { task_exec: taskExec }
    desk.audit.add('task_exec.changed', request.now.unixSeconds, { node: nodeId, details })
  }
  return { type: 'set_task_exec_ok', node_id: nodeId, task_exec: taskExec }
}

export const NODE_OPERATIONS: Readonly<Record<string, Operation>> = {
  heartbeat,
  deregister,
  set_hostname: setHostname,
  set_visibility: setVisibility,
  set_tags: setTags,
  set_task_exec: setTaskExec,
}
