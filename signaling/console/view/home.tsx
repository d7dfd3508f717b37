/** The node itself: how to be found, what it carries, what happened, how to keep it. */
import type { JSX } from 'preact'
import { useState } from 'preact/hooks'
import { formatBytes } from '../model/format.ts'
import type { Joined } from '../model/joined.ts'
import { notify } from '../model/notices.ts'
import { wordsOf } from '../model/plain-words.ts'
import type { Session } from '../model/session.ts'
import { TrafficChart } from './chart.tsx'
import { EventList } from './events.tsx'
import { ExportIdentity } from './identity.tsx'
import { Share } from './share.tsx'

export interface HomeProps {
  readonly session: Session
  readonly joined: Joined
  readonly ownRendezvous: string | undefined
}

export function Home({ session, joined, ownRendezvous }: HomeProps): JSX.Element {
  const { rendezvous } = session.settings.value
  // Read for the numbers below to be new with every sample.
  const samples = joined.traffic.total.samples.value
  const { bytesSent, bytesReceived, encryptedPeers } = joined.node.info()
  return (
    <div class="page">
      <h1 class="unseen" tabIndex={-1}>
        This node
      </h1>
      <Share joined={joined} ownRendezvous={ownRendezvous} rendezvous={rendezvous} />
      <section class="card" aria-labelledby="traffic-title">
        <h2 id="traffic-title">Traffic</h2>
        <dl class="figures">
          <div>
            <dt>Sent</dt>
            <dd>{formatBytes(bytesSent)}</dd>
          </div>
          <div>
            <dt>Received</dt>
            <dd>{formatBytes(bytesReceived)}</dd>
          </div>
          <div>
            <dt>Sealed tunnels</dt>
            <dd>{encryptedPeers}</dd>
          </div>
        </dl>
        <TrafficChart
          samples={samples}
          label="Bytes per second of all tunnels in the last two minutes"
        />
      </section>
      <section class="card" aria-labelledby="events-title">
        <h2 id="events-title">What happened</h2>
        <EventList joined={joined} entries={joined.log.entries.value} />
      </section>
      <section class="card" aria-labelledby="keep-title">
        <h2 id="keep-title">Keep this address</h2>
        <ExportIdentity address={joined.address} />
        <Visibility session={session} joined={joined} />
        <p class="soft rendezvous">
          Rendezvous: <code>{rendezvous}</code>
        </p>
      </section>
    </div>
  )
}

function Visibility({
  session,
  joined,
}: {
  readonly session: Session
  readonly joined: Joined
}): JSX.Element {
  const [isPublic, setPublic] = useState(joined.node.isPublic)
  const change = async (wanted: boolean): Promise<void> => {
    setPublic(wanted)
    try {
      await joined.node.setVisibility(wanted)
      session.remember({ isPublic: wanted })
      joined.log.add(wanted ? 'public now' : 'private now')
    } catch (error) {
      setPublic(!wanted)
      notify('bad', wordsOf(error))
    }
  }
  return (
    <label class="choice">
      <input
        type="checkbox"
        checked={isPublic}
        onChange={(event) => void change(event.currentTarget.checked)}
      />
      <span>
        Public <span class="soft">– anybody may ping this node and use its echo</span>
      </span>
    </label>
  )
}
