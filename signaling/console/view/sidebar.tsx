/** Requests that wait for a decision, peers, and how to get more of them. */
import type { JSX } from 'preact'
import { useState } from 'preact/hooks'
import { type Contact, nameOf, pathWords } from '../model/contact.ts'
import { formatMs, formatTime } from '../model/format.ts'
import type { Joined } from '../model/joined.ts'
import { notify } from '../model/notices.ts'
import { formatView } from '../model/place.ts'
import { wordsOf } from '../model/plain-words.ts'
import { AskForm } from './ask.tsx'
import { Empty, PresenceDot } from './parts.tsx'

export interface SidebarProps {
  readonly joined: Joined
  readonly selected: number | undefined
}

export function Sidebar({ joined, selected }: SidebarProps): JSX.Element {
  const contacts = joined.roster.contacts.value
  const asking = contacts.filter((one) => one.relation === 'asks')
  const trusted = contacts.filter((one) => one.relation === 'trusted')
  const asked = contacts.filter((one) => one.relation === 'asked')
  return (
    <nav class="side" aria-label="Peers">
      {asking.length > 0 && (
        <section class="requests" aria-labelledby="requests-title">
          <h2 id="requests-title">Asking for trust ({asking.length})</h2>
          <ul>
            {asking.map((contact) => (
              <Request key={contact.nodeId} joined={joined} contact={contact} />
            ))}
          </ul>
        </section>
      )}
      <section aria-labelledby="peers-title">
        <h2 id="peers-title">Trusted peers</h2>
        {trusted.length === 0 ? (
          <Empty>Nobody yet. Ask a node for trust below, or show your pairing link.</Empty>
        ) : (
          <ul class="peers">
            {trusted.map((contact) => (
              <PeerRow
                key={contact.nodeId}
                joined={joined}
                contact={contact}
                isSelected={contact.nodeId === selected}
              />
            ))}
          </ul>
        )}
      </section>
      {asked.length > 0 && (
        <section aria-labelledby="asked-title">
          <h2 id="asked-title">Waiting for their answer</h2>
          <ul class="peers">
            {asked.map((contact) => (
              <li key={contact.nodeId}>
                <a
                  href={formatView({ name: 'peer', nodeId: contact.nodeId, tab: 'connection' })}
                  aria-current={contact.nodeId === selected ? 'page' : undefined}
                >
                  <span class="dot unknown" aria-hidden="true" />
                  <span class="who">
                    <strong>{nameOf(contact)}</strong>
                    <span class="soft">asked {formatTime(contact.since)}</span>
                  </span>
                </a>
              </li>
            ))}
          </ul>
        </section>
      )}
      <section aria-labelledby="ask-title">
        <h2 id="ask-title">Find a node</h2>
        <AskForm joined={joined} />
      </section>
    </nav>
  )
}

function PeerRow({
  joined,
  contact,
  isSelected,
}: {
  readonly joined: Joined
  readonly contact: Contact
  readonly isSelected: boolean
}): JSX.Element {
  const { nodeId, presence, rttMs, peer } = contact
  const unread = joined.chat.unread(nodeId)
  return (
    <li>
      <a
        href={formatView({ name: 'peer', nodeId, tab: 'chat' })}
        aria-current={isSelected ? 'page' : undefined}
      >
        <PresenceDot presence={presence} />
        <span class="who">
          <strong>{nameOf(contact)}</strong>
          <span class="soft">
            {presence === 'silent'
              ? 'does not answer'
              : `${pathWords(peer)}${rttMs === undefined ? '' : ` · ${formatMs(rttMs)}`}`}
          </span>
        </span>
        {unread > 0 && (
          <span class="badge">
            {unread}
            <span class="unseen"> new messages</span>
          </span>
        )}
      </a>
    </li>
  )
}

function Request({
  joined,
  contact,
}: {
  readonly joined: Joined
  readonly contact: Contact
}): JSX.Element {
  const [isBusy, setBusy] = useState(false)
  const { nodeId, address, justification } = contact
  const decide = async (decision: Promise<void>): Promise<void> => {
    setBusy(true)
    try {
      await decision
    } catch (error) {
      notify('bad', wordsOf(error))
      setBusy(false)
    }
  }
  const name = nameOf(contact)
  return (
    <li class="request">
      <p>
        <strong>{name}</strong> <code>{address}</code>
      </p>
      {justification === '' ? (
        <p class="soft">It gave no reason.</p>
      ) : (
        <blockquote dir="auto">{justification}</blockquote>
      )}
      <div class="row">
        <button
          type="button"
          class="primary"
          disabled={isBusy}
          aria-label={`Approve ${name}`}
          onClick={() => void decide(joined.approve(nodeId))}
        >
          Approve
        </button>
        <button
          type="button"
          disabled={isBusy}
          aria-label={`Reject ${name}`}
          onClick={() => void decide(joined.reject(nodeId))}
        >
          Reject
        </button>
      </div>
    </li>
  )
}
