/** A measurement as a picture: SVG 1.1 that stands alone, readable on light and on dark pages. */
import { formatBytes, formatMs } from '../values.ts'
import type { Measurement, ProcessCost } from './measurement.ts'
import { ascending, histogram, percentile, summarize } from './statistics.ts'

export interface ChartFacts {
  readonly target: string
  /** RFC 3339. */
  readonly time: string
  readonly version: string
  readonly isInterrupted: boolean
}

const WIDTH = 960
const HEIGHT = 720
const MARGIN = 40
const MIB = 2 ** 20

const STYLE = `
  svg { --ink: #1c2430; --soft: #667085; --line: #e4e7ec; --page: #ffffff; --fill: #2f6fed; --fill2: #12a594; --warn: #d9622b }
  @media (prefers-color-scheme: dark) { svg { --ink: #eef1f6; --soft: #98a2b3; --line: #2b3444; --page: #131922; --fill: #6d9bff; --fill2: #3ecfbd; --warn: #ff9a66 } }
  text { font-family: system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; fill: var(--ink); font-size: 13px }
  .title { font-size: 22px; font-weight: 650 } .head { font-size: 15px; font-weight: 600 }
  .soft { fill: var(--soft); font-size: 12px } .num { font-variant-numeric: tabular-nums } .end { text-anchor: end } .mid { text-anchor: middle }
  .page { fill: var(--page) } .grid { stroke: var(--line); stroke-width: 1 } .bar { fill: var(--fill) } .mark { stroke: var(--warn); stroke-width: 1.5 }
  .area { fill: var(--fill2); fill-opacity: .22 } .curve { fill: none; stroke: var(--fill2); stroke-width: 2; stroke-linejoin: round }
  .rule { stroke: var(--warn); stroke-width: 1.5; stroke-dasharray: 5 4 }`

export function chart(measurement: Measurement, facts: ChartFacts): string {
  const label = `pilotctl bench ${facts.target}`
  return `<?xml version="1.0" encoding="UTF-8"?>
<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${HEIGHT}" viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" aria-label="${escapeXml(label)}">
<style>${STYLE}
</style>
<rect class="page" width="${WIDTH}" height="${HEIGHT}" rx="12"/>
${text(MARGIN, 50, label, 'title')}
${text(MARGIN, 72, `${facts.time} · pilot-ts ${facts.version} · to the echo port and back, every byte compared${facts.isInterrupted ? ' · interrupted' : ''}`, 'soft')}
${throughput(measurement, MARGIN, 100, WIDTH - 2 * MARGIN, 230)}
${latencies(measurement, MARGIN, 366, WIDTH - 2 * MARGIN, 210)}
${costs(measurement, MARGIN, 622)}
</svg>
`
}

function throughput(
  measurement: Measurement,
  x: number,
  y: number,
  width: number,
  height: number,
): string {
  const seconds = (measurement.throughput?.perSecond ?? []).map((bytes) => bytes / MIB)
  const out = [text(x, y + 12, 'Throughput, MiB per second', 'head')]
  if (seconds.length === 0)
    return [...out, text(x, y + 40, 'less than a second was measured', 'soft')].join('\n')
  const sorted = ascending(seconds)
  const top = niceTop(sorted.at(-1)!)
  const [left, right, upper, lower] = [x + 48, x + width - 92, y + 30, y + height - 24]
  const atX = (i: number): number => left + ((right - left) * (i + 0.5)) / seconds.length
  const atY = (value: number): number => lower - ((lower - upper) * value) / top
  for (let i = 0; i <= 4; i++) {
    const value = (top * i) / 4
    out.push(line(left, atY(value), right, atY(value), 'grid'))
    out.push(text(left - 8, atY(value) + 4, short(value), 'soft num end'))
  }
  const points = seconds.map((value, i) => `${round(atX(i))},${round(atY(value))}`)
  // One second alone is a point: drawn from edge to edge.
  const first = `${round(left)},${round(atY(seconds[0]!))}`
  const last = `${round(right)},${round(atY(seconds.at(-1)!))}`
  const curve = [first, ...points, last].join(' ')
  out.push(
    `<polygon class="area" points="${round(left)},${round(lower)} ${curve} ${round(right)},${round(lower)}"/>`,
  )
  out.push(`<polyline class="curve" points="${curve}"/>`)
  const marks = [
    ['p50', percentile(sorted, 0.5)],
    ['p1', percentile(sorted, 0.01)],
  ] as const
  let above = Number.NEGATIVE_INFINITY
  for (const [name, value] of marks) {
    out.push(line(left, atY(value), right, atY(value), 'rule'))
    const at = Math.max(atY(value) + 4, above + 16)
    above = at
    out.push(text(right + 8, at, `${name} ${short(value)}`, 'num'))
  }
  const step = Math.max(1, Math.ceil(seconds.length / 12))
  for (let i = 0; i < seconds.length; i += step)
    out.push(text(atX(i), lower + 18, `${i + 1} s`, 'soft num mid'))
  return out.join('\n')
}

