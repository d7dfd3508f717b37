/**
 * Requests that need no state of the client: each becomes one reply frame. What concerns ports,
 * dials and streams is the session's.
 */
import { PilotError } from '../../../core/errors.ts'
import { formatAddress } from '../../../core/wire/address.ts'
import type { PilotNode } from '../../shared/api.ts'
import { broadcastDatagram } from '../../shared/services/broadcast.ts'
import { encodeEmptyReply, encodeError, encodeJsonReply } from './daemon-message.ts'
import type { DriverMessage } from './driver-message.ts'
import { requestErrorText } from './error-text.ts'
import {
  enrollRecovery,
  type IdentityContext,
  signChallenge,
  signEnvelope,
  submitBadge,
  verifyEnvelope,
} from './identity-requests.ts'
import { type DaemonFacts, healthReply, type InfoCounters, infoReply } from './info-reply.ts'
import { adminMember, handleManaged } from './managed-reply.ts'
import { OP } from './opcode.ts'
import { pendingObject } from './topics.ts'

export interface RequestContext {
  readonly node: PilotNode
  readonly facts: DaemonFacts
  readonly counters: InfoCounters
  /** Replaces the webhook target. Absent: SetWebhook is unknown to this daemon. */
  readonly setWebhook?: (url: string) => Promise<void>
  /** Asked for at the registry beside the signature where networks are concerned; `''` or absent for none. */
  readonly adminToken?: string
  /** Memberships may have changed. */
  readonly refreshNetworks?: () => Promise<void>
  /** Replaces the identity's key. Absent: RotateKey is unknown to this daemon. */
  readonly rotateKey?: () => Promise<Record<string, unknown>>
  /** Ed25519 with the node's key, for local programs. Absent: what would be signed is unknown to this daemon. */
  readonly sign?: (message: Uint8Array) => Promise<Uint8Array>
  /** Looks for a better path to a peer now. Absent: PreferDirect is unknown to this daemon. */
  readonly seekDirect?: (nodeId: number) => Promise<void>
}

/** Messages `answer` takes. */
export type PlainRequest = Exclude<
  DriverMessage,
  {
    readonly type:
      | 'bind'
      | 'unbind'
      | 'dial'
      | 'send'
      | 'flow'
      | 'credit'
      | 'send-tracked'
      | 'close'
      | 'send-to'
      | 'cancel'
      | 'subscribe'
      | 'unsubscribe'
  }
>

/** Longest wait for trust in one request (spec/06 §5.9). */
const TRUST_WAIT_MAX_MS = 30_000
/** How long SendToConfirm waits for a tunnel to the peer. */
const CONFIRM_MS = 10_000

/** The reply; never rejects. */
export async function answer(message: PlainRequest, context: RequestContext): Promise<Uint8Array> {
  const [label, work] = plan(message, context)
  try {
    return await work()
  } catch (error) {
    return encodeError(requestErrorText(error, label))
  }
}

type Plan = readonly [label: string, work: () => Promise<Uint8Array> | Uint8Array]

