/** Recorded daemons of both generations at registries of v1.9 and February 2026, replayed against ours. */
import { afterAll, expect, it } from 'vitest'
import type { RegistryMessage } from '../../core/wire/registry-message.ts'
import { type BenchConnection, RegistryBench } from '../signaling/registry-bench.ts'
import { Mask } from './masks.ts'
import { withoutAdditions } from './registry-additions.ts'
import { registryLines } from './registry-lines.ts'

const lines = registryLines('registry-session-v19')
const mask = new Mask('registry beside recorded daemons')

/** By the number of the answer's line in the file, from 0. */
const DEVIATIONS: Readonly<Record<number, RegistryMessage>> = {
  // The registry of February 2026 knew no networks; ours does (spec/05 §13).
  9: {
    type: 'get_network_policy_ok',
    network_id: 0,
    allowed_ports: [],
    description: '',
    max_members: 0,
  },
}

it.each([
  { sessions: ['v19-daemon-on-feb-registry'] },
  // Two daemons at one registry.
  { sessions: ['feb-daemon-on-v19-registry', 'v19-daemon-on-v19-registry'] },
])('$sessions', ({ sessions }) => {
  const exchanges = exchangesOf(sessions)
  const bench = new RegistryBench({}, Math.floor(exchanges[0]!.at / 1000))
  const connections = new Map<string, BenchConnection>()
  for (const { at, number, request, answer, conn } of exchanges) {
    bench.at = at - bench.startSeconds * 1000
    const connection = connections.get(conn) ?? bench.connect('127.0.0.1', 51_372)
    connections.set(conn, connection)
    const reply = connection.send(request)
    const context = `line ${number} ${JSON.stringify(request)}`
    const wanted = DEVIATIONS[number] ?? answer
    expect(mask.over(withoutAdditions(reply, wanted), wanted), context).toEqual(wanted)
  }
})
afterAll(() => mask.expectAllUsed())

interface Exchange {
  readonly at: number
  readonly number: number
  readonly conn: string
  readonly request: RegistryMessage
  readonly answer: RegistryMessage
}

/** Those of several sessions in the order of the clock, which heartbeats tell; `at` in Unix milliseconds. */
function exchangesOf(sessions: readonly string[]): Exchange[] {
  return sessions
    .flatMap((session) => {
      const said = lines.find((one) => one.session === session && one.msg.type === 'heartbeat_ok')!
      const began = Number(said.msg.time) * 1000 + 500 - said.t_ms
      return lines.flatMap((line, number): Exchange[] => {
        if (line.session !== session || line.dir !== 's2c') return []
        const { msg: request, t_ms } = lines[number - 1]!
        return [{ at: began + t_ms, number, conn: line.conn, request, answer: line.msg }]
      })
    })
    .sort((a, b) => a.at - b.at)
}
