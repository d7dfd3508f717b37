/**
 * The broker behind port 1002 (spec/07 §7.2). It never waits for a subscriber: each has a bounded queue, and
 * one that overflows is dropped. Connections are named by the caller's ids.
 */
import { WireError } from '../errors.ts'
import type { Instant } from '../machine.ts'
import { TokenBucket } from '../rate-limit.ts'
import { EventDecoder, encodeEvent, type StreamEvent } from './event-stream.ts'

export interface BrokerOptions {
  /** Bytes that may wait for one subscriber. Default 4 MiB. */
  readonly queueBytesMax?: number
  /** Publications of one connection. Default 100 per second, 200 at once. */
  readonly publicationsPerSecond?: number
  readonly publicationsBurst?: number
  /** Connections; more are refused. Default 1024. */
  readonly connectionsMax?: number
}

/** Why a connection has to be closed. */
export type BrokerDrop = 'overflow' | 'malformed'

export interface BrokerStats {
  readonly published: number
  readonly delivered: number
  readonly rateLimited: number
  readonly droppedSlow: number
  readonly droppedMalformed: number
}

interface Client {
  readonly decoder: EventDecoder
  readonly bucket: TokenBucket
  /** `undefined` until the first event, which is the subscription. */
  topic: string | undefined
  queue: Uint8Array[]
  /** Index of the first event not wholly taken, and how much of it is. */
  head: number
  taken: number
  queuedBytes: number
}

/** `topic` has one character per byte. */
export type BrokerNews =
  | { readonly type: 'subscribed' | 'unsubscribed'; readonly id: number; readonly topic: string }
  | {
      readonly type: 'published'
      readonly id: number
      readonly topic: string
      readonly size: number
    }

const NEWS_MAX = 256
const WILDCARD = '*'

export class EventBroker {
  readonly #options: Required<BrokerOptions>
  readonly #clients = new Map<number, Client>()
  readonly #byTopic = new Map<string, Set<number>>()
  readonly #writable = new Set<number>()
  readonly #dropped: { id: number; reason: BrokerDrop }[] = []
  /** For who watches: at most so many wait to be polled. */
  readonly #news: BrokerNews[] = []
  #stats = { published: 0, delivered: 0, rateLimited: 0, droppedSlow: 0, droppedMalformed: 0 }