function plan(message: PlainRequest, context: RequestContext): Plan {
  const { node } = context
  switch (message.type) {
    case 'info':
      return [
        'info',
        () => encodeJsonReply(OP.infoOk, infoReply(node, context.facts, context.counters)),
      ]
    case 'health':
      return [
        'health',
        () => encodeJsonReply(OP.healthOk, healthReply(node, context.facts, context.counters)),
      ]
    case 'resolve-hostname':
      return [
        'resolve_hostname',
        async () =>
          encodeJsonReply(
            OP.resolveHostnameOk,
            await node.registry.resolveHostname(message.hostname),
          ),
      ]
    case 'set-hostname':
      return [
        'set_hostname',
        async () => encodeJsonReply(OP.setHostnameOk, await node.setHostname(message.hostname)),
      ]
    case 'set-visibility':
      return [
        'set_visibility',
        async () => encodeJsonReply(OP.setVisibilityOk, await node.setVisibility(message.isPublic)),
      ]
    case 'set-tags':
      return [
        'set_tags',
        async () => encodeJsonReply(OP.setTagsOk, await node.setTags(message.tags)),
      ]
    case 'set-task-exec':
      return [
        'set_task_exec',
        async () => encodeJsonReply(OP.setTaskExecOk, await node.setTaskExec(message.enabled)),
      ]
    case 'deregister':
      return ['deregister', async () => encodeJsonReply(OP.deregisterOk, await node.deregister())]
    case 'set-webhook': {
      const { setWebhook } = context
      if (setWebhook === undefined) return unknownCommand(OP.setWebhook)
      return [
        'set_webhook',
        async () => {
          await setWebhook(message.url)
          return encodeJsonReply(OP.setWebhookOk, { webhook: message.url })
        },
      ]
    }
    case 'rotate-key': {
      const { rotateKey } = context
      if (rotateKey === undefined) return unknownCommand(OP.rotateKey)
      return ['rotate_key', async () => encodeJsonReply(OP.rotateKeyOk, await rotateKey())]
    }
    case 'lookup-node':
      return [
        'lookup_node',
        async () => encodeJsonReply(OP.lookupNodeOk, await lookUpNode(message.nodeId, node)),
      ]
    case 'set-peer-endpoints':
      return [
        'set_peer_endpoints',
        () => {
          if (message.nodeId === node.nodeId) return encodeError('dial to self')
          // Nodes of ours go by UDP, WebSocket, WebRTC and the relay: none of these is such an endpoint.
          const reply = { node_id: message.nodeId, installed_tcp: 0, installed_turn: 0 }
          return encodeJsonReply(OP.setPeerEndpointsOk, reply)
        },
      ]
    case 'prefer-direct': {
      const { seekDirect } = context
      if (seekDirect === undefined) return unknownCommand(OP.preferDirect)
      return [
        'prefer_direct',
        async () =>
          encodeJsonReply(OP.preferDirectOk, await preferDirect(message.nodeId, node, seekDirect)),
      ]
    }
    case 'sign-challenge':
    case 'sign-envelope':
    case 'verify-envelope':
    case 'submit-badge':
    case 'enroll-recovery':
      return identityPlan(message, context)
    case 'send-to-confirm':
      return ['sendto', () => confirmDatagram(message, node)]
    case 'managed':
      return ['managed', () => handleManaged(message.sub, message.rest, context)]
    case 'broadcast': {
      const { adminToken = '' } = context
      return [
        'broadcast',
        async () => {
          // Whoever may speak to a whole network shows the token that the daemon was given (spec/06 §11.3).
          if (adminToken === '' || message.token !== adminToken)
            throw new PilotError('ERR_DAEMON_REFUSED', 'admin token required')
          await broadcastDatagram(node, message, { adminToken })
          return encodeEmptyReply(OP.broadcastOk)
        },
      ]
    }
    case 'network-list':
    case 'network-members':
    case 'network-poll-invites':
    case 'network-join':
    case 'network-leave':
    case 'network-invite':
    case 'network-respond':
      return networkPlan(message, context)
    default:
      return trustPlan(message, node)
  }
}

type TrustRequest = Extract<PlainRequest, { readonly type: `trust-${string}` }>

