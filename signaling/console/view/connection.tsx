/** How a peer is reached: path, figures, a live chart, a bench, and how the path changed. */
import type { JSX } from 'preact'
import type { Bench } from '../model/bench.ts'
import { type Contact, pathWords } from '../model/contact.ts'
import { displayLine, formatBytes, formatMs, formatTime } from '../model/format.ts'
import type { Joined } from '../model/joined.ts'
import { TrafficChart } from './chart.tsx'
import { EventList } from './events.tsx'
import { StreamList } from './streams.tsx'

export interface ConnectionViewProps {
  readonly joined: Joined
  readonly contact: Contact
}

export function ConnectionView({ joined, contact }: ConnectionViewProps): JSX.Element {
  const { nodeId, peer, rttMs, relation, since } = contact
  const entries = joined.log.entries.value.filter((one) => one.nodeId === nodeId)
  const rows: readonly (readonly [string, string])[] = [
    ['Path', pathWords(peer)],
    ...(peer === undefined || peer.endpoint === '' ? [] : [['Endpoint', peer.endpoint] as const]),
    ['Round trip', rttMs === undefined ? '–' : formatMs(rttMs)],
    ['Tunnel', peer?.encrypted === true ? 'sealed, authenticated' : 'none yet'],
    ['Sent', formatBytes(peer?.bytesSent ?? 0)],
    ['Received', formatBytes(peer?.bytesReceived ?? 0)],
    ['Trusted since', relation === 'trusted' ? formatTime(since) : '–'],
  ]
  const why = peer?.path === 'relay' && peer.directReason !== '' ? peer.directReason : ''
  return (
    <div class="stack">
      <dl class="facts">
        {rows.map(([term, value]) => (
          <div key={term}>
            <dt>{term}</dt>
            <dd>{value}</dd>
          </div>
        ))}
      </dl>
      {why !== '' && <p class="hint">No direct path: {displayLine(why)}</p>}
      <BenchPanel bench={joined.bench(nodeId)} />
      <section aria-labelledby="chart-title">
        <h2 id="chart-title">Last two minutes</h2>
        <TrafficChart
          samples={joined.traffic.peer(nodeId).value}
          label="Bytes per second and round trip of this tunnel in the last two minutes"
          hasRtt
        />
      </section>
      <section aria-labelledby="streams-title">
        <h2 id="streams-title">Open streams</h2>
        <StreamList joined={joined} nodeId={nodeId} />
      </section>
      <section aria-labelledby="peer-events-title">
        <h2 id="peer-events-title">What happened</h2>
        <EventList joined={joined} entries={entries} isOfOnePeer />
      </section>
    </div>
  )
}

function BenchPanel({ bench }: { readonly bench: Bench }): JSX.Element {
  const state = bench.state.value
  return (
    <section class="bench" aria-labelledby="bench-title">
      <h2 id="bench-title">Bench</h2>
      <div class="row">
        {state.name === 'running' ? (
          <button type="button" onClick={() => bench.cancel()}>
            Cancel
          </button>
        ) : (
          <button type="button" class="primary" onClick={() => void bench.run()}>
            Measure
          </button>
        )}
        <div class="result" role="status">
          {state.name === 'idle' && (
            <span class="soft">20 pings, then 8 MiB through its echo on port 7 and back.</span>
          )}
          {state.name === 'running' && (
            <>
              <span>{state.what} …</span>
              <progress value={state.share} max={1} aria-label="Progress of the bench" />
            </>
          )}
          {state.name === 'done' && (
            <>
              <span>Ping: {state.ping}</span>
              <span>Echo: {state.throughput}</span>
            </>
          )}
          {state.name === 'failed' && <span class="problem">{state.reason}</span>}
        </div>
      </div>
    </section>
  )
}
