/** Sends audit entries to where the operator wants them, once they are on disk: in order, thrice if need be. */
import { lookup } from 'node:dns/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseWebhookUrl } from '../runtimes/node/webhook/webhook-url.ts'
import type { AuditExports, AuditQueue, NumberedEvent } from './audit-exports.ts'
import { exportBody, webhookBody } from './audit-format.ts'
import type { Log } from './log.ts'

const WEBHOOK_MS = 5000
const COLLECTOR_MS = 10_000
const WAITS_MS = [1000, 2000] as const

interface Post {
  readonly url: string
  readonly headers: Record<string, string>
  readonly body: string
}

/** Why a URL is not one to send to; `undefined` when it may be. */
export function exportUrlProblem(text: string): string | undefined {
  try {
    parseWebhookUrl(text)
    return undefined
  } catch (error) {
    return error instanceof Error ? error.message.replace('the webhook URL', 'the URL') : 'bad URL'
  }
}

export class AuditSender {
  readonly #exports: AuditExports
  readonly #log: Log
  readonly #waitsMs: readonly number[]
  readonly #abort = new AbortController()
  readonly #running = new Map<AuditQueue, Promise<void>>()

  /** `waitsMs`: before the second and the third attempt. */
  constructor(exports: AuditExports, log: Log, waitsMs: readonly number[] = WAITS_MS) {
    this.#exports = exports
    this.#log = log
    this.#waitsMs = waitsMs
  }

  /** What was added is durable now. */
  wake(): void {
    const { webhook, collector } = this.#exports
    this.#start(webhook, WEBHOOK_MS, (event) => {
      const { url } = this.#exports
      const headers = { 'Content-Type': 'application/json' }
      return url === '' ? undefined : { url, headers, body: webhookBody(event) }
    })
    this.#start(collector, COLLECTOR_MS, (event) => {
      const { target } = this.#exports
      if (target.endpoint === '') return undefined
      const { body, contentType } = exportBody(event, target)
      const authorization = target.token === '' ? {} : { Authorization: `Splunk ${target.token}` }
      return {
        url: target.endpoint,
        headers: { 'Content-Type': contentType, ...authorization },
        body,
      }
    })
  }

  async close(): Promise<void> {
    this.#abort.abort()
    await Promise.all(this.#running.values())
  }

  #start(
    queue: AuditQueue,
    timeoutMs: number,
    make: (event: NumberedEvent) => Post | undefined,
  ): void {
    if (this.#running.has(queue) || this.#abort.signal.aborted) return
    const run = async (): Promise<void> => {
      for (let event = queue.next(); event !== undefined; event = queue.next()) {
        const post = make(event)
        if (post === undefined) continue
        const reason = await this.#deliver(post, timeoutMs)
        if (reason === undefined) queue.delivered++
        else {
          queue.bury(event)
          this.#log.warn('audit entry not delivered', { action: event.entry.action, reason })
        }
        if (this.#abort.signal.aborted) return
      }
    }
    this.#running.set(
      queue,
      run().finally(() => this.#running.delete(queue)),
    )
  }

  /** `undefined` when it was taken. */
  async #deliver(post: Post, timeoutMs: number): Promise<string | undefined> {
    for (let attempt = 0; ; attempt++) {
      const outcome = await this.#send(post, timeoutMs)
      if (outcome === undefined) return undefined
      const wait = this.#waitsMs[attempt]
      if (outcome.isFinal || wait === undefined || this.#abort.signal.aborted) return outcome.reason
      await sleep(wait, undefined, { signal: this.#abort.signal }).catch(() => {})
    }
  }

  async #send(
    { url, headers, body }: Post,
    timeoutMs: number,
  ): Promise<{ readonly isFinal: boolean; readonly reason: string } | undefined> {
    try {
      await checkHost(url)
      const response = await fetch(url, {
        method: 'POST',
        headers,
        body,
        // A target that sends elsewhere is not where the operator sent it, and would be told the token.
        redirect: 'manual',
        signal: AbortSignal.any([this.#abort.signal, AbortSignal.timeout(timeoutMs)]),
      })
      await response.body?.cancel().catch(() => {})
      if (response.status < 300) return undefined
      return { isFinal: response.status < 500, reason: `HTTP status ${response.status}` }
    } catch (error) {
      const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error
      return { isFinal: false, reason: cause instanceof Error ? cause.message : String(cause) }
    }
  }
}

/** A name may lead where its text does not show (spec/05 §24 L16). @throws {Error} for link-local addresses. */
async function checkHost(text: string): Promise<void> {
  const { hostname } = parseWebhookUrl(text)
  const found = await lookup(hostname.replace(/^\[|\]$/g, ''), { all: true })
  for (const { address, family } of found)
    parseWebhookUrl(`http://${family === 6 ? `[${address}]` : address}/`)
}