  constructor(options: BrokerOptions = {}) {
    this.#options = {
      queueBytesMax: 4 << 20,
      publicationsPerSecond: 100,
      publicationsBurst: 200,
      connectionsMax: 1024,
      ...options,
    }
  }

  get stats(): BrokerStats {
    return { ...this.#stats }
  }
  get connections(): number {
    return this.#clients.size
  }

  /** A connection opened. False when there are too many: close it. */
  add(id: number): boolean {
    const { connectionsMax, publicationsPerSecond, publicationsBurst } = this.#options
    if (this.#clients.size >= connectionsMax || this.#clients.has(id)) return false
    this.#clients.set(id, {
      decoder: new EventDecoder(),
      bucket: new TokenBucket({ perSecond: publicationsPerSecond, burst: publicationsBurst }),
      topic: undefined,
      queue: [],
      head: 0,
      taken: 0,
      queuedBytes: 0,
    })
    return true
  }

  /** A connection closed; its subscription ends. */
  remove(id: number): void {
    const client = this.#clients.get(id)
    if (client === undefined) return
    this.#clients.delete(id)
    this.#writable.delete(id)
    if (client.topic === undefined) return
    if (client.topic !== '') this.#tell({ type: 'unsubscribed', id, topic: client.topic })
    const subscribers = this.#byTopic.get(client.topic)
    subscribers?.delete(id)
    if (subscribers?.size === 0) this.#byTopic.delete(client.topic)
  }

  /** Bytes arrived on a connection. Those of a dropped or unknown one are ignored. */
  handleData(id: number, chunk: Uint8Array, now: Instant): void {
    const client = this.#clients.get(id)
    if (client === undefined) return
    client.decoder.push(chunk)
    try {
      for (let event = client.decoder.next(); event !== undefined; event = client.decoder.next())
        this.#handleEvent(id, client, event, now)
    } catch (error) {
      if (!(error instanceof WireError)) throw error
      this.#stats.droppedMalformed++
      this.#drop(id, 'malformed')
    }
  }

  /** An event of the node's own, to whoever subscribed. */
  publish(event: StreamEvent): void {
    this.#deliver(undefined, event)
  }

  /** What happened, oldest first. Nobody has to ask: the oldest are forgotten. */
  pollNews(): BrokerNews | undefined {
    return this.#news.shift()
  }

  /** A connection that has something to send since it was last asked for, until none is left. */
  pollWritable(): number | undefined {
    for (const id of this.#writable) {
      this.#writable.delete(id)
      return id
    }
    return undefined
  }

  /** A connection to close. It is already removed here. */
  pollDropped(): { readonly id: number; readonly reason: BrokerDrop } | undefined {
    return this.#dropped.shift()
  }

  /** The bytes to write next on a connection; the same again until `advance`. */
  peek(id: number): Uint8Array | undefined {
    const client = this.#clients.get(id)
    return client?.queue[client.head]?.subarray(client.taken)
  }

  /** So many bytes of what `peek` gave were written. */
  advance(id: number, bytes: number): void {
    const client = this.#clients.get(id)
    const event = client?.queue[client.head]
    if (client === undefined || event === undefined) return
    client.taken += bytes
    if (client.taken < event.length) return
    client.queuedBytes -= cost(event)
    client.taken = 0
    client.head++
    if (client.head === client.queue.length) client.queue.length = client.head = 0
    else if (client.head > 1024) {
      client.queue.splice(0, client.head)
      client.head = 0
    }
  }

  #handleEvent(id: number, client: Client, event: StreamEvent, now: Instant): void {
    if (client.topic === undefined) {
      client.topic = keyOf(event.topic)
      this.#tell({ type: 'subscribed', id, topic: client.topic })
      const subscribers = this.#byTopic.get(client.topic)
      if (subscribers === undefined) this.#byTopic.set(client.topic, new Set([id]))
      else subscribers.add(id)
    } else if (client.bucket.take(now)) {
      this.#deliver(id, event)
      const size = event.payload.length
      this.#tell({ type: 'published', id, topic: keyOf(event.topic), size })
    } else this.#stats.rateLimited++
  }

  #deliver(from: number | undefined, { topic, payload }: StreamEvent): void {
    this.#stats.published++
    const key = keyOf(topic)
    let bytes: Uint8Array | undefined
    const topics = key === WILDCARD ? [key] : [key, WILDCARD]
    for (const name of topics) {
      for (const id of this.#byTopic.get(name) ?? []) {
        if (id === from) continue
        bytes ??= encodeEvent(topic, payload) // shared by all queues
        this.#enqueue(id, bytes)
      }
    }
  }

  #enqueue(id: number, bytes: Uint8Array): void {
    const client = this.#clients.get(id)!
    // An event larger than the whole queue passes when nothing waits: size alone is no slowness.
    if (client.queuedBytes > 0 && client.queuedBytes + cost(bytes) > this.#options.queueBytesMax) {
      this.#stats.droppedSlow++
      this.#drop(id, 'overflow')
      return
    }
    client.queue.push(bytes)
    client.queuedBytes += cost(bytes)
    this.#stats.delivered++
    this.#writable.add(id)
  }

  #tell(news: BrokerNews): void {
    if (this.#news.length >= NEWS_MAX) this.#news.shift()
    this.#news.push(news)
  }

  #drop(id: number, reason: BrokerDrop): void {
    this.remove(id)
    this.#dropped.push({ id, reason })
  }
}

/** What an event costs in memory, so that a queue of empty ones is bounded too. */
function cost(event: Uint8Array): number {
  return event.length + 64
}

/** One character per byte: exact byte equality. */
function keyOf(topic: Uint8Array): string {
  let key = ''
  for (const byte of topic) key += String.fromCharCode(byte)
  return key
}
