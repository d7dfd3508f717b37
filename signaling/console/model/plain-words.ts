/** What went wrong, in words for somebody who does not know the codes, and what can be done. */
import { PilotError } from '../../../core/errors.ts'

export interface Problem {
  readonly text: string
  /** Which field of the join form it is about. */
  readonly field?: 'hostname' | 'rendezvous' | undefined
  /** It may pass by itself. */
  readonly isPassing?: boolean
}

const TAKEN = /hostname "([^"]*)" already in use/

/** About joining. `rendezvous` is shown to the user. */
export function joinProblem(error: unknown, rendezvous: string): Problem {
  const message = messageOf(error)
  const taken = TAKEN.exec(message)
  if (taken !== null)
    return {
      field: 'hostname',
      text: `The hostname “${taken[1]}” is taken by another node. Choose another one.`,
    }
  if (/invalid hostname|reserved/.test(message))
    return { field: 'hostname', text: `The rendezvous does not accept this hostname: ${message}` }
  switch (codeOf(error)) {
    case 'ERR_REGISTRY_UNAVAILABLE':
    case 'ERR_RELAY_UNAVAILABLE':
      return {
        field: 'rendezvous',
        isPassing: true,
        text: `The rendezvous at ${rendezvous} cannot be reached. Is the address right, and is it running?`,
      }
    case 'ERR_INVALID_ARGUMENT':
      return {
        field: 'rendezvous',
        text: `“${rendezvous}” is not the address of a rendezvous. It looks like wss://host or ws://host:port.`,
      }
    case 'ERR_OPTIONS_DIFFER':
      return {
        field: 'rendezvous',
        text: 'Another tab of this browser runs this node at another rendezvous. Join that one, or leave there first.',
      }
    case 'ERR_CONTEXT_INSECURE':
      return { text: 'Browsers let a page keep keys only over https or on localhost.' }
    case 'ERR_WORKER_UNAVAILABLE':
      return { text: 'The part of this page that runs the node did not load. Load the page again.' }
    case 'ERR_IDENTITY_INVALID':
    case 'ERR_STORE_CORRUPT':
      return {
        text: 'The identity in this browser cannot be used. Take over a saved one below, or clear this site’s data for a new one.',
      }
    case 'ERR_STORE_IO':
      return {
        text: 'This browser does not let the page store anything (a private window?), so a node cannot keep its identity.',
      }
    default:
      return { text: wordsOf(error) }
  }
}

/** What the browser would refuse without a word: a page that came by https opens no plain WebSocket. */
export function mixedContentProblem(page: string, rendezvous: string): Problem | undefined {
  if (!page.startsWith('https:') || !/^(ws|http):/i.test(rendezvous)) return undefined
  return {
    field: 'rendezvous',
    text: 'A page that came over https reaches a rendezvous over wss:// only. Put the rendezvous behind a certificate, or open the console that it serves itself.',
  }
}

/** About anything else. */
export function wordsOf(error: unknown): string {
  switch (codeOf(error)) {
    case 'ERR_HOSTNAME_NOT_FOUND':
      return 'No node of this name is registered here. Check the spelling; names are per rendezvous.'
    case 'ERR_ADDRESS_SYNTAX':
      return 'This is not an address. One looks like 0:0000.0001.2345; a hostname or node number does too.'
    case 'ERR_CONNECTION_REFUSED':
      return 'The peer is there, but nothing listens on that port.'
    case 'ERR_DIAL_TIMEOUT':
    case 'ERR_TIMEOUT':
      return 'No answer in time. The peer may be offline, or does not trust this node.'
    case 'ERR_PEER_UNRESOLVED':
      return 'The peer is private: it can be reached once both sides trust each other.'
    case 'ERR_PEER_KEY_MISMATCH':
      return 'The peer showed another key than the one known for it. Nothing was sent. It may be somebody else.'
    case 'ERR_DIAL_SELF':
      return 'That is this node itself.'
    case 'ERR_NOT_PENDING':
      return 'The request is no longer there: it was answered already, or taken back.'
    case 'ERR_NOT_TRUSTED':
      return 'This needs mutual trust first.'
    case 'ERR_CONNECTION_RESET':
      return 'The peer ended the connection.'
    case 'ERR_CONNECTION_CLOSED':
      return 'The connection was closed.'
    case 'ERR_CONNECTION_TRUNCATED':
      return 'The peer went away before everything had arrived.'
    case 'ERR_REGISTRY_UNAVAILABLE':
      return 'The rendezvous does not answer just now.'
    case 'ERR_NODE_CLOSED':
      return 'This node has left the overlay.'
    case 'ERR_ENGINE_LOST':
      return 'The tab that ran this node was closed. What was under way is lost.'
    case 'ERR_IDENTITY_NOT_EXPORTABLE':
      return 'This identity was made without a recovery passphrase: the browser holds its key and gives it to nobody.'
    case 'ERR_ABORTED':
      return 'Cancelled.'
    default:
      return messageOf(error)
  }
}

export function codeOf(error: unknown): string | undefined {
  return error instanceof PilotError ? error.code : undefined
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
