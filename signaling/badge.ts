/** Badges as SVG (spec/04 §17): a label, a value, a colour. */
import type { RegistryStats } from './statistics.ts'

interface Badge {
  readonly label: string
  readonly color: string
  readonly value: (stats: RegistryStats) => number
  /** Shown in grey at 0. */
  readonly isGreyAtZero: boolean
}

const GREY = '#9f9f9f'

const BADGES: ReadonlyMap<string, Badge> = new Map<string, Badge>([
  [
    'nodes',
    { label: 'online nodes', color: '#4c1', value: (s) => s.active_nodes, isGreyAtZero: true },
  ],
  [
    'trust',
    {
      label: 'trust links',
      color: '#58a6ff',
      value: (s) => s.total_trust_links,
      isGreyAtZero: true,
    },
  ],
  [
    'requests',
    { label: 'requests', color: '#a855f7', value: (s) => s.total_requests, isGreyAtZero: false },
  ],
  ['tags', { label: 'tags', color: '#f59e0b', value: (s) => s.unique_tags, isGreyAtZero: true }],
  [
    'task-executors',
    { label: 'task executors', color: '#4c1', value: (s) => s.task_executors, isGreyAtZero: true },
  ],
])

/** `undefined` for a name that is no badge. */
export function badgeSvg(name: string, stats: RegistryStats): string | undefined {
  const badge = BADGES.get(name)
  if (badge === undefined) return undefined
  const count = badge.value(stats)
  const value = abbreviate(count)
  const color = count === 0 && badge.isGreyAtZero ? GREY : badge.color
  const left = Math.floor(6.5 * badge.label.length) + 10
  const right = Math.floor(6.5 * value.length) + 10
  const text = (x: number, content: string): string =>
    `<text x="${x}" y="14" fill="#fff" text-anchor="middle" font-family="Verdana,Geneva,sans-serif" font-size="11">${content}</text>`
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${left + right}" height="20" role="img" aria-label="${badge.label}: ${value}">`,
    `<title>${badge.label}: ${value}</title>`,
    `<clipPath id="r"><rect width="${left + right}" height="20" rx="3"/></clipPath>`,
    `<g clip-path="url(#r)"><rect width="${left}" height="20" fill="#555"/><rect x="${left}" width="${right}" height="20" fill="${color}"/></g>`,
    text(left / 2, badge.label),
    text(left + right / 2, value),
    '</svg>',
  ].join('')
}

/** One decimal and K, M or B from 1000 up. */
function abbreviate(count: number): string {
  for (const [least, suffix] of [
    [1e9, 'B'],
    [1e6, 'M'],
    [1e3, 'K'],
  ] as const)
    if (count >= least) return `${(count / least).toFixed(1)}${suffix}`
  return String(count)
}
