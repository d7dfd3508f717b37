/**
 * The registry (spec/04) as a machine: one request in, one answer out. It opens no sockets and reads no
 * clock. Changes go to the store's pending list; whoever sends the answers commits first.
 */
import type { Instant } from '../core/machine.ts'
import type { RegistryMessage } from '../core/wire/registry-message.ts'
import { sameSecret } from './admin-access.ts'
import { AUDIT_OPERATIONS } from './audit-operations.ts'
import { DIRECTORY_OPERATIONS } from './directory-operations.ts'
import { INVITE_OPERATIONS } from './invite-operations.ts'
import { KEY_OPERATIONS } from './key-operations.ts'
import { STALE_AFTER_MS, SWEEP_INTERVAL_MS } from './limits.ts'
import { LOOKUP_OPERATIONS } from './lookup-operations.ts'
import { MEMBER_OPERATIONS } from './member-operations.ts'
import { LISTING_OPERATIONS } from './network-listing.ts'
import { NETWORK_OPERATIONS } from './network-operations.ts'
import { NODE_OPERATIONS } from './node-operations.ts'
import { POLICY_OPERATIONS } from './policy-operations.ts'
import { provisionNetwork } from './provision-operation.ts'
import { register } from './register-operation.ts'
import type { RegistryConnection } from './registry-connection.ts'
import {
  type Operation,
  RegistryDesk,
  type RegistryNow,
  type RegistryOptions,
  type RegistryRequest,
  refuse,
} from './registry-desk.ts'
import type { StoredState } from './registry-store.ts'
import { quoted, stringField } from './request-fields.ts'
import { TRUST_OPERATIONS } from './trust-operations.ts'

export type { RegistryNow, RegistryOptions } from './registry-desk.ts'

const OPERATIONS: ReadonlyMap<string, Operation> = new Map([
  ['register', register],
  ['provision_network', provisionNetwork],
  ...Object.entries(NODE_OPERATIONS),
  ...Object.entries(LOOKUP_OPERATIONS),
  ...Object.entries(TRUST_OPERATIONS),
  ...Object.entries(DIRECTORY_OPERATIONS),
  ...Object.entries(NETWORK_OPERATIONS),
  ...Object.entries(LISTING_OPERATIONS),
  ...Object.entries(MEMBER_OPERATIONS),
  ...Object.entries(INVITE_OPERATIONS),
  ...Object.entries(POLICY_OPERATIONS),
  ...Object.entries(KEY_OPERATIONS),
  ...Object.entries(AUDIT_OPERATIONS),
])

/** Request types this registry knows, for counters: any other type counts as one. */
export const REGISTRY_REQUEST_TYPES: readonly string[] = [
  ...OPERATIONS.keys(),
  'subscribe_replication',
]

/** What a standby answers: it changes nothing that the primary would not overwrite (spec/04 §16, 05 §20). */
const STANDBY_OPERATIONS: ReadonlySet<string> = new Set([
  'lookup',
  'resolve',
  'resolve_hostname',
  'list_networks',
  'list_nodes',
  'heartbeat',
  'poll_handshakes',
  'poll_invites',
  'beacon_list',
  'get_polo_score',
  'get_key_info',
  'get_network_policy',
  'get_expr_policy',
  'get_member_role',
  'get_member_tags',
  'get_audit_log',
  'check_trust',
])

export interface RegistryAnswer {
  readonly reply: RegistryMessage
  /** The connection is closed after the answer. */
  readonly close: boolean
  /** The connection has become a standby's: it is sent the state from now on, in place of an answer. */
  readonly subscribes?: boolean
  /** Something that a standby should learn of may have changed. */
  readonly changes?: boolean
}

export class Registry {
  readonly #desk: RegistryDesk
  #sweepAt: Instant

  /** @throws {StorageError} what the store's `load` throws. */
  constructor(options: RegistryOptions, now: RegistryNow) {
    this.#desk = new RegistryDesk(options, now)
    this.#sweepAt = now.at + SWEEP_INTERVAL_MS
  }

  /** The tables, to be read by statistics. */
  get desk(): RegistryDesk {
    return this.#desk
  }

  /** Never throws, whatever the message holds. */
  handle(
    message: RegistryMessage,
    connection: RegistryConnection,
    now: RegistryNow,
  ): RegistryAnswer {
    const desk = this.#desk
    for (const nodeId of connection.polled) desk.inbox.acknowledge(nodeId, connection)
    connection.polled.clear()
    if (!desk.requests.take(connection.rateKey, now.at))
      return keep(refuse(`rate limited: too many requests from ${connection.source.address}`))
    const type = stringField(message, 'type')
    if (type === 'subscribe_replication') return this.#subscribe({ message, connection, now })
    if (desk.options.isStandby === true && !STANDBY_OPERATIONS.has(type))
      return keep(refuse('standby mode: write operations not accepted (use primary)'))
    const operation = OPERATIONS.get(type)
    if (operation === undefined) return keep(refuse(`unknown message type: ${quoted(type)}`))
    const reply = operation(desk, { message, connection, now })
    return { ...keep(reply), changes: reply.type !== 'error' && !STANDBY_OPERATIONS.has(type) }
  }

  #subscribe(request: RegistryRequest): RegistryAnswer {
    const { replicationToken } = this.#desk.options
    if (replicationToken === undefined || replicationToken === '')
      return { reply: refuse('replication not configured'), close: true }
    if (sameSecret(stringField(request.message, 'token'), replicationToken))
      return { reply: { type: 'heartbeat' }, close: false, subscribes: true }
    this.#desk.chargeForgery(request)
    return { reply: refuse('invalid replication token'), close: true }
  }

  /** What the primary says is all there is (spec/04 §16). */
  replace(state: StoredState, now: RegistryNow): void {
    this.#desk.replace(state, now)
  }

  /** Removes nodes not seen for 180 s and whatever else has expired. */
  handleTimeout(now: RegistryNow): void {
    if (now.at >= this.#sweepAt) this.sweep(now)
  }

  /** The same at once. */
  sweep(now: RegistryNow): void {
    this.#sweepAt = now.at + SWEEP_INTERVAL_MS
    const desk = this.#desk
    const isStandby = desk.options.isStandby === true
    const stale = [...(isStandby ? [] : desk.nodes.liveNodes())].filter(
      (node) => now.at - node.lastSeenAt >= STALE_AFTER_MS,
    )
    for (const node of stale) {
      desk.nodes.remove(node)
      desk.audit.add('node.reaped', now.unixSeconds, { node: node.id })
    }
    const ownerless = isStandby ? [] : desk.networks.sweep(now.unixSeconds)
    for (const { network, node } of ownerless)
      desk.audit.add('network.owner_lost', now.unixSeconds, { node, network })
    if (!isStandby) desk.inbox.sweep(now.unixSeconds)
    desk.beacons.sweep(now.at)
    desk.registrations.sweep(now.at)
    desk.requests.sweep(now.at)
    desk.nodeRequests.sweep(now.at)
    desk.deregistrations.sweep(now.at)
    desk.scoreUpdates.sweep(now.at)
  }

  pollTimeout(): Instant {
    return this.#sweepAt
  }
}

function keep(reply: RegistryMessage): RegistryAnswer {
  return { reply, close: false }
}
