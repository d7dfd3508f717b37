/** The registry connection and who waits for which of its answers. */
import type { PilotError } from '../errors.ts'
import type { Instant } from '../machine.ts'
import type { RegistrationRequest } from '../rendezvous/registration.ts'
import { RegistryClient } from '../rendezvous/registry-client.ts'
import { type RegistryRequest, withSignature } from '../rendezvous/registry-requests.ts'
import type { RegistryMessage } from '../wire/registry-message.ts'
import type { NodeContext } from './context.ts'

/** Who asked. */
export type Inquirer =
  | { readonly kind: 'user' }
  | { readonly kind: 'registration'; readonly request: RegistrationRequest }
  | { readonly kind: 'resolve'; readonly peerId: number }
  | { readonly kind: 'lookup'; readonly peerId: number }
  | { readonly kind: 'trust'; readonly token: number }
  /** Nobody waits. */
  | { readonly kind: 'quiet' }

/** An answer, or why there is none. */
export type Outcome =
  | { readonly reply: RegistryMessage; readonly error?: undefined }
  | { readonly reply?: undefined; readonly error: PilotError }

export interface Answer {
  readonly inquirer: Inquirer
  readonly outcome: Outcome
}

interface Asked {
  readonly id: number
  readonly inquirer: Inquirer
}

export class RegistryDesk {
  readonly client: RegistryClient
  readonly #context: NodeContext
  /** By the client's number of the request. */
  readonly #asked = new Map<number, Asked>()
  #nextId = 1

  constructor(context: NodeContext) {
    this.#context = context
    this.client = new RegistryClient(context.options.now)
  }

  /** The id of the request, which users know their answer by. */
  ask(inquirer: Inquirer, { message, challenge }: RegistryRequest, now: Instant): number {
    const id = this.#nextId++
    const send = (signed: RegistryMessage): void => {
      this.#asked.set(this.client.request(signed, now), { id, inquirer })
    }
    if (challenge === undefined) send(message)
    else this.#context.sign(challenge, (signature) => send(withSignature(message, signature)))
    return id
  }

  /**
   * Passes on what the connection queued. Gives an answer for the node's parts to act on, `true` when it
   * dealt with something itself, `false` when nothing is left.
   */
  poll(): Answer | boolean {
    const event = this.client.pollEvent()
    if (event === undefined) return false
    switch (event.type) {
      case 'connect':
        this.#context.emit({ type: 'registry-connect' })
        return true
      case 'disconnect':
        this.#context.emit({ type: 'registry-disconnect' })
        return true
      case 'send':
        this.#context.emit({ type: 'registry-send', bytes: event.bytes })
        return true
      case 'lost':
        this.#context.emit({ type: 'registry-lost', reason: event.reason })
        return true
      case 'connected':
        return true
      case 'reply':
        return this.#answer(event.id, { reply: event.reply })
      case 'failed':
        return this.#answer(event.id, { error: event.error })
    }
  }

  #answer(requestId: number, outcome: Outcome): Answer | true {
    const asked = this.#asked.get(requestId)
    this.#asked.delete(requestId)
    if (asked === undefined) return true
    const { id, inquirer } = asked
    if (inquirer.kind !== 'user') return { inquirer, outcome }
    const { reply, error } = outcome
    if (error === undefined) this.#context.emit({ type: 'registry-reply', id, reply })
    else this.#context.emit({ type: 'registry-failed', id, error })
    return true
  }
}
