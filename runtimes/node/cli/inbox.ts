/** Messages in `~/.pilot/inbox/` (spec/07 §6.3), whoever wrote them. */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { CliError, messageOf } from './failure.ts'

export interface InboxMessage {
  /** File name without `.json`. */
  readonly id: string
  /** As stored: `type`, `from`, `data`, `bytes`, `received_at`, later members. */
  readonly content: Readonly<Record<string, unknown>>
  /** Text to show. */
  readonly data: string
  /** Unix ms; 0 when unknown. */
  readonly receivedAt: number
}

/** In order of arrival; files that are no messages are left out. @throws {CliError} `internal`. */
export function inboxMessages(directory: string): InboxMessage[] {
  let names: string[]
  try {
    names = readdirSync(directory)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return []
    throw new CliError('internal', `cannot read ${directory}: ${messageOf(error)}`)
  }
  const messages = names
    .filter((name) => name.endsWith('.json') && !name.startsWith('.'))
    .flatMap((name) => {
      const message = read(directory, name)
      return message === undefined ? [] : [message]
    })
  // The stamp in the name has milliseconds, `received_at` only seconds.
  const key = (one: InboxMessage): string => one.id.replace(/^[A-Z]+-/, '')
  return messages.sort((a, b) =>
    a.receivedAt !== b.receivedAt ? a.receivedAt - b.receivedAt : key(a) < key(b) ? -1 : 1,
  )
}

function read(directory: string, name: string): InboxMessage | undefined {
  try {
    const content: unknown = JSON.parse(readFileSync(join(directory, name), 'utf8'))
    if (typeof content !== 'object' || content === null) return undefined
    const members = content as Record<string, unknown>
    const at = Date.parse(`${members.received_at}`)
    const data =
      typeof members.data === 'string'
        ? members.data
        : typeof members.data_b64 === 'string'
          ? members.data_b64
          : ''
    return {
      id: name.slice(0, -'.json'.length),
      content: members,
      data,
      receivedAt: Number.isNaN(at) ? 0 : at,
    }
  } catch {
    return undefined // half-written by another program, or none of ours
  }
}
