/** Recorded conversations of unmodified daemons, and of a probing client, replayed against our registry. */
import { afterAll, expect, it } from 'vitest'
import type { RegistryMessage } from '../../core/wire/registry-message.ts'
import { type BenchConnection, RegistryBench } from '../signaling/registry-bench.ts'
import { Mask } from './masks.ts'
import { withoutAdditions } from './registry-additions.ts'
import { registryLines } from './registry-lines.ts'

interface Deviation {
  readonly why: string
  /** What ours answers instead; members left out are as recorded. */
  readonly ours: RegistryMessage | 'refused'
}

const lines = registryLines('registry-session')
const mask = new Mask('registry of February 2026')

/** By the number of the answer's line in the file, from 0. */
const DEVIATIONS: Readonly<Record<number, Deviation>> = {
  125: { why: 'W21: the score survives deregistration', ours: { polo_score: 1 } },
  153: {
    why: 'W13: a port that is not a number counts as absent',
    ours: { real_addr: '127.0.0.1:51372' },
  },
  161: { why: 'keys are strict base64, no line ends (spec/04 §5)', ours: 'refused' },
  199: { why: '05 §25.3: both texts of a heartbeat count', ours: { type: 'heartbeat_ok' } },
  263: { why: '05 §25.3: line 199 moved it', ours: { real_addr: '127.0.0.1:9999' } },
  275: { why: 'W6: punch does not reveal a private endpoint', ours: 'refused' },
  277: { why: 'W6: nor with the nodes reversed', ours: 'refused' },
  291: { why: 'W8: accepting what nobody asked is refused', ours: 'refused' },
  293: { why: 'W8: so there is no trust and nothing to resolve', ours: 'refused' },
  295: { why: 'W8: and no pair to revoke', ours: 'refused' },
  309: { why: 'W8: the refused accept was not delivered', ours: { responses: [] } },
  327: { why: 'W11: nobody sets scores', ours: 'refused' },
  329: { why: 'W11: the score is still the sum of the updates', ours: { polo_score: 4 } },
  333: { why: 'W11: nobody sets scores', ours: 'refused' },
  335: { why: 'W11: nobody sets scores', ours: 'refused' },
  341: {
    why: 'the key with a line end made no fourth node',
    ours: { networks: [{ id: 0, join_rule: 'open', members: 3, name: 'backbone' }] },
  },
  357: { why: 'W12: a beacon may announce only its own address', ours: 'refused' },
  363: { why: 'W12: it is not listed', ours: { beacons: [] } },
  365: { why: 'W4: the signature must cover the new key', ours: 'refused' },
  367: { why: 'W4: so the old key is still the key', ours: { type: 'heartbeat_ok' } },
  369: { why: 'W4: and the new one is not', ours: 'refused' },
  371: { why: 'W4: a key of another node cannot be rotated to', ours: 'refused' },
  373: {
    why: 'W4: so B is still itself',
    ours: { node_id: 2, address: '0:0000.0000.0002' },
  },
}

it.each(['feb-daemons', 'feb-probe'])('answers session %s as recorded', (session) => {
  const bench = new RegistryBench()
  const connections = new Map<string, BenchConnection>()
  let answers = 0
  lines.forEach((line, number) => {
    if (line.session !== session || line.dir !== 's2c') return
    const before = lines[number - 1]!
    // The one answer without a recorded request is that to the body `null`.
    const request = before.dir === 'c2s' ? before.msg : {}
    let connection = connections.get(line.conn)
    if (connection === undefined) {
      connection = bench.connect('127.0.0.1', 51_372)
      connections.set(line.conn, connection)
    }
    bench.at = line.t_ms
    const reply = withoutAdditions(connection.send(request), line.msg)
    const deviation = DEVIATIONS[number]
    const context = `line ${number} ${before.note ?? ''} ${JSON.stringify(request)}`
    const recorded = line.msg
    if (deviation === undefined) expect(mask.over(reply, recorded), context).toEqual(recorded)
    else {
      const ours =
        deviation.ours === 'refused'
          ? { type: 'error', error: 'a text' }
          : deviation.ours.type === undefined
            ? { ...recorded, ...deviation.ours }
            : { time: 1, ...deviation.ours }
      expect(ours, `${context} is as recorded: no deviation`).not.toEqual(recorded)
      expect(mask.over(reply, ours), `${context} (${deviation.why})`).toEqual(ours)
    }
    answers++
  })
  expect(answers).toBe(session === 'feb-daemons' ? 65 : 134)
})

afterAll(() => mask.expectAllUsed())
