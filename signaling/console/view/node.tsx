/** A node that is in the overlay: who is around on the left, what was chosen on the right; on a phone one of both. */
import { useSignalEffect } from '@preact/signals'
import type { JSX } from 'preact'
import { useEffect, useRef } from 'preact/hooks'
import type { Joined } from '../model/joined.ts'
import { parsePairTarget, parseView } from '../model/place.ts'
import type { Session } from '../model/session.ts'
import { Home } from './home.tsx'
import { hash } from './location.ts'
import { Pairing } from './pairing.tsx'
import { PeerView } from './peer.tsx'
import { Sidebar } from './sidebar.tsx'

export interface NodeViewProps {
  readonly session: Session
  readonly joined: Joined
  readonly ownRendezvous: string | undefined
}

export function NodeView({ session, joined, ownRendezvous }: NodeViewProps): JSX.Element {
  const view = parseView(hash.value)
  const invitedTo = parsePairTarget(hash.value)
  const selected = view.name === 'peer' ? view.nodeId : undefined
  useEffect(() => {
    joined.roster.selected.value = selected
    joined.roster.refresh()
  }, [joined, selected])
  useEffect(() => {
    // Agreed to once: the same link, opened again, asks back.
    if (invitedTo === undefined) session.pairingConfirmed = undefined
  }, [session, invitedTo])
  useEffect(() => {
    const warn = (event: Event): void => {
      if (joined.transfers.isBusy) event.preventDefault()
    }
    addEventListener('beforeunload', warn)
    return () => removeEventListener('beforeunload', warn)
  }, [joined])
  const isFirst = useRef(true)
  useEffect(() => {
    // As after a page was loaded: who reads by ear begins at its heading.
    if (!isFirst.current) document.querySelector<HTMLElement>('main h1')?.focus()
    isFirst.current = false
  }, [selected])
  useSignalEffect(() => {
    const contacts = joined.roster.contacts.value
    const waiting = contacts.filter((one) => one.relation === 'asks').length
    // Of strangers there is no conversation to look for.
    const unread = contacts
      .filter((one) => one.relation === 'trusted')
      .reduce((sum, { nodeId }) => sum + joined.chat.unread(nodeId), 0)
    const news = waiting + unread
    const name = joined.node.hostname || joined.address
    document.title = `${news > 0 ? `(${news}) ` : ''}${name} · Pilot console`
  })
  return (
    <div class={`node ${view.name === 'peer' ? 'shows-peer' : 'shows-home'}`}>
      <TopBar session={session} joined={joined} />
      <Sidebar joined={joined} selected={selected} />
      <main>
        {view.name === 'peer' ? (
          <PeerView key={view.nodeId} joined={joined} nodeId={view.nodeId} tab={view.tab} />
        ) : (
          <Home session={session} joined={joined} ownRendezvous={ownRendezvous} />
        )}
      </main>
      {invitedTo !== undefined && (
        <Pairing
          key={invitedTo}
          joined={joined}
          target={invitedTo}
          isConfirmed={session.pairingConfirmed === invitedTo}
        />
      )}
    </div>
  )
}

const LINK_WORDS = {
  online: 'Online',
  reconnecting: 'Reconnecting …',
  replaced: 'Taken over',
} as const

function TopBar({
  session,
  joined,
}: {
  readonly session: Session
  readonly joined: Joined
}): JSX.Element {
  const link = joined.link.value
  return (
    <header class="top">
      <a href="#home" class="brand">
        <img src="icon.svg" alt="" width="24" height="24" />
        <span class="wide-only">Pilot</span>
      </a>
      <a href="#home" class="own" title="This node">
        <strong>{joined.node.hostname || joined.address}</strong>
        {joined.node.hostname !== '' && <code class="wide-only">{joined.address}</code>}
      </a>
      <span class={`link-state ${link}`} role="status">
        {LINK_WORDS[link]}
      </span>
      {link === 'replaced' && (
        <span class="soft wide-only">
          This identity joined from elsewhere. Leave and join to take it back.
        </span>
      )}
      <button type="button" class="leave" onClick={() => void session.leave()}>
        Leave
      </button>
    </header>
  )
}
