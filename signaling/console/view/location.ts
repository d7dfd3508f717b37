/** The fragment of the page's address as a signal. */
import { type Signal, signal } from '@preact/signals'

export const hash: Signal<string> = signal(location.hash)
addEventListener('hashchange', () => {
  hash.value = location.hash
})

export function go(to: string): void {
  location.hash = to
  // The event comes later, and keys may be pressed meanwhile.
  hash.value = location.hash
}

/** Takes a fragment away that was acted upon, without a step in the history. */
export function forgetHash(): void {
  history.replaceState(null, '', `${location.pathname}${location.search}`)
  hash.value = ''
}
