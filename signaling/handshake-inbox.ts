/**
 * Relayed handshakes (spec/04 §9): requests and responses that wait for a poll, and the memory of who asked
 * whom, without which nobody can be answered (spec/04 §22 W8). What a poll handed out stays until the
 * connection it went to makes its next request; until then another poll hands it out again (W23).
 */
import { HANDSHAKE_LIFETIME_SECONDS, INBOX_MAX, POLL_BYTES_MAX, RELAYED_MAX } from './limits.ts'
import type {
  RegistryStore,
  StoredRelayed,
  StoredRequest,
  StoredResponse,
} from './registry-store.ts'

/** Stands for a connection: what was handed out to it is acknowledged by its next request. */
export type Recipient = object

interface Waiting<Item> {
  readonly item: Item
  handedTo: Recipient | undefined
}

interface Inbox {
  /** By sender, oldest first. */
  readonly requests: Map<number, Waiting<StoredRequest>>
  readonly responses: Map<number, Waiting<StoredResponse>>
  /** Unix seconds of the last relayed request, by sender. */
  readonly relayed: Map<number, number>
}

export interface Polled {
  readonly requests: readonly StoredRequest[]
  readonly responses: readonly StoredResponse[]
}

/** Senders of what one poll handed out. */
export interface Handed {
  readonly requests: readonly number[]
  readonly responses: readonly number[]
}

export class HandshakeInbox {
  readonly #store: RegistryStore
  readonly #inboxes = new Map<number, Inbox>()

  constructor(store: RegistryStore) {
    this.#store = store
  }

  load(
    requests: Iterable<StoredRequest>,
    responses: Iterable<StoredResponse>,
    relayed: Iterable<StoredRelayed>,
  ): void {
    for (const item of requests)
      this.#of(item.target).requests.set(item.from, { item, handedTo: undefined })
    for (const item of responses)
      this.#of(item.target).responses.set(item.from, { item, handedTo: undefined })
    for (const { target, from, unixSeconds } of relayed)
      this.#of(target).relayed.set(from, unixSeconds)
  }

