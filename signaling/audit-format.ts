/** Bodies in which audit entries leave the registry (spec/05 §17). */
import { formatRfc3339 } from '../core/time-text.ts'
import type { ExportTarget, NumberedEvent } from './audit-exports.ts'

export interface ExportBody {
  readonly contentType: string
  readonly body: string
}

/** For the webhook. */
export function webhookBody({ eventId, entry, details }: NumberedEvent): string {
  return JSON.stringify({
    event_id: eventId,
    action: entry.action,
    timestamp: formatRfc3339(entry.unixSeconds),
    details: {
      ...details,
      ...(entry.node === 0 ? {} : { node_id: entry.node }),
      ...(entry.network === 0 ? {} : { network_id: entry.network }),
    },
  })
}

export function exportBody({ entry }: NumberedEvent, target: ExportTarget): ExportBody {
  const { action, details, node, network, unixSeconds } = entry
  const places = {
    ...(network === 0 ? {} : { network_id: network }),
    ...(node === 0 ? {} : { node_id: node }),
    ...(details === '' ? {} : { details }),
  }
  const json = 'application/json'
  switch (target.format) {
    case 'splunk_hec':
      return {
        contentType: json,
        body: JSON.stringify({
          time: unixSeconds,
          source: target.source,
          sourcetype: 'pilot:audit',
          index: target.index,
          event: { action, ...places },
        }),
      }
    case 'syslog_cef':
      return { contentType: 'text/plain', body: cefLine(action, details, network, node) }
    default:
      return {
        contentType: json,
        body: JSON.stringify({ timestamp: formatRfc3339(unixSeconds), action, ...places }),
      }
  }
}

/** Deviation (spec/05 §24 L27): values are escaped as CEF wants it, so that none begins a member or a line of its own. */
function cefLine(action: string, details: string, network: number, node: number): string {
  const header = escaped(action, /[\\|]/g)
  const extension = [
    'dvc=pilot-registry',
    'dvchost=registry',
    `cs1=${escaped(action, /[\\=]/g)}`,
    'cs1Label=action',
    `cn1=${network}`,
    'cn1Label=network_id',
    `cn2=${node}`,
    'cn2Label=node_id',
    `msg=${escaped(details, /[\\=]/g)}`,
  ].join(' ')
  return `CEF:0|Pilot|Registry|1.0|${header}|${header}|${severityOf(action)}|${extension}`
}

function escaped(text: string, special: RegExp): string {
  return text
    .replace(special, (character) => `\\${character}`)
    .replaceAll('\r', '\\r')
    .replaceAll('\n', '\\n')
}

/** 0 to 10: what takes something away from somebody stands out. */
function severityOf(action: string): number {
  if (/^(key\.|member\.kicked|network\.(deleted|owner_lost)|trust\.revoked)/.test(action)) return 7
  return /^(network|member|invite|member_tags|audit_export|registry_webhook)\./.test(action) ? 5 : 3
}
