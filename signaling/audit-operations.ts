/** What an operator asks of the registry (spec/05 §15, §17). */
import { formatRfc3339 } from '../core/time-text.ts'
import { adminRefusal } from './admin-access.ts'
import { AUDIT_DEFAULT, AUDIT_MAX } from './limits.ts'
import type { Operation } from './registry-desk.ts'
import { networkIdField, nodeIdField } from './request-fields.ts'

const getAuditLog: Operation = (desk, request) => {
  const refusal = adminRefusal(desk, request)
  if (refusal !== undefined) return refusal.reply
  const { message } = request
  const asked = nodeIdField(message, 'limit')
  const limit = asked === 0 ? AUDIT_DEFAULT : Math.min(asked, AUDIT_MAX)
  const entries = desk.audit.newest(limit, networkIdField(message, 'network_id'))
  return {
    type: 'get_audit_log_ok',
    entries: entries.map(({ unixSeconds, action, node, network, details }) => ({
      timestamp: formatRfc3339(unixSeconds),
      action,
      ...(node === 0 ? {} : { node_id: node }),
      ...(network === 0 ? {} : { network_id: network }),
      ...(details === '' ? {} : { details }),
    })),
  }
}

const getProvisionStatus: Operation = (desk, request) => {
  const refusal = adminRefusal(desk, request)
  if (refusal !== undefined) return refusal.reply
  return {
    type: 'get_provision_status_ok',
    networks: [...desk.networks.all()].map(({ id, name, joinRule, isEnterprise }) => ({
      network_id: id,
      name,
      join_rule: joinRule,
      enterprise: isEnterprise,
      members: desk.networks.memberCount(id),
    })),
  }
}

export const AUDIT_OPERATIONS: Readonly<Record<string, Operation>> = {
  get_audit_log: getAuditLog,
  get_provision_status: getProvisionStatus,
}