function trustPlan(message: TrustRequest, { trust }: PilotNode): Plan {
  const reply = (value: Record<string, unknown>): Uint8Array =>
    encodeJsonReply(OP.handshakeOk, value)
  switch (message.type) {
    case 'trust-request':
      return [
        'handshake request: handshake relay',
        async () => {
          const status = await trust.request(message.nodeId, message.justification)
          return reply({
            node_id: message.nodeId,
            status: status === 'already_trusted' ? status : 'sent',
            ...(status === 'relayed' && { relayed: true }),
          })
        },
      ]
    case 'trust-approve':
      return [
        'handshake approve',
        async () => {
          // Deviation: base says "approved" of any node; where nobody asked and nobody is trusted we say so.
          if (!trust.isTrusted(message.nodeId) || isPending(trust, message.nodeId))
            await trust.approve(message.nodeId)
          return reply({ node_id: message.nodeId, status: 'approved' })
        },
      ]
    case 'trust-reject':
      return [
        'handshake reject',
        async () => {
          if (isPending(trust, message.nodeId)) await trust.reject(message.nodeId, message.reason)
          return reply({ node_id: message.nodeId, status: 'rejected' })
        },
      ]
    case 'trust-revoke':
      return [
        'handshake revoke',
        async () => {
          try {
            await trust.revoke(message.nodeId)
          } catch (error) {
            if (error instanceof PilotError && error.code === 'ERR_NOT_TRUSTED')
              return encodeError(`handshake revoke: node ${message.nodeId} was not trusted`)
            throw error
          }
          return reply({ node_id: message.nodeId, status: 'revoked' })
        },
      ]
    case 'trust-wait':
      return [
        'handshake wait',
        async () => {
          const timeoutMs = Math.min(message.timeoutMs, TRUST_WAIT_MAX_MS)
          const trusted = await trust.wait(message.nodeId, timeoutMs)
          return reply({ node_id: message.nodeId, trusted })
        },
      ]
    case 'trust-pending':
      return ['handshake pending', () => reply(pendingObject(trust))]
    case 'trust-list':
      return [
        'handshake trusted',
        () =>
          reply({
            trusted: trust.trusted().map((peer) => ({
              node_id: peer.nodeId,
              public_key: peer.publicKey,
              approved_at: peer.approvedAt,
              mutual: peer.mutual,
              network: peer.network,
            })),
          }),
      ]
  }
}

type NetworkRequest = Extract<PlainRequest, { readonly type: `network-${string}` }>

function networkPlan(message: NetworkRequest, context: RequestContext): Plan {
  const { registry } = context.node
  const reply = (value: Record<string, unknown>): Uint8Array => encodeJsonReply(OP.networkOk, value)
  const ask = async (request: Record<string, unknown>): Promise<Uint8Array> => {
    const told = await registry.request(request)
    // Who looks may have made one, or been taken out, by other means.
    void context.refreshNetworks?.()
    return reply(told)
  }
  const askSigned = async (request: Record<string, unknown>): Promise<Uint8Array> =>
    reply(await registry.requestSigned(request))
  /** What changes memberships. */
  const change = async (request: Record<string, unknown>): Promise<Uint8Array> => {
    const done = await registry.requestSigned(request)
    await context.refreshNetworks?.()
    return reply(done)
  }
  // The daemon's own token goes along with these four (spec/06 §11.1).
  const admin = adminMember(context)
  switch (message.type) {
    case 'network-list':
      return ['network list', () => ask({ type: 'list_networks' })]
    case 'network-members':
      return [
        'network members',
        () => ask({ type: 'list_nodes', network_id: message.network, ...admin }),
      ]
    case 'network-join': {
      const { network, token } = message
      return [
        'network join',
        () => change({ type: 'join_network', network_id: network, token, ...admin }),
      ]
    }
    case 'network-leave':
      return [
        'network leave',
        () => change({ type: 'leave_network', network_id: message.network, ...admin }),
      ]
    case 'network-invite':
      return [
        'network invite',
        () =>
          askSigned({
            type: 'invite_to_network',
            network_id: message.network,
            target_node_id: message.nodeId,
            ...admin,
          }),
      ]
    case 'network-poll-invites':
      return ['network poll-invites', () => askSigned({ type: 'poll_invites' })]
    case 'network-respond':
      return [
        'network respond-invite',
        () =>
          change({
            type: 'respond_invite',
            network_id: message.network,
            accept: message.accept,
          }),
      ]
  }
}

type IdentityRequest = Extract<
  PlainRequest,
  {
    readonly type:
      | 'sign-challenge'
      | 'sign-envelope'
      | 'verify-envelope'
      | 'submit-badge'
      | 'enroll-recovery'
  }
>

const IDENTITY_OPCODES = {
  'sign-challenge': [OP.signChallenge, OP.signChallengeOk],
  'sign-envelope': [OP.signEnvelope, OP.signEnvelopeOk],
  'verify-envelope': [OP.verifyEnvelope, OP.verifyEnvelopeOk],
  'submit-badge': [OP.submitBadge, OP.submitBadgeOk],
  'enroll-recovery': [OP.enrollRecovery, OP.enrollRecoveryOk],
} as const

