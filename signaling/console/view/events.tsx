/** The log of the node, or of one peer. */
import type { JSX } from 'preact'
import type { LogEntry } from '../model/event-log.ts'
import { formatClock } from '../model/format.ts'
import type { Joined } from '../model/joined.ts'
import { Empty } from './parts.tsx'

export interface EventListProps {
  readonly joined: Joined
  readonly entries: readonly LogEntry[]
  /** Leave the name away: all are about one peer. */
  readonly isOfOnePeer?: boolean
}

export function EventList({ joined, entries, isOfOnePeer = false }: EventListProps): JSX.Element {
  if (entries.length === 0) return <Empty>Nothing yet.</Empty>
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reachable by keyboard
    <ol class="events" tabIndex={0} aria-label="Events, newest first">
      {entries.toReversed().map(({ id, at, nodeId, text }) => (
        <li key={id}>
          <time dateTime={new Date(at).toISOString()}>{formatClock(at)}</time>
          <span dir="auto">
            {nodeId !== undefined && !isOfOnePeer && (
              <strong>{joined.roster.name(nodeId)}: </strong>
            )}
            {text}
          </span>
        </li>
      ))}
    </ol>
  )
}
