/** Conversations: what is typed goes to the peer's port 1001, as `pilotctl send-message` sends it, and what comes there. */
import { type Signal, signal } from '@preact/signals'
import { utf8 } from '../../../core/bytes.ts'
import { DATA_FRAME, encodeDataFrame, parseAnswer } from '../../../core/service/data-exchange.ts'
import type { PilotNode } from '../../../runtimes/browser/index.ts'
import {
  type ChatMessage,
  MESSAGES_MAX,
  parseMessages,
  TYPED_BYTES_MAX,
  textOfPayload,
  withMessage,
} from './chat-message.ts'
import type { Database } from './database.ts'
import { ExchangeClient } from './exchange-client.ts'
import { codeOf, wordsOf } from './plain-words.ts'
import type { Tabs } from './tabs.ts'

/** No acknowledgement for so long: the message may or may not have arrived. */
const ACK_MS = 30_000
const DIALS_MAX = 3
/** Messages that wait for one peer. */
const QUEUE_MAX = 100

interface Thread {
  readonly messages: Signal<readonly ChatMessage[]>
  readonly unread: Signal<number>
  readonly queue: ChatMessage[]
  isSending: boolean
  /** What is read from and written to the database, one after the other. Never rejects. */
  saved: Promise<void>
}

export class Chat {
  /** Told of each message that came. */
  onmessage: ((nodeId: number, message: ChatMessage) => void) | undefined
  readonly #node: PilotNode
  readonly #database: Database
  /** Leads the keys: conversations belong to one identity at one rendezvous. */
  readonly #prefix: string
  readonly #tabs: Tabs
  readonly #threads = new Map<number, Thread>()
  readonly #stop = new AbortController()
  #lastAt = 0

  constructor(node: PilotNode, database: Database, tabs: Tabs, prefix: string) {
    this.#node = node
    this.#database = database
    this.#tabs = tabs
    this.#prefix = prefix
    tabs.onchange(({ store, key }) => {
      if (store !== 'chat' || !key.startsWith(prefix)) return
      const slash = key.indexOf('/', prefix.length)
      const nodeId = Number(key.slice(prefix.length, slash))
      if (slash > 0 && Number.isInteger(nodeId)) this.#catchUp(nodeId, key)
    })
  }

  messages(nodeId: number): readonly ChatMessage[] {
    return this.#thread(nodeId).messages.value
  }

  unread(nodeId: number): number {
    return this.#thread(nodeId).unread.value
  }

  markRead(nodeId: number): void {
    this.#thread(nodeId).unread.value = 0
  }

  /** Queues a message. Returns why not, when it cannot be taken. */
  send(nodeId: number, text: string): string | undefined {
    const thread = this.#thread(nodeId)
    const bytes = utf8(text).length
    if (bytes === 0) return 'There is nothing to send.'
    if (bytes > TYPED_BYTES_MAX)
      return `A message takes 64 KiB, this one has ${bytes} bytes. Send it as a file.`
    if (thread.queue.length >= QUEUE_MAX) return `${QUEUE_MAX} messages wait for this peer already.`
    const message: ChatMessage = {
      id: crypto.randomUUID(),
      direction: 'out',
      type: 'TEXT',
      text,
      bytes,
      at: this.#now(),
      state: 'queued',
      tab: this.#tabs.id,
    }
    this.#enqueue(nodeId, thread, message)
    return undefined
  }

