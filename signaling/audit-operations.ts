/** What an operator asks of the registry (spec/05 §15, §17). */
import { formatRfc3339 } from '../core/time-text.ts'
import type { RegistryMessage } from '../core/wire/registry-message.ts'
import { adminRefusal } from './admin-access.ts'
import { EXPORT_FORMATS, NO_EXPORT } from './audit-exports.ts'
import { webhookBody } from './audit-format.ts'
import { AUDIT_DEFAULT, AUDIT_MAX } from './limits.ts'
import { type Operation, type RegistryDesk, type RegistryRequest, refuse } from './registry-desk.ts'
import { networkIdField, nodeIdField, quoted, stringField } from './request-fields.ts'

const URL_MAX = 2048

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

/** Why what is about sending is not done, or `undefined`. */
function sendingRefusal(
  desk: RegistryDesk,
  request: RegistryRequest,
  url = '',
): RegistryMessage | undefined {
  const refusal = adminRefusal(desk, request)
  if (refusal !== undefined) return refusal.reply
  const { exportUrlProblem } = desk.options
  if (exportUrlProblem === undefined)
    return refuse(`unknown message type: ${quoted(stringField(request.message, 'type'))}`)
  const problem = url === '' ? undefined : exportUrlProblem(url)
  if (problem !== undefined) return refuse(problem)
  return url.length > URL_MAX ? refuse(`the URL is longer than ${URL_MAX} characters`) : undefined
}

const setWebhook: Operation = (desk, request) => {
  const url = stringField(request.message, 'url')
  const refusal = sendingRefusal(desk, request, url)
  if (refusal !== undefined) return refusal
  desk.exports.setUrl(url)
  return { type: 'set_webhook_ok', status: url === '' ? 'disabled' : 'enabled', url }
}

const getWebhook: Operation = (desk, request) => {
  const refusal = sendingRefusal(desk, request)
  if (refusal !== undefined) return refusal
  const { url, webhook } = desk.exports
  const { delivered, failed, dropped, dead } = webhook
  const enabled = url !== ''
  return { type: 'get_webhook_ok', enabled, url, delivered, failed, dropped, dlq_size: dead.length }
}

const getWebhookDlq: Operation = (desk, request) => {
  const refusal = sendingRefusal(desk, request)
  if (refusal !== undefined) return refusal
  const events = desk.exports.webhook.dead.map((event): unknown => JSON.parse(webhookBody(event)))
  return {
    type: 'get_webhook_dlq_ok',
    count: events.length,
    events: events.length === 0 ? null : events,
  }
}

const setAuditExport: Operation = (desk, request) => {
  const [format, endpoint, token, index, source] = [
    'format',
    'endpoint',
    'token',
    'index',
    'source',
  ].map((name) => stringField(request.message, name)) as [string, string, string, string, string]
  const refusal = sendingRefusal(desk, request, endpoint)
  if (refusal !== undefined) return refusal
  if (format === '' || endpoint === '') {
    desk.exports.setTarget(NO_EXPORT)
    return { type: 'set_audit_export_ok', status: 'disabled' }
  }
  const known = EXPORT_FORMATS.find((one) => one === format)
  if (known === undefined)
    return refuse(`unknown export format: ${quoted(format)} (${EXPORT_FORMATS.join(', ')})`)
  if ([token, index, source].some((text) => text.length > URL_MAX || /[\r\n]/.test(text)))
    return refuse('token, index and source are single lines')
  desk.exports.setTarget({ format: known, endpoint, token, index, source })
  const details = { format, endpoint }
  desk.audit.add('audit_export.configured', request.now.unixSeconds, { details })
  return { type: 'set_audit_export_ok', status: 'enabled', format, endpoint }
}

/** The token is told to nobody. */
const getAuditExport: Operation = (desk, request) => {
  const refusal = sendingRefusal(desk, request)
  if (refusal !== undefined) return refusal
  const { target, collector } = desk.exports
  const { format, endpoint } = target
  if (endpoint === '') return { type: 'get_audit_export_ok', enabled: false }
  const { delivered: exported, failed, dropped } = collector
  return {
    type: 'get_audit_export_ok',
    enabled: true,
    format,
    endpoint,
    exported,
    dropped: dropped + failed,
  }
}

export const AUDIT_OPERATIONS: Readonly<Record<string, Operation>> = {
  get_audit_log: getAuditLog,
  get_provision_status: getProvisionStatus,
  set_webhook: setWebhook,
  get_webhook: getWebhook,
  get_webhook_dlq: getWebhookDlq,
  set_audit_export: setAuditExport,
  get_audit_export: getAuditExport,
}
