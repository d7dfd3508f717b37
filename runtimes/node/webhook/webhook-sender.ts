/** Posts events to one URL: in order, one at a time, thrice if need be (spec/07 §10.1). Never holds anybody up. */
import { createHmac } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import type { DeadLetters } from './dead-letters.ts'
import { parseWebhookUrl } from './webhook-url.ts'

export interface WebhookSenderOptions {
  readonly url: string
  /** Each body is signed with it; `''` or absent for none. */
  readonly secret?: string
  readonly nodeId: () => number
  readonly deadLetters: DeadLetters
  readonly warn: (text: string, facts: Record<string, string | number>) => void
  /** Before the second and the third attempt. Default 1 s and 2 s. */
  readonly waitsMs?: readonly number[]
}

/** Events that wait; later ones are dropped. */
const QUEUE_MAX = 1024
const ATTEMPT_MS = 5000
const STOP_MS = 5000
const REDIRECTS_MAX = 5
const WAITS_MS = [1000, 2000] as const

interface Letter {
  readonly name: string
  readonly body: string
}

export class WebhookSender {
  readonly #options: WebhookSenderOptions
  readonly #url: URL
  readonly #queue: Letter[] = []
  readonly #abort = new AbortController()
  #eventId = 0
  #dropped = 0
  #isStopping = false
  #sending: Promise<void> | undefined

  /** @throws {UsageError} `ERR_INVALID_ARGUMENT` for a URL that is not to be called. */
  constructor(options: WebhookSenderOptions) {
    this.#options = options
    this.#url = parseWebhookUrl(options.url)
  }

  /** Events that were dropped because too many waited. */
  get dropped(): number {
    return this.#dropped
  }

  send(name: string, data?: Readonly<Record<string, unknown>>): void {
    if (this.#isStopping) return
    if (this.#queue.length >= QUEUE_MAX) {
      this.#dropped++
      if (this.#dropped % QUEUE_MAX === 1)
        this.#options.warn('webhook events dropped, too many wait', { dropped: this.#dropped })
      return
    }
    const body = JSON.stringify({
      event_id: ++this.#eventId,
      event: name,
      node_id: this.#options.nodeId(),
      timestamp: new Date().toISOString(),
      ...(data === undefined ? {} : { data }),
    })
    this.#queue.push({ name, body })
    this.#sending ??= this.#run().finally(() => {
      this.#sending = undefined
    })
  }

  /** What waits is sent within 5 s; the rest becomes dead letters. */
  async stop(): Promise<void> {
    this.#isStopping = true
    const late = setTimeout(() => this.#abort.abort(), STOP_MS)
    await this.#sending
    clearTimeout(late)
  }

  async #run(): Promise<void> {
    for (let letter = this.#queue.shift(); letter !== undefined; letter = this.#queue.shift()) {
      const reason = await this.#deliver(letter.body)
      if (reason === undefined) continue
      this.#options.warn('webhook event not delivered', { event: letter.name, reason })
      await this.#options.deadLetters.add(letter.body, reason)
    }
  }

  /** `undefined` when it was taken. */
  async #deliver(body: string): Promise<string | undefined> {
    const waits = this.#options.waitsMs ?? WAITS_MS
    for (let attempt = 0; ; attempt++) {
      if (this.#abort.signal.aborted) return 'stopped before it was sent'
      const outcome = await this.#post(body)
      if (outcome === 'taken') return undefined
      const wait = waits[attempt]
      if (outcome.isFinal || wait === undefined) return outcome.reason
      await sleep(wait, undefined, { signal: this.#abort.signal }).catch(() => {})
    }
  }

  /** As the newest reference signs (spec/07 §10.1): hex HMAC-SHA256 of the body. */
  #signature(body: string): Record<string, string> {
    const { secret = '' } = this.#options
    if (secret === '') return {}
    return { 'X-Pilot-Signature-256': createHmac('sha256', secret).update(body).digest('hex') }
  }

  async #post(
    body: string,
  ): Promise<'taken' | { readonly isFinal: boolean; readonly reason: string }> {
    let url = this.#url
    for (let redirects = 0; ; redirects++) {
      let response: Response
      try {
        response = await fetch(url, {
          method: 'POST',
          headers: { 'Content-Type': 'application/json', ...this.#signature(body) },
          body,
          redirect: 'manual',
          signal: AbortSignal.any([this.#abort.signal, AbortSignal.timeout(ATTEMPT_MS)]),
        })
      } catch (error) {
        return { isFinal: false, reason: reasonOf(error) }
      }
      // What it says does not matter; the connection is free for the next event.
      await response.body?.cancel().catch(() => {})
      const { status } = response
      if (status < 300) return 'taken'
      const location = response.headers.get('location')
      // 301 to 303 would turn the POST into a GET, which delivers nothing.
      const isRedirect = (status === 307 || status === 308) && location !== null
      if (!isRedirect || redirects >= REDIRECTS_MAX)
        return { isFinal: status < 500, reason: `HTTP status ${status}` }
      try {
        url = parseWebhookUrl(new URL(location, url).href)
      } catch (error) {
        return { isFinal: true, reason: `redirected: ${reasonOf(error)}` }
      }
    }
  }
}

function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  return error.cause instanceof Error ? `${error.message}: ${error.cause.message}` : error.message
}
