/**
 * Where the audit log goes besides the registry (spec/05 §17): to a webhook, and to a log collector. Settings are kept in
 * the store (§24 L20); what leaves is handed out entry by entry, and who sends it tells what became of it.
 */
import type { AuditEvent } from './audit-log.ts'
import type { RegistryStore } from './registry-store.ts'

export const EXPORT_FORMATS = ['json', 'splunk_hec', 'syslog_cef'] as const
export type ExportFormat = (typeof EXPORT_FORMATS)[number]

/** `endpoint` `''`: nowhere. */
export interface ExportTarget {
  readonly format: ExportFormat | ''
  readonly endpoint: string
  readonly token: string
  readonly index: string
  readonly source: string
}

export const NO_EXPORT: ExportTarget = {
  format: '',
  endpoint: '',
  token: '',
  index: '',
  source: '',
}

/** An event with its number of this run, which webhooks are told. */
export interface NumberedEvent extends AuditEvent {
  readonly eventId: number
}

/** Events that wait for one target; more are dropped, and counted. */
const QUEUE_MAX = 1024
/** Webhook events that nobody took. */
const DEAD_MAX = 100

export class AuditQueue {
  delivered = 0
  failed = 0
  dropped = 0
  readonly #events: NumberedEvent[] = []
  readonly #dead: NumberedEvent[] = []

  add(event: NumberedEvent): void {
    if (this.#events.length < QUEUE_MAX) this.#events.push(event)
    else this.dropped++
  }

  next(): NumberedEvent | undefined {
    return this.#events.shift()
  }

  /** Nobody took it. */
  bury(event: NumberedEvent): void {
    this.failed++
    this.#dead.push(event)
    if (this.#dead.length > DEAD_MAX) this.#dead.shift()
  }

  /** Oldest first. */
  get dead(): readonly NumberedEvent[] {
    return this.#dead
  }

  clear(): void {
    this.#events.length = 0
  }
}

export class AuditExports {
  readonly webhook: AuditQueue = new AuditQueue()
  readonly collector: AuditQueue = new AuditQueue()
  readonly #store: RegistryStore
  #url = ''
  #target: ExportTarget = NO_EXPORT
  #nextEventId = 1

  constructor(store: RegistryStore) {
    this.#store = store
  }

  load(): void {
    const settings = this.#store.loadSettings()
    this.#url = settings.get('webhook') ?? ''
    this.#target = parseTarget(settings.get('audit_export') ?? '') ?? NO_EXPORT
  }

  get url(): string {
    return this.#url
  }
  get target(): ExportTarget {
    return this.#target
  }

  /** What waits for the former one goes to nobody. */
  setUrl(url: string): void {
    this.#url = url
    this.webhook.clear()
    this.#store.saveSetting('webhook', url)
  }

  setTarget(target: ExportTarget): void {
    this.#target = target
    this.collector.clear()
    this.#store.saveSetting('audit_export', target.endpoint === '' ? '' : JSON.stringify(target))
  }

  add(event: AuditEvent): void {
    if (this.#url === '' && this.#target.endpoint === '') return
    const numbered = { ...event, eventId: this.#nextEventId++ }
    if (this.#url !== '') this.webhook.add(numbered)
    if (this.#target.endpoint !== '') this.collector.add(numbered)
  }
}

/** As this program wrote it; anything else is none. */
function parseTarget(text: string): ExportTarget | undefined {
  if (text === '') return undefined
  try {
    const value = JSON.parse(text) as Record<string, unknown>
    const member = (name: string): string => (typeof value[name] === 'string' ? value[name] : '')
    const format = EXPORT_FORMATS.find((one) => one === value.format)
    if (format === undefined) return undefined
    return {
      format,
      endpoint: member('endpoint'),
      token: member('token'),
      index: member('index'),
      source: member('source'),
    }
  } catch {
    return undefined
  }
}