function identityPlan(message: IdentityRequest, { node, sign }: RequestContext): Plan {
  const [request, ok] = IDENTITY_OPCODES[message.type]
  if (sign === undefined) return unknownCommand(request)
  const context: IdentityContext = { node, sign, unixNow: () => Date.now() / 1000 }
  const work = (): Promise<Record<string, unknown>> => {
    switch (message.type) {
      case 'sign-challenge':
        return signChallenge(context, message.data)
      case 'sign-envelope':
        return signEnvelope(context, message.members)
      case 'verify-envelope':
        return verifyEnvelope(context, message.members)
      case 'submit-badge':
        return submitBadge(context, message.members)
      case 'enroll-recovery':
        return enrollRecovery(context, message.members)
    }
  }
  return [message.type.replaceAll('-', '_'), async () => encodeJsonReply(ok, await work())]
}

/** What the registry says of a peer, as against what is wrong with the request. */
const RESOLVE_ERRORS: ReadonlySet<string> = new Set(['ERR_REGISTRY', 'ERR_REGISTRY_UNAVAILABLE'])

/** A better path is looked for; whether there is one is told by Info, later. */
async function preferDirect(
  nodeId: number,
  node: PilotNode,
  seekDirect: (nodeId: number) => Promise<void>,
): Promise<Record<string, unknown>> {
  const peer = node.peers().find((one) => one.nodeId === nodeId)
  let resolveError = ''
  try {
    await seekDirect(nodeId)
  } catch (error) {
    if (!(error instanceof PilotError) || !RESOLVE_ERRORS.has(error.code)) throw error
    resolveError = error.message
  }
  return {
    node_id: nodeId,
    had_tunnel: peer?.encrypted ?? false,
    was_relay_active: peer?.path === 'relay',
    // No peer of ours is ever bound to the relay.
    was_relay_pinned: false,
    pila_pushed: peer?.encrypted !== true,
    resolve_error: resolveError,
  }
}

/** The key that trust was given to is not the registry's to change. */
async function lookUpNode(nodeId: number, node: PilotNode): Promise<Record<string, unknown>> {
  const key = node.trust.trusted().find((one) => one.nodeId === nodeId)?.publicKey ?? ''
  if (key !== '') return { node_id: nodeId, public_key: key, source: 'trusted' }
  return { ...(await node.registry.lookup(nodeId)), source: 'registry' }
}

/** Succeeds once the datagram was queued towards a peer that has a tunnel. */
async function confirmDatagram(
  { to, data }: Extract<DriverMessage, { readonly type: 'send-to-confirm' }>,
  node: PilotNode,
): Promise<Uint8Array> {
  const isUp = (): boolean =>
    node
      .peers()
      .some((peer) => peer.nodeId === to.address.node && (peer.encrypted || !node.info().encrypt))
  let stop = (): void => {}
  const keyed = new Promise<void>((resolve, reject) => {
    const off = node.on((event) => {
      if (event.type === 'peer-keyed' && event.nodeId === to.address.node) resolve()
    })
    const timer = setTimeout(
      () =>
        reject(
          new PilotError('ERR_TIMEOUT', `no tunnel to ${formatAddress(to.address)} within 10s`),
        ),
      CONFIRM_MS,
    )
    stop = () => {
      off()
      clearTimeout(timer)
    }
  })
  keyed.catch(() => {})
  try {
    node.sendDatagram(to, data)
    if (!isUp()) await keyed
    return encodeEmptyReply(OP.sendToOk)
  } finally {
    stop()
  }
}

function isPending(trust: PilotNode['trust'], nodeId: number): boolean {
  return trust.pending().some((peer) => peer.nodeId === nodeId)
}

/** A request this daemon has no means for is refused as an unknown one, which drivers understand. */
function unknownCommand(opcode: number): Plan {
  const digits = opcode.toString(16).toUpperCase().padStart(2, '0')
  return ['', () => encodeError(`unknown command: 0x${digits}`)]
}
