/** The status page: numbers rendered on the server, kept current by a small script, in light and dark. */
import type { RegistryStats } from './statistics.ts'

const NUMBERS: readonly (readonly [keyof RegistryStats, string])[] = [
  ['active_nodes', 'Nodes online'],
  ['total_nodes', 'Nodes registered'],
  ['total_trust_links', 'Trust links'],
  ['total_requests', 'Requests'],
  ['unique_tags', 'Tags'],
  ['task_executors', 'Task executors'],
]
const ROWS_MAX = 100

/** `limitations` are sentences of ours: plain text, without markup. */
export function statusPage(
  stats: RegistryStats,
  hasConsole: boolean,
  limitations: readonly string[] = [],
): string {
  const numbers = NUMBERS.map(
    ([name, label]) =>
      `<div><dt>${label}</dt><dd data-stat="${name}">${String(stats[name])}</dd></div>`,
  ).join('\n')
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>Pilot rendezvous</title>
<link rel="stylesheet" href="/status.css">
<script src="/status.js" defer></script>
</head>
<body>
<header>
<h1>Pilot rendezvous</h1>
<p>Up <span data-stat="uptime_secs">${duration(stats.uptime_secs)}</span>${hasConsole ? ' · <a href="console/">Open the console</a>' : ''}</p>
</header>
<main>
<div role="status"><p id="lost" hidden>No answer from the server; the numbers are old.</p></div>
<dl>
${numbers}
</dl>
${limitations.map((one) => `<p class="limitation">${one}</p>`).join('\n')}
<section aria-labelledby="nodes-title">
<h2 id="nodes-title">Nodes</h2>
<div class="scroll" tabindex="0" role="region" aria-labelledby="nodes-title">
<table>
<thead><tr><th scope="col">Address</th><th scope="col">State</th><th scope="col">Tags</th><th scope="col" class="number">Trust links</th><th scope="col" class="number">Score</th></tr></thead>
<tbody id="nodes">
${stats.nodes.slice(0, ROWS_MAX).map(row).join('\n')}
</tbody>
</table>
</div>
<p id="more">${more(stats)}</p>
</section>
</main>
</body>
</html>
`
}

/** Tags hold only `a-z0-9-` (spec/04 §8.9), so nothing here needs escaping. */
function row(node: RegistryStats['nodes'][number]): string {
  const state = node.online ? 'online' : 'offline'
  return `<tr><th scope="row">${node.address}</th><td class="${state}">${state}</td><td>${node.tags.join(', ')}</td><td class="number">${node.trust_links}</td><td class="number">${node.polo_score}</td></tr>`
}

function more({ nodes, total_nodes }: RegistryStats): string {
  if (nodes.length === 0) return 'No node is registered yet.'
  return nodes.length > ROWS_MAX ? `${ROWS_MAX} of ${total_nodes} nodes are shown.` : ''
}

function duration(seconds: number): string {
  const [days, hours, minutes] = [seconds / 86_400, (seconds / 3600) % 24, (seconds / 60) % 60]
  const parts = [
    [days, 'd'],
    [hours, 'h'],
    [minutes, 'min'],
  ] as const
  const text = parts
    .filter(([value]) => value >= 1)
    .map(([value, unit]) => `${Math.floor(value)} ${unit}`)
    .join(' ')
  return text === '' ? `${seconds} s` : text
}

export const STATUS_CSS: string = `:root {
  color-scheme: light dark;
  --back: light-dark(#fafafa, #14161a);
  --card: light-dark(#fff, #1e2127);
  --text: light-dark(#1a1c20, #e8eaee);
  --soft: light-dark(#5a606b, #a3aab6);
  --line: light-dark(#d9dce2, #343943);
  --good: light-dark(#17692f, #6fd58a);
}
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 64rem; padding: 2rem 1rem; background: var(--back); color: var(--text); font: 1rem/1.5 system-ui, sans-serif; }
header { display: flex; flex-wrap: wrap; justify-content: space-between; align-items: baseline; gap: 0 1rem; }
h1 { font-size: 1.5rem; margin: 0; }
h2 { font-size: 1.125rem; margin: 2rem 0 0.5rem; }
a { color: light-dark(#0b5cad, #6db3f8); }
header p, .limitation, #more { color: var(--soft); margin: 0.5rem 0; }
dl { display: grid; grid-template-columns: repeat(auto-fit, minmax(9rem, 1fr)); gap: 1rem; margin: 1.5rem 0 0; }
dl div { background: var(--card); border: 1px solid var(--line); border-radius: 0.5rem; padding: 1rem; }
dt { color: var(--soft); font-size: 0.875rem; }
dd { margin: 0; font-size: 1.75rem; font-variant-numeric: tabular-nums; }
.scroll { overflow-x: auto; }
table { width: 100%; border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: 0.375rem 0.75rem; border-bottom: 1px solid var(--line); }
thead th { color: var(--soft); font-size: 0.875rem; font-weight: 600; }
tbody th { font-weight: 400; font-family: ui-monospace, monospace; }
.number { text-align: right; }
.online { color: var(--good); }
.offline { color: var(--soft); }
`

export const STATUS_JS: string = `'use strict'
const ROWS_MAX = ${ROWS_MAX}
function duration(seconds) {
  const parts = [[seconds / 86400, 'd'], [(seconds / 3600) % 24, 'h'], [(seconds / 60) % 60, 'min']]
  const text = parts.filter(([value]) => value >= 1).map(([value, unit]) => Math.floor(value) + ' ' + unit).join(' ')
  return text === '' ? seconds + ' s' : text
}
function cell(kind, text, name) {
  const one = document.createElement(kind)
  one.textContent = text
  if (name) one.className = name
  return one
}
function row(node) {
  const line = document.createElement('tr')
  const address = cell('th', node.address)
  address.scope = 'row'
  const state = node.online ? 'online' : 'offline'
  line.append(address, cell('td', state, state), cell('td', node.tags.join(', ')), cell('td', node.trust_links, 'number'), cell('td', node.polo_score, 'number'))
  return line
}
async function refresh() {
  if (document.hidden) return
  try {
    const answer = await fetch('/api/stats')
    if (!answer.ok) throw new Error(answer.statusText)
    const stats = await answer.json()
    document.getElementById('lost').hidden = true
    for (const one of document.querySelectorAll('[data-stat]')) {
      const value = stats[one.dataset.stat]
      one.textContent = one.dataset.stat === 'uptime_secs' ? duration(value) : value
    }
    document.getElementById('nodes').replaceChildren(...stats.nodes.slice(0, ROWS_MAX).map(row))
    document.getElementById('more').textContent = stats.nodes.length === 0 ? 'No node is registered yet.' : stats.nodes.length > ROWS_MAX ? ROWS_MAX + ' of ' + stats.total_nodes + ' nodes are shown.' : ''
  } catch {
    document.getElementById('lost').hidden = false
  }
}
setInterval(refresh, 5000)
`
