/** Short news at the edge of the page, read out by screen readers too. */
import { type Signal, signal } from '@preact/signals'

export interface Notice {
  readonly id: number
  readonly kind: 'good' | 'bad' | 'news'
  readonly text: string
  /** Where a click leads, as a hash of this page. */
  readonly href?: string | undefined
  /** What it is about: a newer one takes its place, and it goes when that is settled. */
  readonly topic?: string | undefined
  /** It stands in the list beside as well: where that is in view, the notice is only read out. */
  readonly isListed?: boolean | undefined
}

const SHOWN_MAX = 4
const LIFETIME_MS = { good: 5000, news: 8000, bad: 12_000 } as const

export const notices: Signal<readonly Notice[]> = signal([])
let lastId = 0

export function notify(
  kind: Notice['kind'],
  text: string,
  { href, topic, isListed }: Pick<Notice, 'href' | 'topic' | 'isListed'> = {},
): void {
  const id = ++lastId
  settle(topic)
  notices.value = [...notices.value.slice(1 - SHOWN_MAX), { id, kind, text, href, topic, isListed }]
  setTimeout(() => dismiss(id), LIFETIME_MS[kind])
}

/** Takes away what is said about a topic. */
export function settle(topic: string | undefined): void {
  if (topic !== undefined) notices.value = notices.value.filter((one) => one.topic !== topic)
}

export function dismiss(id: number): void {
  notices.value = notices.value.filter((one) => one.id !== id)
}
