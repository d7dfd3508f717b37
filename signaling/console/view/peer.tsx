/** One peer: who it is, how it is reached, and what can be done with it. */
import type { JSX } from 'preact'
import { type Contact, nameOf, pathWords } from '../model/contact.ts'
import { formatMs } from '../model/format.ts'
import type { Joined } from '../model/joined.ts'
import { notify } from '../model/notices.ts'
import { formatView, TABS, type Tab } from '../model/place.ts'
import { wordsOf } from '../model/plain-words.ts'
import { ChatView } from './chat.tsx'
import { ConnectionView } from './connection.tsx'
import { FilesView } from './files.tsx'
import { go } from './location.ts'
import { ConfirmButton, CopyButton, PresenceDot } from './parts.tsx'
import { TerminalView } from './terminal.tsx'

export interface PeerViewProps {
  readonly joined: Joined
  readonly nodeId: number
  readonly tab: Tab
}

const TAB_NAMES = {
  chat: 'Chat',
  files: 'Files',
  terminal: 'Terminal',
  connection: 'Connection',
} as const

export function PeerView({ joined, nodeId, tab }: PeerViewProps): JSX.Element {
  void joined.roster.contacts.value // shown anew with every refresh
  const contact = joined.roster.get(nodeId)
  return (
    <div class="page peer">
      <PeerHead joined={joined} contact={contact} />
      {contact.relation !== 'trusted' && <Stranger joined={joined} contact={contact} />}
      <Tabs nodeId={nodeId} tab={tab} />
      <div class="panel" role="tabpanel" id={`panel-${tab}`} aria-labelledby={`tab-${tab}`}>
        {tab === 'chat' && <ChatView joined={joined} contact={contact} />}
        {tab === 'files' && <FilesView joined={joined} contact={contact} />}
        {tab === 'terminal' && (
          <TerminalView terminal={joined.terminal(nodeId)} name={nameOf(contact)} />
        )}
        {tab === 'connection' && <ConnectionView joined={joined} contact={contact} />}
      </div>
    </div>
  )
}

function PeerHead({
  joined,
  contact,
}: {
  readonly joined: Joined
  readonly contact: Contact
}): JSX.Element {
  const { address, presence, peer, rttMs, relation, nodeId } = contact
  const name = nameOf(contact)
  const revoke = async (): Promise<void> => {
    try {
      await joined.revoke(nodeId)
      notify('good', `${name} is trusted no more, and has been told.`)
    } catch (error) {
      notify('bad', wordsOf(error))
    }
  }
  return (
    <header class="peer-head">
      <a href="#home" class="back" aria-label="Back to the list">
        ←
      </a>
      <div class="names">
        <h1 tabIndex={-1}>
          <PresenceDot presence={presence} /> {name}
        </h1>
        <p>
          <code>{address}</code> <CopyButton text={address} label={`address of ${name}`} />
        </p>
      </div>
      <p class={`path ${peer?.path ?? 'none'}`} data-path={peer?.path ?? 'none'}>
        <span>{pathWords(peer)}</span>
        <span class="rtt">{rttMs === undefined ? '' : formatMs(rttMs)}</span>
      </p>
      {relation === 'trusted' && (
        <ConfirmButton
          title="End the trust?"
          text={`${name} is told, and cannot reach this node any more unless it is public. You can ask for trust again later.`}
          action="End it"
          onConfirm={() => void revoke()}
        >
          Revoke
        </ConfirmButton>
      )}
    </header>
  )
}

function Stranger({
  joined,
  contact,
}: {
  readonly joined: Joined
  readonly contact: Contact
}): JSX.Element {
  const { relation, nodeId } = contact
  const ask = async (): Promise<void> => {
    try {
      notify('good', await joined.ask(nodeId, ''))
    } catch (error) {
      notify('bad', wordsOf(error))
    }
  }
  const words = {
    asks: 'It asks for trust: decide in the list of requests.',
    asked: 'You asked it for trust. Until it approves, only a public node answers.',
    stranger: 'You do not trust each other. Only a public node answers.',
    trusted: '',
  }
  return (
    <p class="stranger" role="note">
      {words[relation]}{' '}
      {relation === 'stranger' && (
        <button type="button" onClick={() => void ask()}>
          Ask for trust
        </button>
      )}
      {relation === 'asks' && (
        <button
          type="button"
          class="primary"
          onClick={() =>
            void joined.approve(nodeId).catch((error) => notify('bad', wordsOf(error)))
          }
        >
          Approve
        </button>
      )}
    </p>
  )
}

/** Arrow keys move, as tabs do (WAI-ARIA APG). */
function Tabs({ nodeId, tab }: { readonly nodeId: number; readonly tab: Tab }): JSX.Element {
  const select = (next: Tab): void => {
    go(formatView({ name: 'peer', nodeId, tab: next }))
    document.getElementById(`tab-${next}`)?.focus()
  }
  const onKeyDown = (event: KeyboardEvent): void => {
    const at = TABS.indexOf(tab)
    const to = {
      ArrowRight: (at + 1) % TABS.length,
      ArrowLeft: (at + TABS.length - 1) % TABS.length,
      Home: 0,
      End: TABS.length - 1,
    }[event.key]
    const next = to === undefined ? undefined : TABS[to]
    if (next === undefined) return
    event.preventDefault()
    select(next)
  }
  return (
    <div class="tabs" role="tablist" aria-label="What to do with this peer">
      {TABS.map((one) => (
        <button
          key={one}
          type="button"
          role="tab"
          id={`tab-${one}`}
          aria-selected={one === tab}
          aria-controls={`panel-${one}`}
          tabIndex={one === tab ? 0 : -1}
          onClick={() => select(one)}
          onKeyDown={onKeyDown}
        >
          {TAB_NAMES[one]}
        </button>
      ))}
    </div>
  )
}