  *requests(): IterableIterator<StoredRequest> {
    for (const { requests } of this.#inboxes.values())
      for (const { item } of requests.values()) yield item
  }

  *responses(): IterableIterator<StoredResponse> {
    for (const { responses } of this.#inboxes.values())
      for (const { item } of responses.values()) yield item
  }

  *relayed(): IterableIterator<StoredRelayed> {
    for (const [target, { relayed }] of this.#inboxes)
      for (const [from, unixSeconds] of relayed) yield { target, from, unixSeconds }
  }

  /** Why the request cannot be left, or `undefined` when it was. */
  leaveRequest(request: StoredRequest): string | undefined {
    const { requests, relayed } = this.#of(request.target)
    const pending = requests.get(request.from)
    if (pending !== undefined && pending.handedTo === undefined)
      return `handshake request already pending from node ${request.from}`
    if (pending === undefined && requests.size >= INBOX_MAX)
      return `handshake inbox full for node ${request.target}`
    requests.delete(request.from)
    requests.set(request.from, { item: request, handedTo: undefined })
    this.#store.saveRequest(request)
    if (!relayed.has(request.from) && relayed.size >= RELAYED_MAX)
      for (const from of relayed.keys()) {
        this.#forgetRelayed(request.target, relayed, from)
        break
      }
    relayed.delete(request.from)
    relayed.set(request.from, request.unixSeconds)
    const { target, from, unixSeconds } = request
    this.#store.saveRelayed({ target, from, unixSeconds })
    return undefined
  }

  /** Whether `from` asked `target` through this registry in the last 7 days. */
  wasAsked(target: number, from: number, unixSeconds: number): boolean {
    const at = this.#inboxes.get(target)?.relayed.get(from)
    return at !== undefined && unixSeconds - at < HANDSHAKE_LIFETIME_SECONDS
  }

  /** Whether a response of this sender finds a place. */
  hasRoomForResponse(target: number, from: number): boolean {
    const responses = this.#inboxes.get(target)?.responses
    return responses === undefined || responses.has(from) || responses.size < INBOX_MAX
  }

  /** Replaces an earlier response of the same sender. */
  leaveResponse(response: StoredResponse): void {
    const { responses } = this.#of(response.target)
    responses.delete(response.from)
    responses.set(response.from, { item: response, handedTo: undefined })
    this.#store.saveResponse(response)
  }

  /** Hands out what waits, oldest first, as far as one answer holds it. */
  poll(target: number, recipient: Recipient): Polled {
    const requests: StoredRequest[] = []
    const responses: StoredResponse[] = []
    const inbox = this.#inboxes.get(target)
    if (inbox === undefined) return { requests, responses }
    let bytes = 0
    for (const waiting of inbox.requests.values()) {
      bytes += 128 + 3 * JSON.stringify(waiting.item.justification).length
      if (bytes > POLL_BYTES_MAX) break
      waiting.handedTo = recipient
      requests.push(waiting.item)
    }
    for (const waiting of inbox.responses.values()) {
      bytes += 128
      if (bytes > POLL_BYTES_MAX) break
      waiting.handedTo = recipient
      responses.push(waiting.item)
    }
    return { requests, responses }
  }

  /** Senders of what was handed out to this recipient and waits for its next request. */
  handedTo(target: number, recipient: Recipient): Handed {
    const inbox = this.#inboxes.get(target)
    const handed = (waiting: Map<number, Waiting<unknown>> | undefined): number[] =>
      [...(waiting ?? [])].filter(([, one]) => one.handedTo === recipient).map(([from]) => from)
    return { requests: handed(inbox?.requests), responses: handed(inbox?.responses) }
  }

  /** What was handed out before, to the same client. */
  resume(target: number, recipient: Recipient, handed: Handed): void {
    const inbox = this.#inboxes.get(target)
    const resume = (waiting: Map<number, Waiting<unknown>> | undefined, from: number): void => {
      const one = waiting?.get(from)
      if (one !== undefined) one.handedTo = recipient
    }
    for (const from of handed.requests) resume(inbox?.requests, from)
    for (const from of handed.responses) resume(inbox?.responses, from)
  }

  /** What this recipient polled has arrived: it goes. */
  acknowledge(target: number, recipient: Recipient): void {
    const inbox = this.#inboxes.get(target)
    if (inbox === undefined) return
    for (const [from, waiting] of inbox.requests)
      if (waiting.handedTo === recipient) {
        inbox.requests.delete(from)
        this.#store.deleteRequest(target, from)
      }
    for (const [from, waiting] of inbox.responses)
      if (waiting.handedTo === recipient) {
        inbox.responses.delete(from)
        this.#store.deleteResponse(target, from)
      }
    this.#drop(target, inbox)
  }

  /** What `from` left for `target` no longer holds. */
  withdraw(target: number, from: number): void {
    const inbox = this.#inboxes.get(target)
    if (inbox === undefined) return
    if (inbox.requests.delete(from)) this.#store.deleteRequest(target, from)
    if (inbox.responses.delete(from)) this.#store.deleteResponse(target, from)
    this.#drop(target, inbox)
  }

  /** Forgets what is older than 7 days. */
  sweep(unixSeconds: number): void {
    const before = unixSeconds - HANDSHAKE_LIFETIME_SECONDS
    for (const [target, inbox] of this.#inboxes) {
      for (const [from, { item }] of inbox.requests)
        if (item.unixSeconds <= before) {
          inbox.requests.delete(from)
          this.#store.deleteRequest(target, from)
        }
      for (const [from, { item }] of inbox.responses)
        if (item.unixSeconds <= before) {
          inbox.responses.delete(from)
          this.#store.deleteResponse(target, from)
        }
      for (const [from, at] of inbox.relayed)
        if (at <= before) this.#forgetRelayed(target, inbox.relayed, from)
      this.#drop(target, inbox)
    }
  }

  #forgetRelayed(target: number, relayed: Map<number, number>, from: number): void {
    relayed.delete(from)
    this.#store.deleteRelayed(target, from)
  }

  #of(target: number): Inbox {
    let inbox = this.#inboxes.get(target)
    if (inbox === undefined) {
      inbox = { requests: new Map(), responses: new Map(), relayed: new Map() }
      this.#inboxes.set(target, inbox)
    }
    return inbox
  }

  #drop(target: number, inbox: Inbox): void {
    if (inbox.requests.size + inbox.responses.size + inbox.relayed.size === 0)
      this.#inboxes.delete(target)
  }
}
