/**
 * `provision_network` (spec/05 §15): a network as a document says, made or brought up to date. Parts about
 * services outside of the registry are refused by name, before anything is changed.
 */
import { adminRefusal, sameSecret } from './admin-access.ts'
import { NETWORKS_MAX } from './limits.ts'
import { newNetworkFields } from './network-operations.ts'
import { exprPolicyProblem, parseDocument } from './policy-document.ts'
import { changedPolicy } from './policy-operations.ts'
import { type Operation, Refusal, type RegistryDesk, refuse } from './registry-desk.ts'
import type { StoredNetwork } from './registry-store.ts'
import { stringField } from './request-fields.ts'

type Blueprint = Readonly<Record<string, unknown>>

const NOT_SERVED: readonly string[] = ['roles', 'identity_provider', 'webhooks', 'audit_export']

export const provisionNetwork: Operation = (desk, request) => {
  const { message, now } = request
  const refusal = adminRefusal(desk, request)
  if (refusal !== undefined) return refusal.reply
  const { value: blueprint, problem } = { value: undefined, ...parseDocument(message.blueprint) }
  if (blueprint === undefined) return refuse(`invalid blueprint: ${problem ?? 'required'}`)
  for (const name of NOT_SERVED)
    if (!isEmpty(blueprint[name]))
      return refuse(`invalid blueprint: ${name} is not available on this registry`)
  const actions: string[] = []
  const known = desk.networks.byName(stringField(blueprint, 'name'))
  const base = known ?? made(desk, blueprint)
  if (base instanceof Refusal) return base.reply
  const changed = brought(base, blueprint, actions)
  if (changed instanceof Refusal) return changed.reply
  if (known === undefined && desk.networks.size >= NETWORKS_MAX)
    return refuse('too many networks on this registry')
  const { id: _, ...fields } = changed
  const network =
    known === undefined
      ? desk.networks.create({ ...fields, createdAt: now.unixSeconds })
      : desk.networks.change(known, fields)
  if (network === undefined) return refuse('network ID space exhausted')
  const { id, name } = network
  if (known === undefined) actions.unshift(`created network ${id} (${name})`)
  const details = { name, created: known === undefined }
  desk.audit.add('network.provisioned', now.unixSeconds, { network: id, details })
  return {
    type: 'provision_network_ok',
    network_id: id,
    name,
    created: known === undefined,
    actions,
  }
}

/** A network as the blueprint wants it; the id comes later. */
function made(desk: RegistryDesk, blueprint: Blueprint): StoredNetwork | Refusal {
  const { join_token: token, ...rest } = blueprint
  const fields = newNetworkFields(desk, { ...rest, token })
  return fields instanceof Refusal ? fields : { ...fields, id: 0, createdAt: 0 }
}

/** The network with the blueprint's policies and token; what it does not name stays. */
function brought(
  network: StoredNetwork,
  blueprint: Blueprint,
  actions: string[],
): StoredNetwork | Refusal {
  let next = network
  if (!isEmpty(blueprint.policy)) {
    const { value } = { value: undefined, ...parseDocument(blueprint.policy) }
    if (value === undefined) return new Refusal('invalid blueprint: policy must be an object')
    const policy = changedPolicy(next, value)
    if (policy instanceof Refusal) return policy
    next = { ...next, ...policy }
    actions.push('applied network policy')
  }
  if (!isEmpty(blueprint.expr_policy)) {
    const { text, value, problem } = parseDocument(blueprint.expr_policy)
    const wrong = value === undefined ? problem : exprPolicyProblem(value)
    if (wrong !== undefined) return new Refusal(`invalid expr_policy: ${wrong}`)
    next = { ...next, exprPolicy: text }
    actions.push('applied expression policy')
  }
  const adminToken = stringField(blueprint, 'network_admin_token')
  if (adminToken !== '' && !sameSecret(adminToken, network.adminToken)) {
    next = { ...next, adminToken }
    actions.push('set network admin token')
  }
  return next
}

/** As Go leaves members out: zero values say nothing. */
function isEmpty(value: unknown): boolean {
  if (value === undefined || value === null || value === '') return true
  return Array.isArray(value) && value.length === 0
}
