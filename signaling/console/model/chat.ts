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
import { wordsOf } from './plain-words.ts'

/** No acknowledgement for so long: the message may or may not have arrived. */
const ACK_MS = 30_000
/** Messages that wait for one peer. */
const QUEUE_MAX = 100

interface Thread {
  readonly messages: Signal<readonly ChatMessage[]>
  readonly unread: Signal<number>
  readonly queue: ChatMessage[]
  isSending: boolean
  loaded: Promise<void>
  /** The last write to the database. */
  saved: Promise<void>
}

export class Chat {
  /** Told of each message that came. */
  onmessage: ((nodeId: number, message: ChatMessage) => void) | undefined
  readonly #node: PilotNode
  readonly #database: Database
  /** Leads the keys: conversations belong to one identity at one rendezvous. */
  readonly #prefix: string
  readonly #threads = new Map<number, Thread>()
  readonly #stop = new AbortController()

  constructor(node: PilotNode, database: Database, prefix: string) {
    this.#node = node
    this.#database = database
    this.#prefix = prefix
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
      at: Date.now(),
      state: 'queued',
    }
    this.#enqueue(nodeId, thread, message)
    return undefined
  }

  /** Queues a message that failed once more. */
  retry(nodeId: number, message: ChatMessage): void {
    const thread = this.#thread(nodeId)
    if (message.state !== 'failed' || thread.queue.length >= QUEUE_MAX) return
    this.#enqueue(nodeId, thread, { ...message, state: 'queued', reason: undefined })
  }

  /** A frame arrived; settles when it is stored. @throws when it cannot be: the sender is told. */
  async receive(nodeId: number, type: string, payload: Uint8Array): Promise<void> {
    const message: ChatMessage = {
      id: crypto.randomUUID(),
      direction: 'in',
      type,
      text: textOfPayload(payload),
      bytes: payload.length,
      at: Date.now(),
      state: 'received',
    }
    const thread = this.#thread(nodeId)
    await thread.loaded
    this.#put(nodeId, thread, message)
    thread.unread.value++
    this.onmessage?.(nodeId, message)
    await thread.saved
  }

  async clear(nodeId: number): Promise<void> {
    const thread = this.#thread(nodeId)
    thread.messages.value = []
    thread.unread.value = 0
    await this.#database.delete('chat', `${this.#prefix}${nodeId}`).catch(() => {})
  }

  close(): void {
    this.#stop.abort()
  }

  #enqueue(nodeId: number, thread: Thread, message: ChatMessage): void {
    this.#put(nodeId, thread, message)
    thread.queue.push(message)
    if (!thread.isSending) void this.#sendAll(nodeId, thread)
  }

  /** One connection for what waits, each message after the answer to the one before. */
  async #sendAll(nodeId: number, thread: Thread): Promise<void> {
    thread.isSending = true
    let client: ExchangeClient | undefined
    for (let message = thread.queue[0]; message !== undefined; message = thread.queue[0]) {
      try {
        client ??= await ExchangeClient.dial(this.#node, nodeId, this.#stop.signal)
        await this.#exchange(nodeId, thread, client, message)
      } catch (error) {
        client?.reset()
        client = undefined
        this.#put(nodeId, thread, { ...message, state: 'failed', reason: wordsOf(error) })
      }
      thread.queue.shift()
    }
    client?.close()
    thread.isSending = false
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
      this.#put(nodeId, thread, { ...message, state: 'sent' })
      const answer = parseAnswer((await client.nextFrame()).payload)
      if (answer.kind === 'ack') this.#put(nodeId, thread, { ...message, state: 'acknowledged' })
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
        loaded: Promise.resolve(),
        saved: Promise.resolve(),
      }
      this.#threads.set(nodeId, thread)
      thread.loaded = this.#load(nodeId, thread)
    }
    return thread
  }

  async #load(nodeId: number, thread: Thread): Promise<void> {
    const stored = await this.#database.get('chat', `${this.#prefix}${nodeId}`).catch(() => [])
    // Something may have been typed meanwhile.
    thread.messages.value = [...parseMessages(stored), ...thread.messages.value].slice(
      -MESSAGES_MAX,
    )
  }

  #put(nodeId: number, thread: Thread, message: ChatMessage): void {
    thread.messages.value = withMessage(thread.messages.value, message)
    const key = `${this.#prefix}${nodeId}`
    thread.saved = thread.loaded.then(() => this.#database.put('chat', key, thread.messages.value))
    thread.saved.catch(() => {}) // `receive` looks; for what is typed here the screen has it
  }
}
