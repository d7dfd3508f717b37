/**
 * Where the page is and what its address says: the rendezvous to join, whom to pair with, what is shown.
 * `?rendezvous=wss://…` names one; `#pair=<address or hostname>` invites; `#peer=<id>&tab=<name>` is a view.
 */

export const TABS = ['chat', 'files', 'terminal', 'connection'] as const
export type Tab = (typeof TABS)[number]

export type View =
  | { readonly name: 'home' }
  | { readonly name: 'peer'; readonly nodeId: number; readonly tab: Tab }

export const HOME: View = { name: 'home' }

/** Longest address or hostname. */
const TARGET_MAX = 80

/** Whom a link invites to pair with; `undefined` when the text is no address, number or hostname. */
export function parsePairTarget(hash: string): string | undefined {
  const target = new URLSearchParams(hash.replace(/^#/, '')).get('pair')?.trim()
  return target !== undefined && isTarget(target) ? target : undefined
}

/** Whether the registry could know something by this text. */
export function isTarget(text: string): boolean {
  if (text.length === 0 || text.length > TARGET_MAX) return false
  return (
    /^\d{1,5}:[0-9a-fA-F]{4}\.[0-9a-fA-F]{4}\.[0-9a-fA-F]{4}$/.test(text) ||
    /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/.test(text)
  )
}

/** A link that opens this console and pairs with `target`; the rendezvous is named unless the page has its own. */
export function pairLink(page: string, target: string, rendezvous: string | undefined): string {
  const url = new URL(page)
  url.search = ''
  if (rendezvous !== undefined) url.searchParams.set('rendezvous', rendezvous)
  // Colons need no escape in a fragment, and people read it.
  url.hash = `pair=${target}`
  return url.href
}

export function parseView(hash: string): View {
  const fields = new URLSearchParams(hash.replace(/^#/, ''))
  const nodeId = Number(fields.get('peer') ?? Number.NaN)
  if (!Number.isInteger(nodeId) || nodeId < 1 || nodeId > 0xffffffff) return HOME
  const tab = TABS.find((one) => one === fields.get('tab')) ?? 'chat'
  return { name: 'peer', nodeId, tab }
}

export function formatView(view: View): string {
  if (view.name === 'home') return '#home'
  return view.tab === 'chat' ? `#peer=${view.nodeId}` : `#peer=${view.nodeId}&tab=${view.tab}`
}

/** The rendezvous that the page's address names; `undefined` for none. */
export function namedRendezvous(page: string): string | undefined {
  return new URL(page).searchParams.get('rendezvous')?.trim() || undefined
}

/** The server that the page came from, at whatever path it stands, when that is a rendezvous: `mark` is `self` then. */
export function ownRendezvous(page: string, mark: string): string | undefined {
  if (mark !== 'self') return undefined
  const base = new URL('..', page)
  const scheme = base.protocol === 'https:' ? 'wss' : 'ws'
  return `${scheme}://${base.host}${base.pathname.replace(/\/$/, '')}`
}
