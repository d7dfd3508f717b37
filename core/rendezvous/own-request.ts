/**
 * Registry messages that a node sends in its own name, given as their members on the wire (spec/05 §12 to §14): what
 * identifies and proves the node is added here, so that callers in other processes need no key.
 */
import { UsageError } from '../errors.ts'
import type { RegistryMessage } from '../wire/registry-message.ts'
import type { RegistryRequest, RegistryRequests } from './registry-requests.ts'

/**
 * @throws {UsageError} `ERR_INVALID_ARGUMENT` for a `type` that no node sends in its own name, or a member that is
 * missing or of a wrong kind.
 */
export function ownRequest(requests: RegistryRequests, message: RegistryMessage): RegistryRequest {
  const type = `${message.type}`
  const make = Object.hasOwn(OWN, type) ? OWN[type] : undefined
  if (make === undefined)
    throw new UsageError('ERR_INVALID_ARGUMENT', `no request of a node: ${JSON.stringify(type)}`)
  return make(requests, new Members(message))
}

type Make = (requests: RegistryRequests, members: Members) => RegistryRequest

const OWN: Readonly<Record<string, Make>> = {
  join_network: (r, m) => r.joinNetwork(m.network(), m.text('token'), m.adminToken()),
  leave_network: (r, m) => r.leaveNetwork(m.network(), m.adminToken()),
  invite_to_network: (r, m) => r.inviteToNetwork(m.network(), m.target(), m.adminToken()),
  poll_invites: (r) => r.pollInvites(),
  respond_invite: (r, m) => r.respondInvite(m.network(), m.flag('accept')),
  delete_network: (r, m) => r.deleteNetwork(m.network(), m.adminToken()),
  rename_network: (r, m) => r.renameNetwork(m.network(), m.text('name'), m.adminToken()),
  promote_member: (r, m) => r.promoteMember(m.network(), m.target(), m.adminToken()),
  demote_member: (r, m) => r.demoteMember(m.network(), m.target(), m.adminToken()),
  kick_member: (r, m) => r.kickMember(m.network(), m.target(), m.adminToken()),
  transfer_ownership: (r, m) =>
    r.transferOwnership(m.network(), m.uint('new_owner_id', 2 ** 32), m.adminToken()),
  set_member_tags: (r, m) =>
    r.setMemberTags(m.network(), m.target(), m.texts('tags'), m.adminToken()),
  set_network_policy: (r, m) =>
    r.setNetworkPolicy(
      m.network(),
      {
        ...(m.has('max_members') && { maxMembers: m.uint('max_members', 2 ** 31) }),
        ...(m.has('allowed_ports') && { allowedPorts: m.ports('allowed_ports') }),
        ...(m.has('description') && { description: m.text('description') }),
      },
      m.adminToken(),
    ),
  set_expr_policy: (r, m) => r.setExprPolicy(m.network(), m.any('expr_policy'), m.adminToken()),
}

class Members {
  readonly #message: RegistryMessage

  constructor(message: RegistryMessage) {
    this.#message = message
  }

  has(name: string): boolean {
    return this.#message[name] !== undefined
  }
  any(name: string): unknown {
    return this.#message[name]
  }
  network(): number {
    return this.uint('network_id', 2 ** 16)
  }
  target(): number {
    return this.uint('target_node_id', 2 ** 32)
  }
  adminToken(): string {
    return this.text('admin_token')
  }
  /** `''` when absent. */
  text(name: string): string {
    const value = this.#message[name] ?? ''
    if (typeof value !== 'string') throw wrong(name, 'text')
    return value
  }
  flag(name: string): boolean {
    const value = this.#message[name]
    if (typeof value !== 'boolean') throw wrong(name, 'a boolean')
    return value
  }
  uint(name: string, below: number): number {
    const value = this.#message[name]
    if (!isUint(value, below)) throw wrong(name, `a whole number below ${below}`)
    return value
  }
  texts(name: string): readonly string[] {
    const value = this.#message[name]
    if (!Array.isArray(value) || !value.every((one) => typeof one === 'string'))
      throw wrong(name, 'a list of texts')
    return value
  }
  ports(name: string): readonly number[] {
    const value = this.#message[name]
    if (!Array.isArray(value) || !value.every((one) => isUint(one, 2 ** 16)))
      throw wrong(name, 'a list of ports')
    return value
  }
}

function isUint(value: unknown, below: number): value is number {
  return typeof value === 'number' && Number.isInteger(value) && value >= 0 && value < below
}

function wrong(name: string, expected: string): UsageError {
  return new UsageError('ERR_INVALID_ARGUMENT', `${name} must be ${expected}`)
}