function latencies(
  measurement: Measurement,
  x: number,
  y: number,
  width: number,
  height: number,
): string {
  const rows = measurement.roundTripsMs.filter(({ values }) => values.length > 0)
  const out = [text(x, y + 12, 'Round trip by size', 'head')]
  if (rows.length === 0) return [...out, text(x, y + 40, 'not measured', 'soft')].join('\n')
  const all = rows.flatMap(({ values }) => histogram(values).map(({ upTo }) => upTo))
  const [low, high] = [Math.log10(Math.min(...all)) - 0.1, Math.log10(Math.max(...all)) + 0.05]
  const [left, right] = [x + 64, x + width - 300]
  const atX = (ms: number): number =>
    left + ((right - left) * (Math.log10(ms) - low)) / (high - low)
  const [upper, rowHeight] = [y + 30, (height - 54) / 4]
  const columns = ['p50', 'p90', 'p99', 'max'] as const
  for (const [i, name] of columns.entries())
    out.push(text(right + 84 + i * 72, upper - 6, name, 'soft end'))
  const lower = upper + rows.length * rowHeight
  for (const ms of ticks(low, high)) {
    out.push(line(atX(ms), upper, atX(ms), lower, 'grid'))
    out.push(text(atX(ms), lower + 18, axisMs(ms), 'soft num mid'))
  }
  for (const [i, { bytes, values }] of rows.entries()) {
    const base = upper + (i + 1) * rowHeight
    const buckets = histogram(values)
    const most = Math.max(...buckets.map(({ count }) => count))
    out.push(line(left, base, right, base, 'grid'))
    out.push(
      text(
        left - 8,
        base - rowHeight / 2 + 5,
        `${bytes / 1024 >= 1024 ? `${bytes / MIB} MB` : `${bytes / 1024} KB`}`,
        'num end',
      ),
    )
    for (const { upTo, count } of buckets) {
      if (count === 0) continue
      const [from, to] = [atX(upTo / 10 ** 0.1), atX(upTo)]
      // What was seen once is seen here.
      const tall = Math.max(2, ((rowHeight - 8) * count) / most)
      out.push(
        `<rect class="bar" x="${round(from + 0.5)}" y="${round(base - tall)}" width="${round(Math.max(1, to - from - 1))}" height="${round(tall)}"/>`,
      )
    }
    const summary = summarize(values)!
    out.push(line(atX(summary.p99), base - rowHeight + 6, atX(summary.p99), base, 'mark'))
    for (const [k, name] of columns.entries())
      out.push(
        text(right + 84 + k * 72, base - rowHeight / 2 + 5, formatMs(summary[name]), 'num end'),
      )
  }
  out.push(text(right + 84 + 3 * 72, lower + 18, 'orange: p99', 'soft end'))
  return out.join('\n')
}

