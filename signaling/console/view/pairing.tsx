/** Somebody followed a pairing link: says who it leads to, and asks for trust after one click. */
import type { JSX } from 'preact'
import { useEffect, useState } from 'preact/hooks'
import { addressOf } from '../model/contact.ts'
import { displayLine } from '../model/format.ts'
import type { Joined } from '../model/joined.ts'
import { notify } from '../model/notices.ts'
import { formatView } from '../model/place.ts'
import { wordsOf } from '../model/plain-words.ts'
import { forgetHash, go } from './location.ts'
import { Dialog } from './parts.tsx'

type Found =
  | { readonly name: 'looking' }
  | { readonly name: 'found'; readonly nodeId: number; readonly hostname: string }
  | { readonly name: 'failed'; readonly reason: string }

export interface PairingProps {
  readonly joined: Joined
  /** Address or hostname out of the link. */
  readonly target: string
  /** The user agreed when joining: no need to ask again. */
  readonly isConfirmed: boolean
}

export function Pairing({ joined, target, isConfirmed }: PairingProps): JSX.Element {
  const [found, setFound] = useState<Found>({ name: 'looking' })
  const [isBusy, setBusy] = useState(false)
  useEffect(() => {
    void lookUp(joined, target).then((result) => {
      setFound(result)
      if (isConfirmed && result.name === 'found') void ask(result.nodeId)
    })
  }, [joined, target])
  const ask = async (nodeId: number): Promise<void> => {
    setBusy(true)
    try {
      const own = joined.node.hostname
      const words = await joined.ask(nodeId, `paired by link${own === '' ? '' : ` from ${own}`}`)
      notify('good', words)
      go(formatView({ name: 'peer', nodeId, tab: 'chat' }))
    } catch (error) {
      setFound({ name: 'failed', reason: wordsOf(error) })
      setBusy(false)
    }
  }
  return (
    <Dialog title="Pair with this node?" onClose={forgetHash}>
      {found.name === 'looking' && <p role="status">Looking for {displayLine(target)} …</p>}
      {found.name === 'failed' && (
        <p class="problem" role="alert">
          {displayLine(target)}: {found.reason}
        </p>
      )}
      {found.name === 'found' && (
        <>
          <p class="pair-who">
            <strong dir="auto">{displayLine(found.hostname, 63) || `node ${found.nodeId}`}</strong>
            <code>{addressOf(found.nodeId)}</code>
          </p>
          <p>
            It is asked for trust in your name, and has to approve. Then you can talk to each other.
          </p>
        </>
      )}
      <div class="row end">
        <button type="button" onClick={forgetHash}>
          {found.name === 'failed' ? 'Close' : 'Not now'}
        </button>
        {found.name === 'found' && (
          <button
            type="button"
            class="primary"
            disabled={isBusy}
            onClick={() => void ask(found.nodeId)}
          >
            Ask for trust
          </button>
        )}
      </div>
    </Dialog>
  )
}

async function lookUp(joined: Joined, target: string): Promise<Found> {
  try {
    const nodeId = await joined.find(target)
    if (nodeId === joined.node.nodeId)
      return { name: 'failed', reason: 'this is your own link. Open it in another browser.' }
    const { hostname } = await joined.node.registry.lookup(nodeId)
    const known = typeof hostname === 'string' ? hostname : ''
    joined.roster.learn(nodeId, known)
    return { name: 'found', nodeId, hostname: known }
  } catch (error) {
    const isUnknown = /not found/.test(error instanceof Error ? error.message : '')
    return {
      name: 'failed',
      reason: isUnknown ? 'no such node is registered at this rendezvous.' : wordsOf(error),
    }
  }
}
