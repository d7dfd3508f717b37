/** The requests a node sends to the registry, signed where the registry wants it (spec/04 §6, §8, §9). */
import { toBase64 } from '../bytes.ts'
import type { Identity } from '../identity/identity.ts'
import * as challenge from '../wire/registry-challenge.ts'
import type { RegistryMessage } from '../wire/registry-message.ts'

/** Makes the requests of one node. `nodeId` is 0 before registration, when only `register` makes sense. */
export class RegistryRequests {
  readonly #identity: Identity
  readonly #nodeId: number

  constructor(identity: Identity, nodeId: number) {
    this.#identity = identity
    this.#nodeId = nodeId
  }

  /**
   * Signed although the base profile ignores that: our registry then refuses unsigned ones for this key.
   * `relayOnly`: peers reach us through a beacon only (spec/05 §5.1).
   */
  register(listenAddr: string, owner: string, relayOnly = false): RegistryMessage {
    const publicKey = toBase64(this.#identity.publicKey)
    return {
      type: 'register',
      listen_addr: listenAddr,
      public_key: publicKey,
      ...(owner === '' ? {} : { owner }),
      ...(relayOnly ? { relay_only: true } : {}),
      signature: this.#identity.signBase64(challenge.registerChallenge(listenAddr, publicKey)),
    }
  }

  heartbeat(): RegistryMessage {
    return this.#signed({ type: 'heartbeat' }, challenge.heartbeatChallenge(this.#nodeId))
  }
  deregister(): RegistryMessage {
    return this.#signed({ type: 'deregister' }, challenge.deregisterChallenge(this.#nodeId))
  }
  setHostname(hostname: string): RegistryMessage {
    return this.#signed(
      { type: 'set_hostname', hostname },
      challenge.setHostnameChallenge(this.#nodeId),
    )
  }
  setVisibility(isPublic: boolean): RegistryMessage {
    return this.#signed(
      { type: 'set_visibility', public: isPublic },
      challenge.setVisibilityChallenge(this.#nodeId),
    )
  }
  setTags(tags: readonly string[]): RegistryMessage {
    return this.#signed({ type: 'set_tags', tags }, challenge.setTagsChallenge(this.#nodeId))
  }
  setTaskExec(enabled: boolean): RegistryMessage {
    return this.#signed(
      { type: 'set_task_exec', enabled },
      challenge.setTaskExecChallenge(this.#nodeId),
    )
  }
  pollHandshakes(): RegistryMessage {
    return this.#signed(
      { type: 'poll_handshakes' },
      challenge.pollHandshakesChallenge(this.#nodeId),
    )
  }
  reportTrust(peerId: number): RegistryMessage {
    return this.#signed(
      { type: 'report_trust', peer_id: peerId },
      challenge.reportTrustChallenge(this.#nodeId, peerId),
    )
  }
  revokeTrust(peerId: number): RegistryMessage {
    return this.#signed(
      { type: 'revoke_trust', peer_id: peerId },
      challenge.revokeTrustChallenge(this.#nodeId, peerId),
    )
  }
  respondHandshake(peerId: number, accept: boolean): RegistryMessage {
    return this.#signed(
      { type: 'respond_handshake', peer_id: peerId, accept },
      challenge.respondHandshakeChallenge(this.#nodeId, peerId),
    )
  }
  requestHandshake(peerId: number, justification: string): RegistryMessage {
    const signature = this.#identity.signBase64(challenge.handshakeChallenge(this.#nodeId, peerId))
    return {
      type: 'request_handshake',
      from_node_id: this.#nodeId,
      to_node_id: peerId,
      justification,
      signature,
    }
  }
  resolve(peerId: number): RegistryMessage {
    const signature = this.#identity.signBase64(challenge.resolveChallenge(this.#nodeId, peerId))
    return { type: 'resolve', node_id: peerId, requester_id: this.#nodeId, signature }
  }
  lookup(peerId: number): RegistryMessage {
    return { type: 'lookup', node_id: peerId }
  }

  #signed(message: RegistryMessage, text: string): RegistryMessage {
    return { ...message, node_id: this.#nodeId, signature: this.#identity.signBase64(text) }
  }
}
