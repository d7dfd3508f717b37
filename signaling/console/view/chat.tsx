/** The conversation with a peer. */
import { Component, type JSX } from 'preact'
import { useEffect, useLayoutEffect, useRef, useState } from 'preact/hooks'
import type { ChatMessage } from '../model/chat-message.ts'
import { type Contact, nameOf } from '../model/contact.ts'
import { formatBytes, formatTime } from '../model/format.ts'
import type { Joined } from '../model/joined.ts'
import { ConfirmButton, Empty, FieldProblem } from './parts.tsx'

/** So close to the end, the view follows what comes. */
const FOLLOW_PX = 80

export interface ChatViewProps {
  readonly joined: Joined
  readonly contact: Contact
}

export function ChatView({ joined, contact }: ChatViewProps): JSX.Element {
  const { nodeId } = contact
  const name = nameOf(contact)
  const messages = joined.chat.messages(nodeId)
  const unread = joined.chat.unread(nodeId)
  const list = useRef<HTMLOListElement>(null)
  const follows = useRef(true)
  useEffect(() => {
    const read = (): void => {
      if (document.visibilityState === 'visible') joined.chat.markRead(nodeId)
    }
    read()
    document.addEventListener('visibilitychange', read)
    return () => document.removeEventListener('visibilitychange', read)
  }, [joined, nodeId, unread])
  useLayoutEffect(() => {
    const element = list.current
    if (element !== null && follows.current) element.scrollTop = element.scrollHeight
  }, [messages])
  const scrolled = (): void => {
    const element = list.current
    if (element === null) return
    follows.current = element.scrollHeight - element.scrollTop - element.clientHeight < FOLLOW_PX
  }
  return (
    <div class="chat">
      {messages.length === 0 ? (
        <Empty>
          No messages yet. What you write arrives in {name}’s inbox: its <code>pilotctl inbox</code>
          , or its chat when it is a tab like this one.
        </Empty>
      ) : (
        <ol
          ref={list}
          class="messages"
          role="log"
          aria-label={`Conversation with ${name}`}
          // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reachable by keyboard
          tabIndex={0}
          onScroll={scrolled}
        >
          {messages.map((message) => (
            <MessageRow
              key={message.id}
              message={message}
              retry={() => joined.chat.retry(nodeId, message)}
            />
          ))}
        </ol>
      )}
      <Composer
        name={name}
        send={(text) => {
          follows.current = true
          return joined.chat.send(nodeId, text)
        }}
      />
      {messages.length > 0 && (
        <ConfirmButton
          title="Forget this conversation?"
          text="It is removed from this browser; the other side keeps its copy."
          action="Forget it"
          onConfirm={() => void joined.chat.clear(nodeId)}
        >
          Forget conversation
        </ConfirmButton>
      )}
    </div>
  )
}

const STATE_WORDS = {
  queued: 'queued',
  sent: 'sent',
  acknowledged: 'acknowledged',
  failed: 'not acknowledged',
  received: '',
} as const

interface MessageRowProps {
  readonly message: ChatMessage
  readonly retry: () => void
}

/** Messages are replaced, not changed: a row is drawn again only for another one. */
class MessageRow extends Component<MessageRowProps> {
  override shouldComponentUpdate({ message }: MessageRowProps): boolean {
    return message !== this.props.message
  }

  override render({ message, retry }: MessageRowProps): JSX.Element {
    const { direction, type, text, bytes, at, state, reason } = message
    return (
      <li class={`message ${direction}`} data-state={state}>
        <span class="unseen">{direction === 'out' ? 'You' : 'They'}: </span>
        <p class={type === 'BINARY' ? 'text binary' : 'text'} dir="auto">
          {text}
        </p>
        <p class="meta">
          {type !== 'TEXT' && `${type.toLowerCase()}, ${formatBytes(bytes)} · `}
          <time dateTime={new Date(at).toISOString()}>{formatTime(at)}</time>
          {direction === 'out' && <span class="state"> · {STATE_WORDS[state]}</span>}
        </p>
        {state === 'failed' && (
          <p class="problem">
            {reason}{' '}
            <button type="button" class="plain" onClick={retry}>
              Send again
            </button>
          </p>
        )}
      </li>
    )
  }
}

function Composer({
  name,
  send,
}: {
  readonly name: string
  readonly send: (text: string) => string | undefined
}): JSX.Element {
  const [text, setText] = useState('')
  const [problem, setProblem] = useState<string | undefined>()
  const submit = (event: Event): void => {
    event.preventDefault()
    if (text.trim() === '') return
    const refusal = send(text)
    setProblem(refusal)
    if (refusal === undefined) setText('')
  }
  return (
    <form class="composer" onSubmit={submit}>
      <label class="unseen" for="composer">
        Message to {name}
      </label>
      <textarea
        id="composer"
        rows={2}
        value={text}
        placeholder={`Message to ${name}`}
        aria-describedby="composer-hint composer-problem"
        onInput={(event) => setText(event.currentTarget.value)}
        onKeyDown={(event) => {
          if (event.key === 'Enter' && !event.shiftKey && !event.isComposing) submit(event)
        }}
      />
      <button type="submit" class="primary">
        Send
      </button>
      <p id="composer-hint" class="hint">
        Enter sends, Shift+Enter starts a new line.
      </p>
      <FieldProblem id="composer-problem" text={problem} />
    </form>
  )
}
