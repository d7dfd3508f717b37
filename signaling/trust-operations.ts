/** Trust pairs and relayed handshakes (spec/04 §9). */
import {
  handshakeChallenge,
  pollHandshakesChallenge,
  reportTrustChallenge,
  respondHandshakeChallenge,
  revokeTrustChallenge,
} from '../core/wire/registry-challenge.ts'
import { JUSTIFICATION_BYTES_MAX } from './limits.ts'
import {
  nodeNotFound,
  type Operation,
  Refusal,
  type RegistryDesk,
  refuse,
} from './registry-desk.ts'
import { booleanField, cutBytes, nodeIdField, stringField } from './request-fields.ts'

/** Makes the pair, which either side can. */
function noteTrust(desk: RegistryDesk, nodeId: number, peerId: number, unixSeconds: number): void {
  const isNew = !desk.trust.hasPair(nodeId, peerId)
  desk.trust.addPair(nodeId, peerId)
  if (isNew)
    desk.audit.add('trust.created', unixSeconds, { node: nodeId, details: { peer_id: peerId } })
}

const reportTrust: Operation = (desk, request) => {
  const nodeId = nodeIdField(request.message, 'node_id')
  const peerId = nodeIdField(request.message, 'peer_id')
  const node = desk.authenticate(request, nodeId, reportTrustChallenge(nodeId, peerId))
  if (node instanceof Refusal) return node.reply
  if (desk.nodes.live(peerId) === undefined) return refuse(nodeNotFound(peerId))
  if (!desk.trust.hasRoom(nodeId, peerId)) return refuse('too many trusted peers')
  desk.trust.addConsent(nodeId, peerId, 'asked')
  noteTrust(desk, nodeId, peerId, request.now.unixSeconds)
  return { type: 'report_trust_ok' }
}

/**
 * The caller's consent goes in any case, so that the peer cannot make the pair anew and resolve. So does what
 * it left in the peer's inbox before: polled later it would look like asking anew.
 */
const revokeTrust: Operation = (desk, request) => {
  const nodeId = nodeIdField(request.message, 'node_id')
  const peerId = nodeIdField(request.message, 'peer_id')
  const node = desk.authenticate(request, nodeId, revokeTrustChallenge(nodeId, peerId))
  if (node instanceof Refusal) return node.reply
  const peer = desk.nodes.live(peerId)
  if (peer !== undefined && desk.mayResolve(nodeId, peer))
    desk.farewells.add(nodeId, peerId, request.now.at)
  desk.trust.removeConsent(nodeId, peerId)
  desk.inbox.withdraw(peerId, nodeId)
  if (!desk.trust.removePair(nodeId, peerId))
    return refuse(`no trust pair between ${nodeId} and ${peerId}`)
  const subject = { node: nodeId, details: { peer_id: peerId } }
  desk.audit.add('trust.revoked', request.now.unixSeconds, subject)
  return { type: 'revoke_trust_ok' }
}

const requestHandshake: Operation = (desk, request) => {
  const { message, now } = request
  const from = nodeIdField(message, 'from_node_id')
  const target = nodeIdField(message, 'to_node_id')
  const node = desk.authenticate(request, from, handshakeChallenge(from, target), {
    missing: 'handshake request requires signature',
    wrong: 'handshake request signature verification failed',
  })
  if (node instanceof Refusal) return node.reply
  if (desk.nodes.live(target) === undefined) return refuse(nodeNotFound(target))
  if (!desk.trust.hasRoom(from, target)) return refuse('too many trusted peers')
  const problem = desk.inbox.leaveRequest({
    target,
    from,
    justification: cutBytes(stringField(message, 'justification'), JUSTIFICATION_BYTES_MAX),
    unixSeconds: now.unixSeconds,
  })
  if (problem !== undefined) return refuse(problem)
  desk.trust.addConsent(from, target, 'asked')
  const details = { to_node_id: target }
  desk.audit.add('handshake.relayed', now.unixSeconds, { node: from, details })
  return { type: 'request_handshake_ok', status: 'delivered' }
}

const pollHandshakes: Operation = (desk, request) => {
  const nodeId = nodeIdField(request.message, 'node_id')
  const node = desk.authenticate(request, nodeId, pollHandshakesChallenge(nodeId))
  if (node instanceof Refusal) return node.reply
  const { requests, responses } = desk.inbox.poll(nodeId, request.connection)
  if (requests.length + responses.length > 0) request.connection.polled.add(nodeId)
  return {
    type: 'poll_handshakes_ok',
    requests: requests.map(({ from, justification, unixSeconds }) => ({
      from_node_id: from,
      justification,
      ...keyOf(desk, from),
      timestamp: unixSeconds,
    })),
    responses: responses.map(({ from, accept, unixSeconds }) => ({
      from_node_id: from,
      accept,
      timestamp: unixSeconds,
    })),
  }
}

/** Of who asks, as v1.9 adds it (spec/05 §9). */
function keyOf(desk: RegistryDesk, nodeId: number): { readonly public_key?: string } {
  const node = desk.nodes.get(nodeId)
  return node === undefined ? {} : { public_key: node.publicKey }
}

/**
 * Deviation (spec/04 §22 W8): only who was asked through this registry can answer; anything else would make
 * a daemon believe in trust it never asked for.
 */
const respondHandshake: Operation = (desk, request) => {
  const { message, now } = request
  const nodeId = nodeIdField(message, 'node_id')
  const peerId = nodeIdField(message, 'peer_id')
  const accept = booleanField(message, 'accept')
  const node = desk.authenticate(request, nodeId, respondHandshakeChallenge(nodeId, peerId), {
    missing: 'handshake response requires signature',
    wrong: 'handshake response signature verification failed',
  })
  if (node instanceof Refusal) return node.reply
  if (desk.nodes.live(peerId) === undefined) return refuse(nodeNotFound(peerId))
  if (!desk.inbox.wasAsked(nodeId, peerId, now.unixSeconds))
    return refuse(`no pending handshake request from node ${peerId}`)
  if (!desk.inbox.hasRoomForResponse(peerId, nodeId))
    return refuse(`handshake response inbox full for node ${peerId}`)
  if (accept) {
    if (!desk.trust.hasRoom(nodeId, peerId)) return refuse('too many trusted peers')
    desk.trust.addConsent(nodeId, peerId, 'asked')
    noteTrust(desk, nodeId, peerId, now.unixSeconds)
  }
  desk.inbox.leaveResponse({
    target: peerId,
    from: nodeId,
    accept,
    unixSeconds: now.unixSeconds,
  })
  const details = { peer_id: peerId, accept }
  desk.audit.add('handshake.responded', now.unixSeconds, { node: nodeId, details })
  return { type: 'respond_handshake_ok', accept, peer_id: peerId }
}

export const TRUST_OPERATIONS: Readonly<Record<string, Operation>> = {
  report_trust: reportTrust,
  revoke_trust: revokeTrust,
  request_handshake: requestHandshake,
  poll_handshakes: pollHandshakes,
  respond_handshake: respondHandshake,
}
