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

/** The bound form, `newPublicKey` as sent (spec/04 §22 W4); the unbound form is the text before it. */
export function rotateKeyChallenge(nodeId: number, newPublicKey: string): string {
  return `rotate:${nodeId}:${newPublicKey}`
}
