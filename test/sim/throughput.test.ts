/**
 * What streams reach over links of every kind, and how they share them: a change of congestion control shows here, in
 * review. Each cell: Mbit/s of payload, slow start included, and the share of segments sent again.
 */
import { describe, expect, it } from 'vitest'
import { CONGESTION_NAMES, type CongestionName } from '../../core/stream/controllers.ts'
import { bulk } from './bulk.ts'

const LOSSES = [0, 0.001, 0.01, 0.02, 0.05]
const RTTS = [0, 30, 100, 200]
const RATES = [10, 100, 1000]
const DEEP = 1 << 20

function table(name: CongestionName): string {
  const lines = [`${'Mbit/s'.padEnd(6)}${'RTT'.padStart(5)}${LOSSES.map(head).join('')}`]
  for (const megabits of RATES)
    for (const rttMs of RTTS) {
      const bytes = Math.min(4_000_000, megabits * 200_000)
      const cells = LOSSES.map((loss) => {
        const options = { flows: [name], rttMs, megabits, loss, bytes, untilMs: 60_000 }
        const { megabits: got, resentPercent } = bulk(options)
        return `${got.toFixed(1).padStart(8)} ${resentPercent.toFixed(1).padStart(4)}%`
      })
      lines.push(`${String(megabits).padEnd(6)}${String(rttMs).padStart(5)}${cells.join('')}`)
    }
  return `\n${lines.join('\n')}\n`
}

const head = (loss: number): string => `${loss * 100} % loss`.padStart(14)

describe.each(CONGESTION_NAMES)('controller %s', (name) => {
  it('reaches these rates', { timeout: 60_000 }, () => {
    expect(table(name)).toMatchSnapshot()
  })
})

it('on a lossy link reaches five times what CUBIC does, for few bytes more than are lost', {
  timeout: 60_000,
}, () => {
  const link = { rttMs: 30, megabits: 100, loss: 0.02, untilMs: 6000 }
  const [ours, cubic] = (['auto', 'cubic'] as const).map((name) => bulk({ ...link, flows: [name] }))
  expect(ours!.megabits).toBeGreaterThan(5 * cubic!.megabits)
  expect(ours!.resentPercent).toBeLessThan(4)
})

it('on a long path windows grow beyond what they begin with', { timeout: 60_000 }, () => {
  const link = { rttMs: 200, megabits: 400, untilMs: 6000, fromMs: 4000 }
  const { megabits } = bulk({ ...link, flows: ['auto'], bufferBytes: DEEP })
  // 4 MiB in 200 ms are 168 Mbit/s.
  expect(megabits).toBeGreaterThan(300)
})

it('alone does not fill a deep queue, where CUBIC does', { timeout: 60_000 }, () => {
  const link = { rttMs: 40, megabits: 20, bufferBytes: DEEP, untilMs: 20_000, fromMs: 3000 }
  const [ours, model, cubic] = (['auto', 'bbr', 'cubic'] as const).map((name) =>
    bulk({ ...link, flows: [name] }),
  )
  expect(ours!.megabits).toBeGreaterThan(0.98 * cubic!.megabits)
  expect(ours!.srttMs).toBeLessThan(2 * 40 + 15)
  expect(model!.srttMs).toBeLessThan(2 * 40)
  expect(cubic!.srttMs).toBeGreaterThan(200)
})

// CUBIC alone needs minutes to share evenly with itself (RFC 9438 §5.2), so it is not asked here.
describe('two streams of which one came later', () => {
  const pairs: [CongestionName, CongestionName][] = [
    ['auto', 'auto'],
    ['auto', 'cubic'],
    ['cubic', 'auto'],
  ]
  const cases = [32_768, 65_536, 262_144].flatMap((bufferBytes) =>
    pairs.map((flows) => ({
      flows,
      bufferBytes,
      name: `${flows.join(' and ')}, ${bufferBytes >> 10} KiB`,
    })),
  )
  cases.push({ flows: ['auto', 'auto'], bufferBytes: DEEP, name: 'auto and auto, 1024 KiB' })

  it.each(cases)('share a link: $name of queue', { timeout: 60_000 }, (one) => {
    const { flows, bufferBytes } = one
    const link = { rttMs: 40, megabits: 20, untilMs: 30_000, fromMs: 8000, apartMs: 1000 }
    const result = bulk({ ...link, flows, bufferBytes })
    expect(result.jain).toBeGreaterThan(0.9)
    expect(result.megabits).toBeGreaterThan(0.9 * 20)
  })
})

it('a hundred streams get what the link carries, each of them something', {
  timeout: 60_000,
}, () => {
  const flows = new Array<CongestionName>(100).fill('auto')
  const link = { rttMs: 40, megabits: 100, untilMs: 6000, fromMs: 2000, apartMs: 5 }
  const result = bulk({ ...link, flows })
  expect(result.megabits).toBeGreaterThan(90)
  expect(result.jain).toBeGreaterThan(0.8)
  expect(Math.min(...result.received)).toBeGreaterThan(0)
})