function costs(
  { dialsMs, firstBytesMs, firstDialMs, throughput, own, peer }: Measurement,
  x: number,
  y: number,
): string {
  const bytes = throughput?.receivedBytes ?? 0
  const dials = summarize(dialsMs)
  const firsts = summarize(firstBytesMs)
  const cells: [string, string, string][] = [
    [
      'New connection',
      dials === undefined
        ? 'not measured'
        : `p50 ${formatMs(dials.p50)}, p99 ${formatMs(dials.p99)}`,
      firstDialMs === undefined ? '' : `the first ${formatMs(firstDialMs)}`,
    ],
    [
      'To the first byte back',
      firsts === undefined
        ? 'not measured'
        : `p50 ${formatMs(firsts.p50)}, p99 ${formatMs(firsts.p99)}`,
      firsts === undefined ? '' : `${firsts.count} times`,
    ],
    ['This daemon', ...costText(own, bytes)],
    ['The peer', ...costText(peer, bytes)],
  ]
  return cells
    .map(([head, value, more], i) => {
      const at = x + i * 222
      return [
        text(at, y, head, 'head'),
        text(at, y + 24, value, 'num'),
        text(at, y + 44, more, 'soft num'),
      ].join('\n')
    })
    .join('\n')
}

function costText(cost: ProcessCost | undefined, bytes: number): [string, string] {
  if (cost === undefined) return ['CPU and memory unknown', '']
  const share = `CPU ${cpuPercent(cost).toFixed(0)} %, RSS ${formatBytes(cost.rssBytes)}`
  return [
    share,
    bytes === 0 ? '' : `${(cost.cpuMs / 1000 / (bytes / 1e9)).toFixed(2)} CPU s per GB echoed`,
  ]
}

/** Of one processor. */
export function cpuPercent({ cpuMs, ms }: ProcessCost): number {
  return ms === 0 ? 0 : (100 * cpuMs) / ms
}

/** Whole decades, and between them 2 and 5 where there are few. */
function ticks(low: number, high: number): number[] {
  const steps = high - low < 2.5 ? [1, 2, 5] : [1]
  const found: number[] = []
  for (let decade = Math.floor(low); decade <= Math.ceil(high); decade++)
    for (const step of steps) {
      const ms = step * 10 ** decade
      if (Math.log10(ms) >= low && Math.log10(ms) <= high) found.push(ms)
    }
  return found
}

/** A round number at or above `value`. */
function niceTop(value: number): number {
  if (value <= 0) return 1
  const decade = 10 ** Math.floor(Math.log10(value))
  return [1, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10]
    .map((step) => step * decade)
    .find((top) => top >= value)!
}

function axisMs(ms: number): string {
  if (ms >= 1000) return `${Number((ms / 1000).toPrecision(3))} s`
  return ms >= 1 ? `${Number(ms.toPrecision(3))} ms` : `${Number((ms * 1000).toPrecision(3))} µs`
}

function short(value: number): string {
  return value >= 100 || value === 0 ? value.toFixed(0) : value.toPrecision(value >= 10 ? 3 : 2)
}

function text(x: number, y: number, content: string, classes: string): string {
  return `<text x="${round(x)}" y="${round(y)}" class="${classes}">${escapeXml(content)}</text>`
}

function line(x1: number, y1: number, x2: number, y2: number, classes: string): string {
  return `<line x1="${round(x1)}" y1="${round(y1)}" x2="${round(x2)}" y2="${round(y2)}" class="${classes}"/>`
}

function round(value: number): number {
  return Math.round(value * 10) / 10
}

/** Characters that XML does not know at all are left out. */
function escapeXml(content: string): string {
  return content
    .replace(/[^\t\n\r\u0020-\ud7ff\ue000-\ufffd]/g, '')
    .replace(/[&<>"']/g, (one) => `&#${one.charCodeAt(0)};`)
}
