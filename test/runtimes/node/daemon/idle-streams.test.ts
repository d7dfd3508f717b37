import { afterEach, expect, it } from 'vitest'
import { IdleStreams } from '../../../../runtimes/node/daemon/idle-streams.ts'
import { createLog } from '../../../../runtimes/node/daemon/log.ts'
import type { ConnectionInfo } from '../../../../runtimes/shared/api.ts'
import { FakeNetwork } from '../fake-node.ts'

const node = new FakeNetwork().add(2)
node.fakeConnections = 1
const [base] = node.connections()
let now = 0
let connections: ConnectionInfo[] = []
const closed: number[] = []
const told: [string, unknown][] = []
let idle: IdleStreams

function start(): void {
  idle = new IdleStreams({
    node: { connections: () => connections },
    idleMs: 1000,
    close: (id) => closed.push(id),
    emit: (name, data) => told.push([name, data]),
    log: createLog(() => {}, 'error', 'text'),
    now: () => now,
  })
}
afterEach(() => idle[Symbol.dispose]())

const stream = (id: number, more: Partial<ConnectionInfo> = {}): ConnectionInfo => ({
  ...base!,
  id,
  localPort: 1002,
  remotePort: 50_000,
  bytesSent: 10,
  ...more,
})

it('ends what carried nothing for the time, in either direction, and says so once', () => {
  start()
  connections = [
    stream(1),
    stream(2),
    stream(3),
    stream(4, { unackedSegments: 1 }),
    stream(5, { state: 'TIME_WAIT' }),
  ]
  idle.sweep()
  now = 900
  connections = [
    connections[0]!,
    stream(2, { bytesReceived: 1 }),
    stream(3, { bytesSent: 11 }),
    ...connections.slice(3),
  ]
  idle.sweep()
  now = 1000
  idle.sweep()
  expect(closed).toEqual([1])
  expect(told).toEqual([
    [
      'conn.idle_timeout',
      { remote_addr: '0:0000.0000.0002', remote_port: 50_000, local_port: 1002, conn_id: 1 },
    ],
  ])
  // Its FIN is on the way; later the others had their time too, but for the one that waits for an ACK.
  connections[0] = stream(1, { state: 'FIN_WAIT' })
  now = 1900
  idle.sweep()
  now = 5000
  idle.sweep()
  expect(closed).toEqual([1, 2, 3])
})