  /** Queues a message that failed once more. */
  retry(nodeId: number, message: ChatMessage): void {
    const thread = this.#thread(nodeId)
    if (message.state !== 'failed' || thread.queue.length >= QUEUE_MAX) return
    this.#enqueue(nodeId, thread, {
      ...message,
      state: 'queued',
      tab: this.#tabs.id,
      reason: undefined,
    })
  }

  /** A frame arrived; settles when it is stored. @throws when it cannot be: the sender is told. */
  async receive(nodeId: number, type: string, payload: Uint8Array): Promise<void> {
    const message: ChatMessage = {
      id: crypto.randomUUID(),
      direction: 'in',
      type,
      text: textOfPayload(payload),
      bytes: payload.length,
      at: this.#now(),
      state: 'received',
    }
    const thread = this.#thread(nodeId)
    const stored = this.#put(nodeId, thread, message)
    thread.unread.value++
    this.onmessage?.(nodeId, message)
    await stored
  }

  async clear(nodeId: number): Promise<void> {
    const thread = this.#thread(nodeId)
    thread.messages.value = []
    thread.unread.value = 0
    const prefix = this.#prefixOf(nodeId)
    await this.#database.clear('chat', prefix).catch(() => {})
    this.#tabs.changed('chat', prefix)
  }

  close(): void {
    this.#stop.abort()
  }

  #enqueue(nodeId: number, thread: Thread, message: ChatMessage): void {
    void this.#put(nodeId, thread, message)
    thread.queue.push(message)
    if (!thread.isSending) void this.#sendAll(nodeId, thread)
  }

  /** One connection for what waits, each message after the answer to the one before. */
  async #sendAll(nodeId: number, thread: Thread): Promise<void> {
    thread.isSending = true
    let client: ExchangeClient | undefined
    for (let message = thread.queue[0]; message !== undefined; message = thread.queue[0]) {
      try {
        client ??= await this.#dial(nodeId)
        await this.#exchange(nodeId, thread, client, message)
      } catch (error) {
        client?.reset()
        client = undefined
        void this.#put(nodeId, thread, { ...message, state: 'failed', reason: wordsOf(error) })
      }
      thread.queue.shift()
    }
    client?.close()
    thread.isSending = false
  }

  /** Again when the tab that ran the node went meanwhile: nothing was sent yet, and another takes over. */
  async #dial(nodeId: number): Promise<ExchangeClient> {
    for (let attempt = 1; ; attempt++)
      try {
        return await ExchangeClient.dial(this.#node, nodeId, this.#stop.signal)
      } catch (error) {
        if (codeOf(error) !== 'ERR_ENGINE_LOST' || attempt === DIALS_MAX) throw error
      }
  }

  async #exchange(
    nodeId: number,
    thread: Thread,
    client: ExchangeClient,
    message: ChatMessage,
  ): Promise<void> {
    let isLate = false
    const timer = setTimeout(() => {
      isLate = true
      client.reset()
    }, ACK_MS)
    try {
      await client.write(encodeDataFrame(DATA_FRAME.text, utf8(message.text)))
      void this.#put(nodeId, thread, { ...message, state: 'sent' })
      const answer = parseAnswer((await client.nextFrame()).payload)
      if (answer.kind === 'ack')
        void this.#put(nodeId, thread, { ...message, state: 'acknowledged' })
      else
        throw new Error(
          `The peer did not take it: ${answer.kind === 'error' ? answer.message : answer.text}`,
        )
    } catch (error) {
      if (!isLate) throw error
      throw new Error('No acknowledgement in 30 s: it may or may not have arrived.')
    } finally {
      clearTimeout(timer)
    }
  }

  #thread(nodeId: number): Thread {
    let thread = this.#threads.get(nodeId)
    if (thread === undefined) {
      thread = {
        messages: signal([]),
        unread: signal(0),
        queue: [],
        isSending: false,
        saved: Promise.resolve(),
      }
      this.#threads.set(nodeId, thread)
      thread.saved = this.#load(nodeId, thread)
    }
    return thread
  }

  async #load(nodeId: number, thread: Thread): Promise<void> {
    const alive = await this.#tabs.alive().catch(() => new Set<string>())
    const stored = await this.#database.all('chat', this.#prefixOf(nodeId)).catch(() => [])
    const messages = parseMessages(stored, (tab) => tab !== undefined && alive.has(tab))
    // Something may have been typed meanwhile.
    thread.messages.value = [...messages, ...thread.messages.value].slice(-MESSAGES_MAX)
  }

  /** Another tab wrote the message of this key; or forgot the conversation, when it is that of none. */
  #catchUp(nodeId: number, key: string): void {
    const thread = this.#thread(nodeId)
    thread.saved = thread.saved.then(async () => {
      if (key === this.#prefixOf(nodeId)) {
        thread.messages.value = []
        return
      }
      const stored = await this.#database.get('chat', key).catch(() => undefined)
      const [message] = parseMessages([stored], () => true)
      if (message === undefined) return
      const isNew = !thread.messages.value.some(({ id }) => id === message.id)
      thread.messages.value = withMessage(thread.messages.value, message)
      if (!isNew || message.direction === 'out') return
      thread.unread.value++
      this.onmessage?.(nodeId, message)
    })
  }

  /** Shown at once; settles when it is stored. What is typed here need not wait for that. */
  #put(nodeId: number, thread: Thread, message: ChatMessage): Promise<unknown> {
    const before = thread.messages.value
    thread.messages.value = withMessage(before, message)
    const oldest = before[0]
    const isOver = oldest !== undefined && !thread.messages.value.includes(oldest)
    const dropped = isOver && oldest.id !== message.id ? oldest : undefined
    const key = this.#keyOf(nodeId, message)
    const written = thread.saved.then(() => this.#database.put('chat', key, message))
    thread.saved = written
      .then(async () => {
        this.#tabs.changed('chat', key)
        if (dropped !== undefined) await this.#database.delete('chat', this.#keyOf(nodeId, dropped))
      })
      .catch(() => {}) // the caller's affair
    return written
  }

  /** Unix ms, and above what it was before: the records stand in this order. */
  #now(): number {
    this.#lastAt = Math.max(Date.now(), this.#lastAt + 1)
    return this.#lastAt
  }

  #prefixOf(nodeId: number): string {
    return `${this.#prefix}${nodeId}/`
  }

  /** One record each, in the order of time. */
  #keyOf(nodeId: number, { at, id }: ChatMessage): string {
    return `${this.#prefixOf(nodeId)}${String(at).padStart(14, '0')} ${id}`
  }
}
