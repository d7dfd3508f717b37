/** Streams that are open between this node and a peer, whoever opened them. */
import type { JSX } from 'preact'
import { PORT } from '../../../core/constants.ts'
import { formatBytes } from '../model/format.ts'
import type { Joined } from '../model/joined.ts'
import { Empty } from './parts.tsx'

const NAMES: ReadonlyMap<number, string> = new Map([
  [PORT.echo, 'echo'],
  [PORT.trust, 'trust'],
  [PORT.paths, 'paths'],
  [PORT.stdio, 'stdio'],
  [PORT.dataExchange, 'data exchange'],
  [PORT.eventStream, 'events'],
])
/** Rows shown; a table of thousands helps nobody. */
const ROWS_MAX = 50

export interface StreamListProps {
  readonly joined: Joined
  readonly nodeId: number
}

export function StreamList({ joined, nodeId }: StreamListProps): JSX.Element {
  const streams = joined.node
    .connections()
    .filter((one) => one.remoteAddress.node === nodeId && one.state !== 'TIME_WAIT')
  if (streams.length === 0) return <Empty>None. Chat, files and the terminal open one each.</Empty>
  return (
    <div class="scroll">
      <table>
        <thead>
          <tr>
            <th scope="col">Port</th>
            <th scope="col">State</th>
            <th scope="col" class="number">
              Sent
            </th>
            <th scope="col" class="number">
              Received
            </th>
            <th scope="col">
              <span class="unseen">Close</span>
            </th>
          </tr>
        </thead>
        <tbody>
          {streams.slice(0, ROWS_MAX).map((stream) => {
            const { id, localPort, remotePort, state, bytesSent, bytesReceived } = stream
            const name = NAMES.get(remotePort) ?? NAMES.get(localPort) ?? ''
            return (
              <tr key={id}>
                <th scope="row">
                  {localPort} → {remotePort} <span class="soft">{name}</span>
                </th>
                <td>{state.toLowerCase().replaceAll('_', ' ')}</td>
                <td class="number">{formatBytes(bytesSent)}</td>
                <td class="number">{formatBytes(bytesReceived)}</td>
                <td class="number">
                  <button
                    type="button"
                    class="copy"
                    aria-label={`Close the stream from port ${localPort} to ${remotePort}`}
                    onClick={() => joined.node.closeConnection(id)}
                  >
                    Close
                  </button>
                </td>
              </tr>
            )
          })}
        </tbody>
      </table>
      {streams.length > ROWS_MAX && (
        <p class="hint">
          {ROWS_MAX} of {streams.length} are shown.
        </p>
      )}
    </div>
  )
}
