/** What applies to the members of a network: kept and told by the registry, enforced by daemons (spec/05 §14). */
import type { RegistryMessage } from '../core/wire/registry-message.ts'
import { actorIn, mayReadNetwork } from './admin-access.ts'
import { DESCRIPTION_BYTES_MAX, MEMBERS_LIMIT_MAX, POLICY_PORTS_MAX } from './limits.ts'
import { namedNetwork, networkNotFound } from './network-operations.ts'
import { exprPolicyProblem, parseDocument } from './policy-document.ts'
import { type Operation, Refusal, refuse } from './registry-desk.ts'
import type { StoredNetwork } from './registry-store.ts'
import { cutBytes, networkIdField } from './request-fields.ts'
import { isPort } from './sqlite-rows.ts'

export type Policy = Pick<StoredNetwork, 'maxMembers' | 'allowedPorts' | 'description'>

function policyAnswer(type: string, networkId: number, policy: Policy): RegistryMessage {
  const { maxMembers, allowedPorts, description } = policy
  return {
    type,
    network_id: networkId,
    max_members: maxMembers,
    allowed_ports: allowedPorts,
    description,
  }
}

const setNetworkPolicy: Operation = (desk, request) => {
  const { message, now } = request
  const network = namedNetwork(desk, message, true)
  if (network instanceof Refusal) return network.reply
  const policy = changedPolicy(network, message)
  if (policy instanceof Refusal) return policy.reply
  const actor = actorIn(desk, request, network, ['owner', 'admin'])
  if (actor instanceof Refusal) return actor.reply
  const members = desk.networks.memberCount(network.id)
  const { maxMembers } = policy
  if (maxMembers !== 0 && maxMembers < members)
    return refuse(`cannot set max_members to ${maxMembers}: network already has ${members} members`)
  desk.networks.change(network, policy)
  desk.audit.add('network.policy_changed', now.unixSeconds, {
    network: network.id,
    details: { max_members: maxMembers, allowed_ports: policy.allowedPorts?.join(' ') ?? '' },
  })
  return policyAnswer('set_network_policy_ok', network.id, policy)
}

/** Members left out keep their value. */
export function changedPolicy(network: StoredNetwork, message: RegistryMessage): Policy | Refusal {
  let { maxMembers, allowedPorts, description } = network
  const { max_members: limit, allowed_ports: ports, description: text } = message
  if (limit !== undefined) {
    const isGood = typeof limit === 'number' && Number.isInteger(limit) && limit >= 0
    if (!isGood || limit > MEMBERS_LIMIT_MAX)
      return new Refusal(`invalid max_members (must be integer 0-${MEMBERS_LIMIT_MAX})`)
    maxMembers = limit
  }
  if (ports !== undefined && ports !== null) {
    if (!Array.isArray(ports) || !ports.every(isPort))
      return new Refusal('invalid port number in allowed_ports (must be integer 1-65535)')
    if (ports.length > POLICY_PORTS_MAX)
      return new Refusal(`too many allowed_ports (max ${POLICY_PORTS_MAX})`)
    allowedPorts = [...new Set(ports)]
  }
  if (text !== undefined) {
    if (typeof text !== 'string' || cutBytes(text, DESCRIPTION_BYTES_MAX) !== text)
      return new Refusal(`description too long (max ${DESCRIPTION_BYTES_MAX} bytes)`)
    description = text
  }
  return { maxMembers, allowedPorts, description }
}

/**
 * Told to anybody, as the stock command line tool asks without a token. Daemons ask for network 0 too, which
 * has none.
 */
const getNetworkPolicy: Operation = (desk, { message }) => {
  const networkId = networkIdField(message, 'network_id')
  const type = 'get_network_policy_ok'
  if (networkId === 0)
    return policyAnswer(type, 0, { maxMembers: 0, allowedPorts: [], description: '' })
  const network = namedNetwork(desk, message)
  if (network instanceof Refusal) return network.reply
  return policyAnswer(type, networkId, { ...network, allowedPorts: network.allowedPorts ?? [] })
}

const setExprPolicy: Operation = (desk, request) => {
  const { message, now } = request
  const network = namedNetwork(desk, message)
  if (network instanceof Refusal) return network.reply
  const { text, value, problem } = parseDocument(message.expr_policy)
  const wrong = value === undefined ? problem : exprPolicyProblem(value)
  if (wrong !== undefined) return refuse(`expr_policy: ${wrong}`)
  const actor = actorIn(desk, request, network, ['owner', 'admin'])
  if (actor instanceof Refusal) return actor.reply
  desk.networks.change(network, { exprPolicy: text })
  const action = text === '' ? 'network.expr_policy_cleared' : 'network.expr_policy_set'
  desk.audit.add(action, now.unixSeconds, { network: network.id })
  const cleared = text === '' ? { cleared: true } : {}
  return { type: 'set_expr_policy_ok', network_id: network.id, ...cleared }
}

const getExprPolicy: Operation = (desk, request) => {
  const networkId = networkIdField(request.message, 'network_id')
  const type = 'get_expr_policy_ok'
  if (networkId === 0) return { type, network_id: 0 }
  const network = namedNetwork(desk, request.message)
  if (network instanceof Refusal || !mayReadNetwork(desk, request, network))
    return refuse(networkNotFound(networkId))
  const { exprPolicy } = network
  const document = exprPolicy === '' ? {} : { expr_policy: JSON.parse(exprPolicy) }
  return { type, network_id: networkId, ...document }
}

export const POLICY_OPERATIONS: Readonly<Record<string, Operation>> = {
  set_network_policy: setNetworkPolicy,
  get_network_policy: getNetworkPolicy,
  set_expr_policy: setExprPolicy,
  get_expr_policy: getExprPolicy,
}
