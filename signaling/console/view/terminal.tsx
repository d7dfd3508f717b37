/** A stream to a port, as lines. */
import type { JSX } from 'preact'
import { useLayoutEffect, useRef, useState } from 'preact/hooks'
import type { Terminal, TerminalState } from '../model/terminal.ts'
import { Empty, FieldProblem } from './parts.tsx'

const STATE_WORDS: Readonly<Record<TerminalState, string>> = {
  idle: 'Not connected',
  connecting: 'Connecting …',
  open: 'Connected',
  'half-closed': 'Our side is closed',
  ended: 'The peer has closed its side',
}
const ARROWS = { in: '‹', out: '›', note: '·' } as const
const SAID = { in: 'They', out: 'You', note: 'Note' } as const
const FOLLOW_PX = 60

export function TerminalView({
  terminal,
  name,
}: {
  readonly terminal: Terminal
  readonly name: string
}): JSX.Element {
  const state = terminal.state.value
  const lines = terminal.lines.value
  const [port, setPort] = useState(String(terminal.port.value))
  const [line, setLine] = useState('')
  const [problem, setProblem] = useState<string | undefined>()
  const screen = useRef<HTMLOListElement>(null)
  const follows = useRef(true)
  useLayoutEffect(() => {
    const element = screen.current
    if (element !== null && follows.current) element.scrollTop = element.scrollHeight
  }, [lines])

  const connect = (event: Event): void => {
    event.preventDefault()
    const number = Number(port)
    if (!/^\d+$/.test(port) || number < 1 || number > 65_535) {
      setProblem('A port is a number from 1 to 65535.')
      return
    }
    setProblem(undefined)
    void terminal.connect(number)
  }
  const send = (event: Event): void => {
    event.preventDefault()
    const refusal = terminal.send(line)
    setProblem(refusal)
    if (refusal === undefined) setLine('')
  }
  const canWrite = state === 'open' || state === 'ended'
  return (
    <div class="terminal">
      <form class="row" onSubmit={connect} noValidate>
        <label for="terminal-port">Port</label>
        <input
          id="terminal-port"
          class="short"
          inputMode="numeric"
          value={port}
          disabled={state !== 'idle'}
          aria-describedby="terminal-problem"
          onInput={(event) => setPort(event.currentTarget.value.trim())}
        />
        {/* Keyed: a click must not end up as the submit of what the button turns into. */}
        {state === 'idle' ? (
          <button key="connect" type="submit" class="primary">
            Connect
          </button>
        ) : (
          <button key="drop" type="button" onClick={() => terminal.drop()}>
            {state === 'connecting' ? 'Cancel' : 'Drop'}
          </button>
        )}
        {canWrite && (
          <button type="button" onClick={() => terminal.closeOurSide()}>
            Close our side
          </button>
        )}
        <label class="choice inline">
          <input
            type="checkbox"
            checked={terminal.rendering.value === 'hex'}
            onChange={(event) => {
              terminal.rendering.value = event.currentTarget.checked ? 'hex' : 'auto'
            }}
          />
          <span>Hex</span>
        </label>
        <span class="soft" role="status">
          {STATE_WORDS[state]}
        </span>
      </form>
      {lines.length === 0 ? (
        <Empty>
          A plain stream, sealed on the way. Port 7 of most nodes is an echo: connect, type, and see
          it come back.
        </Empty>
      ) : (
        <ol
          ref={screen}
          class="screen"
          role="log"
          aria-label={`Stream with ${name}`}
          // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reachable by keyboard
          tabIndex={0}
          onScroll={() => {
            const element = screen.current
            if (element !== null)
              follows.current =
                element.scrollHeight - element.scrollTop - element.clientHeight < FOLLOW_PX
          }}
        >
          {lines.map(({ id, direction, kind, text }) => (
            <li key={id} class={`${direction} ${kind}`}>
              <span class="arrow" aria-hidden="true">
                {ARROWS[direction]}
              </span>
              <span class="unseen">{SAID[direction]}: </span>
              <span class="content">{text}</span>
            </li>
          ))}
        </ol>
      )}
      <form class="row" onSubmit={send}>
        <label class="unseen" for="terminal-line">
          Line to send
        </label>
        <input
          id="terminal-line"
          class="grow mono"
          value={line}
          disabled={!canWrite}
          placeholder={canWrite ? 'Type a line' : 'Connect first'}
          autocomplete="off"
          spellcheck={false}
          onInput={(event) => setLine(event.currentTarget.value)}
        />
        <button type="submit" disabled={!canWrite}>
          Send
        </button>
        <button type="button" disabled={lines.length === 0} onClick={() => terminal.clear()}>
          Clear
        </button>
      </form>
      <FieldProblem id="terminal-problem" text={problem} />
    </div>
  )
}
