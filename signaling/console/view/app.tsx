/** The whole page: join form or node, notices over either. */
import { useSignalEffect } from '@preact/signals'
import type { JSX } from 'preact'
import type { Session } from '../model/session.ts'
import { JoinView } from './join.tsx'
import { NodeView } from './node.tsx'
import { Notices } from './notices.tsx'

export interface AppProps {
  readonly session: Session
  /** Set when the page came from a rendezvous: then nobody has to name one. */
  readonly ownRendezvous: string | undefined
}

export function App({ session, ownRendezvous }: AppProps): JSX.Element {
  const state = session.state.value
  useSignalEffect(() => {
    if (session.state.value.name !== 'in') document.title = 'Pilot console'
  })
  return (
    <>
      {state.name === 'in' ? (
        <NodeView session={session} joined={state.joined} ownRendezvous={ownRendezvous} />
      ) : (
        <JoinView session={session} ownRendezvous={ownRendezvous} />
      )}
      <Notices />
    </>
  )
}
