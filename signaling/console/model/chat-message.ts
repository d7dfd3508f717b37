/** A message of a conversation, and how conversations are kept. */
import { fromUtf8, toHex } from '../../../core/bytes.ts'
import { displayText } from './format.ts'

/**
 * - `queued`: waits here for a connection.
 * - `sent`: on its way, all of it handed to the connection.
 * - `acknowledged`: the other side's data exchange service says that it has it.
 */
export type MessageState = 'queued' | 'sent' | 'acknowledged' | 'failed' | 'received'

export interface ChatMessage {
  /** Unique in its conversation. */
  readonly id: string
  readonly direction: 'out' | 'in'
  /** `TEXT`, `JSON`, `BINARY`: the frame's type on port 1001. */
  readonly type: string
  readonly text: string
  /** Of the payload. */
  readonly bytes: number
  /** Unix ms. */
  readonly at: number
  readonly state: MessageState
  /** The tab that sends it. */
  readonly tab?: string | undefined
  /** Why it failed. */
  readonly reason?: string | undefined
}

/** Messages kept per conversation; the oldest go. */
export const MESSAGES_MAX = 500
/** Characters shown and kept of one message. */
const CHARACTERS_MAX = 16_384
/** Bytes shown of what is not text. */
const HEX_MAX = 256
/** Bytes of a message that is typed here; more is a file. */
export const TYPED_BYTES_MAX = 65_536

/** What is shown of a payload. */
export function textOfPayload(payload: Uint8Array): string {
  const text = fromUtf8(payload)
  if (text !== undefined) return displayText(text, CHARACTERS_MAX)
  const hex = toHex(payload.subarray(0, HEX_MAX)).replace(/(..)(?=.)/g, '$1 ')
  return payload.length > HEX_MAX ? `${hex} … (${payload.length} bytes)` : hex
}

/** With one more, or one changed. */
export function withMessage(
  messages: readonly ChatMessage[],
  message: ChatMessage,
): readonly ChatMessage[] {
  const at = messages.findIndex((one) => one.id === message.id)
  return at < 0 ? [...messages.slice(1 - MESSAGES_MAX), message] : messages.with(at, message)
}

/** What was stored, believed member by member. What was under way in a tab that went did not arrive for sure. */
export function parseMessages(
  stored: unknown,
  isAlive: (tab: string | undefined) => boolean,
): readonly ChatMessage[] {
  if (!Array.isArray(stored)) return []
  return stored
    .slice(-MESSAGES_MAX)
    .filter(isMessage)
    .map((message) =>
      (message.state === 'queued' || message.state === 'sent') && !isAlive(message.tab)
        ? { ...message, state: 'failed', reason: 'the page was closed before it was acknowledged' }
        : message,
    )
}

const STATES: readonly unknown[] = ['queued', 'sent', 'acknowledged', 'failed', 'received']

function isMessage(value: unknown): value is ChatMessage {
  const message = value as Partial<Record<keyof ChatMessage, unknown>> | null
  return (
    typeof message === 'object' &&
    message !== null &&
    typeof message.id === 'string' &&
    (message.direction === 'in' || message.direction === 'out') &&
    typeof message.type === 'string' &&
    typeof message.text === 'string' &&
    typeof message.bytes === 'number' &&
    typeof message.at === 'number' &&
    STATES.includes(message.state)
  )
}
