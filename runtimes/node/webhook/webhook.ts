/** The webhook of a daemon: one target at a time, replaced while everything goes on. */
import { join } from 'node:path'
import type { PilotNode } from '../../shared/api.ts'
import type { Log } from '../daemon/log.ts'
import { DeadLetters } from './dead-letters.ts'
import { type EmitWebhook, watchNode } from './webhook-events.ts'
import { WebhookSender } from './webhook-sender.ts'

interface WebhookOptions {
  readonly home: string
  readonly log: Log
  readonly secret?: string
}

export class Webhook {
  readonly #deadLetters: DeadLetters
  readonly #log: Log
  readonly #secret: string
  #node: PilotNode | undefined
  #unwatch: () => void = () => {}
  #sender: WebhookSender | undefined

  /** `home`: where `~/.pilot/webhook-dead.jsonl` is. `secret`: signs what is sent, `''` for not. */
  constructor({ home, log, secret = '' }: WebhookOptions) {
    this.#secret = secret
    this.#deadLetters = new DeadLetters(join(home, '.pilot', 'webhook-dead.jsonl'))
    this.#log = log
  }

  /** Events of this target that were dropped because too many waited. */
  get dropped(): number {
    return this.#sender?.dropped ?? 0
  }

  /** Begins with `node.registered`. */
  watch(node: PilotNode): void {
    this.#node = node
    this.#unwatch = watchNode(node, this.emit)
  }

  /** Everybody's way to say something; without a target nothing happens. */
  readonly emit: EmitWebhook = (name, data) => this.#sender?.send(name, data)

  /**
   * Replaces the target; `''` is none. What waits for the former one still goes there, for at most 5 s.
   *
   * @throws {UsageError} `ERR_INVALID_ARGUMENT` for a URL that is not to be called; nothing changes then.
   */
  setTarget(url: string): void {
    const sender =
      url === ''
        ? undefined
        : new WebhookSender({
            url,
            secret: this.#secret,
            nodeId: () => this.#node?.nodeId ?? 0,
            deadLetters: this.#deadLetters,
            warn: (text, facts) => this.#log.warn(text, facts),
          })
    const former = this.#sender
    this.#sender = sender
    void former?.stop()
    this.#log.info(url === '' ? 'no webhook' : 'webhook set')
  }

  /** Says that the node leaves; call before it does. */
  leave(): void {
    this.#unwatch()
    this.emit('node.deregistered')
  }

  /** What waits is sent, for at most 5 s. */
  async close(): Promise<void> {
    const sender = this.#sender
    this.#sender = undefined
    await sender?.stop()
  }
}
