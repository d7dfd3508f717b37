/** The requests a node sends to the registry, signed where the registry wants it (spec/04 §6, §8, §9). */
import { toBase64 } from '../bytes.ts'
import * as challenge from '../wire/registry-challenge.ts'
import type { RegistryMessage } from '../wire/registry-message.ts'
import type { NetworkPolicyChange, NewNetwork } from './network-settings.ts'

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
   * `relayOnly`: peers reach us through a beacon only; `lanAddrs`: `ip:port` inside of our network (spec/05 §5.1).
   */
  register(
    listenAddr: string,
    owner: string,
    relayOnly = false,
    lanAddrs: readonly string[] = [],
  ): RegistryRequest {
    const publicKey = toBase64(this.#publicKey)
    const message = {
      type: 'register',
      listen_addr: listenAddr,
      public_key: publicKey,
      ...(owner === '' ? {} : { owner }),
      ...(relayOnly ? { relay_only: true } : {}),
      ...(lanAddrs.length === 0 ? {} : { lan_addrs: lanAddrs }),
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
  /**
   * Deviation: says who asks, which no daemon of the references does. Later registries tell the name of a private
   * node only to nodes it trusts (spec/05 §7), others pass over it.
   */
  resolveHostname(hostname: string): RegistryRequest {
    const message = { type: 'resolve_hostname', hostname }
    if (this.#nodeId === 0) return { message }
    return {
      message: { ...message, requester_id: this.#nodeId },
      challenge: challenge.resolveHostnameChallenge(this.#nodeId),
    }
  }

  /**
   * `isBound`: the signature covers the new key, as our and the latest registries want; the others want the
   * other form (spec/05 §6.3). `proof`: the bound text signed with the new key.
   */
  rotateKey(newPublicKey: Uint8Array, isBound = true, proof?: Uint8Array): RegistryRequest {
    const key = toBase64(newPublicKey)
    const message = {
      type: 'rotate_key',
      new_public_key: key,
      ...(proof === undefined ? {} : { new_key_signature: toBase64(proof) }),
    }
    return this.#signed(
      message,
      challenge.rotateKeyChallenge(this.#nodeId, isBound ? key : undefined),
    )
  }
  /** `expiresAt` in RFC 3339; `never` clears it. */
  setKeyExpiry(expiresAt: string, adminToken = ''): RegistryRequest {
    return this.#signed(
      { type: 'set_key_expiry', expires_at: expiresAt, ...admin(adminToken) },
      challenge.setKeyExpiryChallenge(this.#nodeId),
    )
  }
  keyInfo(nodeId: number): RegistryRequest {
    return { message: { type: 'get_key_info', node_id: nodeId } }
  }
  checkTrust(peerId: number): RegistryRequest {
    return { message: { type: 'check_trust', node_id: this.#nodeId, peer_id: peerId } }
  }

  /** Networks are made by who knows the registry's admin token (spec/05 §12); this node becomes the owner. */
  createNetwork(network: NewNetwork, adminToken: string): RegistryRequest {
    const { name, joinRule, token, isEnterprise, networkAdminToken, rules, exprPolicy } = network
    const message = {
      type: 'create_network',
      node_id: this.#nodeId,
      name,
      join_rule: joinRule ?? 'open',
      token: token ?? '',
      ...(isEnterprise === true ? { enterprise: true } : {}),
      ...(networkAdminToken === undefined ? {} : { network_admin_token: networkAdminToken }),
      ...(rules === undefined ? {} : { rules }),
      ...(exprPolicy === undefined ? {} : { expr_policy: exprPolicy }),
      ...admin(adminToken),
    }
    return { message }
  }
  joinNetwork(networkId: number, token = '', adminToken = ''): RegistryRequest {
    const message = { type: 'join_network', network_id: networkId, token, inviter_id: 0 }
    return this.#signed(
      { ...message, ...admin(adminToken) },
      challenge.joinNetworkChallenge(this.#nodeId, networkId),
    )
  }
  leaveNetwork(networkId: number, adminToken = ''): RegistryRequest {
    return this.#signed(
      { type: 'leave_network', network_id: networkId, ...admin(adminToken) },
      challenge.leaveNetworkChallenge(this.#nodeId, networkId),
    )
  }
  listNetworks(): RegistryRequest {
    return { message: { type: 'list_networks' } }
  }
  /** `after`: only members above this node id, for what follows an answer that says `truncated`. */
  networkMembers(networkId: number, after?: number): RegistryRequest {
    const message = { type: 'list_nodes', network_id: networkId }
    return { message: after === undefined ? message : { ...message, after } }
  }
  inviteToNetwork(networkId: number, targetId: number, adminToken = ''): RegistryRequest {
    const message = {
      type: 'invite_to_network',
      network_id: networkId,
      inviter_id: this.#nodeId,
      target_node_id: targetId,
      ...admin(adminToken),
    }
    return { message, challenge: challenge.inviteChallenge(this.#nodeId, networkId, targetId) }
  }
  /** Invites stay until they are answered: one seen before is not a new one (spec/05 §23 T13). */
  pollInvites(): RegistryRequest {
    return this.#signed({ type: 'poll_invites' }, challenge.pollInvitesChallenge(this.#nodeId))
  }
  respondInvite(networkId: number, accept: boolean): RegistryRequest {
    return this.#signed(
      { type: 'respond_invite', network_id: networkId, accept },
      challenge.respondInviteChallenge(this.#nodeId, networkId),
    )
  }

  deleteNetwork(networkId: number, adminToken = ''): RegistryRequest {
    return this.#byRole('delete_network', networkId, adminToken)
  }
  renameNetwork(networkId: number, name: string, adminToken = ''): RegistryRequest {
    return this.#byRole('rename_network', networkId, adminToken, { name })
  }
  promoteMember(networkId: number, targetId: number, adminToken = ''): RegistryRequest {
    return this.#byRole('promote_member', networkId, adminToken, {}, targetId)
  }
  demoteMember(networkId: number, targetId: number, adminToken = ''): RegistryRequest {
    return this.#byRole('demote_member', networkId, adminToken, {}, targetId)
  }
  kickMember(networkId: number, targetId: number, adminToken = ''): RegistryRequest {
    return this.#byRole('kick_member', networkId, adminToken, {}, targetId)
  }
  transferOwnership(networkId: number, newOwnerId: number, adminToken = ''): RegistryRequest {
    const type = 'transfer_ownership'
    const message = {
      type,
      network_id: networkId,
      new_owner_id: newOwnerId,
      ...admin(adminToken),
    }
    return this.#signed(message, challenge.roleChallenge(type, this.#nodeId, networkId, newOwnerId))
  }
  memberRole(networkId: number, targetId: number): RegistryRequest {
    const message = { type: 'get_member_role', network_id: networkId, target_node_id: targetId }
    return { message }
  }
  /** Of one member, or of all with `targetId` 0. */
  memberTags(networkId: number, targetId = 0): RegistryRequest {
    const message = { type: 'get_member_tags', network_id: networkId, target_node_id: targetId }
    return { message }
  }
  setMemberTags(
    networkId: number,
    targetId: number,
    tags: readonly string[],
    adminToken = '',
  ): RegistryRequest {
    return this.#byRole('set_member_tags', networkId, adminToken, { tags }, targetId)
  }
  networkPolicy(networkId: number): RegistryRequest {
    return { message: { type: 'get_network_policy', network_id: networkId } }
  }
  setNetworkPolicy(
    networkId: number,
    { maxMembers, allowedPorts, description }: NetworkPolicyChange,
    adminToken = '',
  ): RegistryRequest {
    return this.#byRole('set_network_policy', networkId, adminToken, {
      ...(maxMembers === undefined ? {} : { max_members: maxMembers }),
      ...(allowedPorts === undefined ? {} : { allowed_ports: allowedPorts }),
      ...(description === undefined ? {} : { description }),
    })
  }
  exprPolicy(networkId: number): RegistryRequest {
    return { message: { type: 'get_expr_policy', network_id: networkId } }
  }
  /** A document as object or JSON text; `null` clears it. */
  setExprPolicy(networkId: number, exprPolicy: unknown, adminToken = ''): RegistryRequest {
    return this.#byRole('set_expr_policy', networkId, adminToken, { expr_policy: exprPolicy })
  }

  /** What a member does by its role, or anybody with an admin token (spec/05 §12). */
  #byRole(
    type: string,
    networkId: number,
    adminToken: string,
    fields: RegistryMessage = {},
    targetId?: number,
  ): RegistryRequest {
    const message = {
      type,
      network_id: networkId,
      ...(targetId === undefined ? {} : { target_node_id: targetId }),
      ...fields,
      ...admin(adminToken),
    }
    return this.#signed(message, challenge.roleChallenge(type, this.#nodeId, networkId, targetId))
  }

  #signed(message: RegistryMessage, text: string): RegistryRequest {
    return { message: { ...message, node_id: this.#nodeId }, challenge: text }
  }
}

function admin(token: string): RegistryMessage {
  return token === '' ? {} : { admin_token: token }
}
