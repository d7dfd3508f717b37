/**
 * The ASCII texts that registry requests sign, Ed25519 with the node's registered key, base64 in the
 * member `signature` (spec/04 §6). Node ids are written in decimal, unsigned.
 */

export function heartbeatChallenge(nodeId: number): string {
  return `heartbeat:${nodeId}`
}

export function deregisterChallenge(nodeId: number): string {
  return `deregister:${nodeId}`
}

export function setVisibilityChallenge(nodeId: number): string {
  return `set_visibility:${nodeId}`
}

export function setHostnameChallenge(nodeId: number): string {
  return `set_hostname:${nodeId}`
}

export function setTagsChallenge(nodeId: number): string {
  return `set_tags:${nodeId}`
}

export function setTaskExecChallenge(nodeId: number): string {
  return `set_task_exec:${nodeId}`
}

/** The requester comes first, although the request names the target `node_id`. */
export function resolveChallenge(requesterId: number, nodeId: number): string {
  return `resolve:${requesterId}:${nodeId}`
}

/** Of the latest registries in strict directory mode; all others take the name without a signature (spec/05 §8). */
export function resolveHostnameChallenge(requesterId: number): string {
  return `resolve_hostname:${requesterId}`
}

/** As sent, not sorted. */
export function punchChallenge(nodeA: number, nodeB: number): string {
  return `punch:${nodeA}:${nodeB}`
}

export function reportTrustChallenge(nodeId: number, peerId: number): string {
  return `report_trust:${nodeId}:${peerId}`
}

export function revokeTrustChallenge(nodeId: number, peerId: number): string {
  return `revoke_trust:${nodeId}:${peerId}`
}

/** Also the challenge of the trust messages between nodes (spec/03). */
export function handshakeChallenge(fromNodeId: number, toNodeId: number): string {
  return `handshake:${fromNodeId}:${toNodeId}`
}

export function respondHandshakeChallenge(nodeId: number, peerId: number): string {
  return `respond:${nodeId}:${peerId}`
}

export function pollHandshakesChallenge(nodeId: number): string {
  return `poll_handshakes:${nodeId}`
}

/**
 * Proof of the key in `register`, texts exactly as sent (spec/05 §5). Base-profile registries ignore it;
 * ours accepts only signed registrations of a key that has signed once (spec/04 §22 W3).
 */
export function registerChallenge(listenAddr: string, publicKey: string): string {
  return `register:${listenAddr}:${publicKey}`
}

/**
 * The form that covers the new key, as sent (spec/04 §22 W4), or without one the form that the base profile
 * and v1.9 want.
 */
export function rotateKeyChallenge(nodeId: number, newPublicKey?: string): string {
  return newPublicKey === undefined ? `rotate:${nodeId}` : `rotate:${nodeId}:${newPublicKey}`
}

/** Of later registries' `heartbeat` with a `listen_addr` (spec/05 §6.1). */
export function heartbeatMoveChallenge(nodeId: number, listenAddr: string): string {
  return `heartbeat:${nodeId}:${listenAddr}`
}

export function setKeyExpiryChallenge(nodeId: number): string {
  return `set_key_expiry:${nodeId}`
}

export function joinNetworkChallenge(nodeId: number, networkId: number): string {
  return `join_network:${nodeId}:${networkId}`
}

export function leaveNetworkChallenge(nodeId: number, networkId: number): string {
  return `leave_network:${nodeId}:${networkId}`
}

/** `invite_to_network` (spec/05 §13). */
export function inviteChallenge(inviterId: number, networkId: number, targetId: number): string {
  return `invite:${inviterId}:${networkId}:${targetId}`
}

export function pollInvitesChallenge(nodeId: number): string {
  return `poll_invites:${nodeId}`
}

/** The decision is not covered (spec/05 §24 L14). */
export function respondInviteChallenge(nodeId: number, networkId: number): string {
  return `respond_invite:${nodeId}:${networkId}`
}

/**
 * What our registry wants of a member who acts by role, without an admin token (spec/05 §24 L1); references
 * believe the node id. `targetId` is left out where the operation has none.
 */
export function roleChallenge(
  type: string,
  nodeId: number,
  networkId: number,
  targetId?: number,
): string {
  return `${type}:${nodeId}:${networkId}:${targetId ?? ''}`
}
