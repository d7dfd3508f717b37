/** One HTML file with everything in it: a chart per figure as SVG, the comparisons, and all medians with their spread. */
import { type Comparison, comparisons } from './comparisons.ts'
import { FIGURES, type FigureInfo, type Result } from './result.ts'
import { shown, spread } from './statistics.ts'

const BAR = { height: 16, step: 24, label: 330, width: 460, value: 130 } as const

const STYLE = `
:root { color-scheme: light dark; --ink: #1b1f24; --soft: #667; --line: #d9dde3; --paper: #fff;
  --ours: #0b6bcb; --ceiling: #8a6d00; --peer: #8d96a3; --reference: #b3502f }
@media (prefers-color-scheme: dark) { :root { --ink: #e8eaed; --soft: #9aa4b1; --line: #333a43; --paper: #14171b;
  --ours: #5aa9ff; --ceiling: #d9b53c; --peer: #6b7684; --reference: #e08a66 } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); max-width: 1000px;
  margin: 2rem auto; padding: 0 1rem }
h1 { font-size: 1.5rem } h2 { font-size: 1.1rem; margin: 2.2rem 0 .4rem }
p, caption { color: var(--soft) }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .85rem }
td, th { border-bottom: 1px solid var(--line); padding: .25rem .6rem; text-align: right; white-space: nowrap }
td:first-child, th:first-child { text-align: left }
.wide { overflow-x: auto }
.below { color: var(--reference); font-weight: 600 }
svg { max-width: 100%; height: auto; display: block }
svg text { font: 13px system-ui, sans-serif; fill: var(--ink) }
svg .soft { fill: var(--soft) }
.ours { fill: var(--ours) } .ceiling { fill: var(--ceiling) } .peer { fill: var(--peer) } .reference { fill: var(--reference) }
.spread { stroke: var(--ink); stroke-width: 1.5; opacity: .7 }
.key span { margin-right: 1.2rem } .key i { display: inline-block; width: .8rem; height: .8rem; margin-right: .4rem }
`

export function page(result: Result): string {
  const charts = FIGURES.map((info) => chart(info, result)).join('\n')
  const key = (['ours', 'ceiling', 'peer', 'reference'] as const)
    .map((group) => `<span><i style="background:var(--${group})"></i>${group}</span>`)
    .join('')
  const { startedAt, machine, node, runs, amount, isQuick, missing } = result
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>pilot-ts benchmark, ${escaped(startedAt.slice(0, 10))}</title>
<style>${STYLE}</style>
</head>
<body>
<h1>pilot-ts beside its peers</h1>
<p>${escaped(startedAt)} on ${escaped(machine)}, Node ${escaped(node)}. ${runs === 1 ? 'One run' : `Medians of ${runs} runs`} on loopback, lines from the
smallest to the largest; client and server are processes of their own; ${amount.bulkBytes >> 20} MiB one way.${
    isQuick ? ' <strong>A quick run: whether it works, not how fast.</strong>' : ''
  }</p>
<p class="key">${key}</p>
${charts}
<h2>Ours beside the others</h2>
<p>A ratio above 1: ours is that many times faster, or smaller.</p>
${comparisonRows(comparisons(result))}
<h2>All medians</h2>
${everything(result)}
${Object.entries(missing)
  .map(([id, why]) => `<p>Left out: ${escaped(id)}: ${escaped(why)}</p>`)
  .join('\n')}
</body>
</html>
`
}

/** Horizontal bars, the best first; nothing where nobody was measured. */
function chart({ name, title, unit, isMoreBetter }: FigureInfo, { rows, figures }: Result): string {
  const bars = rows
    .map((row) => ({ ...row, value: spread(figures[row.id]?.[name]) }))
    .filter((row) => row.value !== undefined)
    .sort((a, b) => (a.value!.median - b.value!.median) * (isMoreBetter ? -1 : 1))
  if (bars.length === 0) return ''
  const largest = Math.max(...bars.map(({ value }) => value!.max), 0)
  const scaled = (value: number): number => (value <= 0 || largest <= 0 ? 0 : value / largest)
  const width = BAR.label + BAR.width + BAR.value
  const lines = bars.map(({ title: label, group, value }, i) => {
    const y = i * BAR.step
    const middle = y + BAR.height / 2
    const x = (share: number): string => (BAR.label + BAR.width * share).toFixed(1)
    const end = BAR.width * scaled(value!.median)
    return `<text x="${BAR.label - 8}" y="${middle + 4}" text-anchor="end">${escaped(label)}</text>
<rect class="${group}" x="${BAR.label}" y="${y}" width="${Math.max(1, end).toFixed(1)}" height="${BAR.height}" rx="2"/>
<line class="spread" x1="${x(scaled(value!.min))}" x2="${x(scaled(value!.max))}" y1="${middle}" y2="${middle}"/>
<text class="soft" x="${(BAR.label + BAR.width * scaled(value!.max) + 8).toFixed(1)}" y="${middle + 4}">${shown(value!.median)}</text>`
  })
  return `<h2>${escaped(title)}, ${escaped(unit)} (${isMoreBetter ? 'more' : 'less'} is better)</h2>
<svg viewBox="0 0 ${width} ${bars.length * BAR.step}" role="img" aria-label="${escaped(title)}">
${lines.join('\n')}
</svg>`
}

function comparisonRows(list: readonly Comparison[]): string {
  const lines = list.map(
    ({ work, unit, oursTitle, oursValue, otherTitle, otherValue, ratio, aim }) =>
      `<tr><td>${escaped(work)}</td><td>${escaped(oursTitle)}</td><td>${shown(oursValue)} ${escaped(unit)}</td><td>${escaped(
        otherTitle,
      )}</td><td>${shown(otherValue)}</td><td${
        aim !== undefined && ratio < aim ? ' class="below"' : ''
      }>${shown(ratio)} ×</td><td>${aim === undefined ? '' : `${aim} ×`}</td></tr>`,
  )
  return `<div class="wide"><table><tr><th>work</th><th>ours</th><th></th><th>beside it</th><th></th><th>ratio</th><th>aim</th></tr>
${lines.join('\n')}</table></div>`
}

function everything({ rows, figures }: Result): string {
  const head = FIGURES.map(({ short, unit }) => `<th>${escaped(short)}<br>${escaped(unit)}</th>`)
  const lines = rows
    .filter(({ id }) => figures[id] !== undefined)
    .map(({ id, title, encryption }) => {
      const cells = FIGURES.map(({ name }) => {
        const value = spread(figures[id]?.[name])
        if (value === undefined) return '<td>-</td>'
        return `<td title="${shown(value.min)} to ${shown(value.max)}">${shown(value.median)}</td>`
      })
      return `<tr><td>${escaped(title)}</td><td>${encryption}</td>${cells.join('')}</tr>`
    })
  return `<div class="wide"><table><tr><th></th><th>encryption</th>${head.join('')}</tr>
${lines.join('\n')}</table></div>`
}

function escaped(text: string): string {
  return text.replace(/[&<>"]/g, (character) => `&#${character.charCodeAt(0)};`)
}
