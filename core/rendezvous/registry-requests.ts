/** The requests a node sends to the registry, signed where the registry wants it (spec/04 §6, §8, §9). */
import { toBase64 } from '../bytes.ts'
import * as challenge from '../wire/registry-challenge.ts'
import type { RegistryMessage } from '../wire/registry-message.ts'

/** A request, and what its `signature` member signs where it has one. */
export interface RegistryRequest {
  readonly message: RegistryMessage
  readonly challenge?: string
}

/** The message as sent. */
export function withSignature(message: RegistryMessage, signature: Uint8Array): RegistryMessage {
  return { ...message, signature: toBase64(signature) }
}

/** Makes the requests of one node. `nodeId` is 0 before registration, when only `register` makes sense. */
export class RegistryRequests {
  readonly #publicKey: Uint8Array
  readonly #nodeId: number

  constructor(publicKey: Uint8Array, nodeId: number) {
    this.#publicKey = publicKey
    this.#nodeId = nodeId
  }

  /**
   * Signed although the base profile ignores that: our registry then refuses unsigned ones for this key.
   * `relayOnly`: peers reach us through a beacon only (spec/05 §5.1).
   */
  register(listenAddr: string, owner: string, relayOnly = false): RegistryRequest {
    const publicKey = toBase64(this.#publicKey)
    const message = {
      type: 'register',
      listen_addr: listenAddr,
      public_key: publicKey,
      ...(owner === '' ? {} : { owner }),
      ...(relayOnly ? { relay_only: true } : {}),
    }
    return { message, challenge: challenge.registerChallenge(listenAddr, publicKey) }
  }

  heartbeat(): RegistryRequest {
    return this.#signed({ type: 'heartbeat' }, challenge.heartbeatChallenge(this.#nodeId))
  }
  deregister(): RegistryRequest {
    return this.#signed({ type: 'deregister' }, challenge.deregisterChallenge(this.#nodeId))
  }
  setHostname(hostname: string): RegistryRequest {
    return this.#signed(
      { type: 'set_hostname', hostname },
      challenge.setHostnameChallenge(this.#nodeId),
    )
  }
  setVisibility(isPublic: boolean): RegistryRequest {
    return this.#signed(
      { type: 'set_visibility', public: isPublic },
      challenge.setVisibilityChallenge(this.#nodeId),
    )
  }
  setTags(tags: readonly string[]): RegistryRequest {
    return this.#signed({ type: 'set_tags', tags }, challenge.setTagsChallenge(this.#nodeId))
  }
  setTaskExec(enabled: boolean): RegistryRequest {
    return this.#signed(
      { type: 'set_task_exec', enabled },
      challenge.setTaskExecChallenge(this.#nodeId),
    )
  }
  pollHandshakes(): RegistryRequest {
    return this.#signed(
      { type: 'poll_handshakes' },
      challenge.pollHandshakesChallenge(this.#nodeId),
    )
  }
  reportTrust(peerId: number): RegistryRequest {
    return this.#signed(
      { type: 'report_trust', peer_id: peerId },
      challenge.reportTrustChallenge(this.#nodeId, peerId),
    )
  }
  revokeTrust(peerId: number): RegistryRequest {
    return this.#signed(
      { type: 'revoke_trust', peer_id: peerId },
      challenge.revokeTrustChallenge(this.#nodeId, peerId),
    )
  }
  respondHandshake(peerId: number, accept: boolean): RegistryRequest {
    return this.#signed(
      { type: 'respond_handshake', peer_id: peerId, accept },
      challenge.respondHandshakeChallenge(this.#nodeId, peerId),
    )
  }
  requestHandshake(peerId: number, justification: string): RegistryRequest {
    const message = {
      type: 'request_handshake',
      from_node_id: this.#nodeId,
      to_node_id: peerId,
      justification,
    }
    return { message, challenge: challenge.handshakeChallenge(this.#nodeId, peerId) }
  }
  resolve(peerId: number): RegistryRequest {
    const message = { type: 'resolve', node_id: peerId, requester_id: this.#nodeId }
    return { message, challenge: challenge.resolveChallenge(this.#nodeId, peerId) }
  }
  lookup(peerId: number): RegistryRequest {
    return { message: { type: 'lookup', node_id: peerId } }
  }

  #signed(message: RegistryMessage, text: string): RegistryRequest {
    return { message: { ...message, node_id: this.#nodeId }, challenge: text }
  }
}
