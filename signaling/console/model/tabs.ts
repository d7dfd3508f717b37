/**
 * Several tabs with one node (they share it, see `createNode`) and one database: which tab serves the node's ports,
 * which tabs are alive, and what changed in another one.
 */

/** A conversation or the received files of one identity changed: `key` is that of the database. */
export interface Change {
  readonly store: 'chat' | 'files'
  readonly key: string
}

const CHANNEL = 'pilot-console'
const TAB_LOCK = 'pilot-console:tab:'
const SERVING_LOCK = 'pilot-console:serving'

export class Tabs {
  readonly id: string = crypto.randomUUID()
  readonly #channel = new BroadcastChannel(CHANNEL)
  readonly #listeners = new Set<(change: Change) => void>()
  readonly #life = new AbortController()

  constructor() {
    this.#hold(TAB_LOCK + this.id, () => {})
    this.#channel.onmessage = ({ data }) => {
      const change = data as Partial<Change> | null
      if ((change?.store !== 'chat' && change?.store !== 'files') || typeof change.key !== 'string')
        return
      for (const listener of this.#listeners) listener({ store: change.store, key: change.key })
    }
  }

  /** Tells the other tabs. */
  changed(store: Change['store'], key: string): void {
    if (!this.#life.signal.aborted) this.#channel.postMessage({ store, key })
  }

  onchange(listener: (change: Change) => void): void {
    this.#listeners.add(listener)
  }

  /** Ids of tabs that live, this one included. */
  async alive(): Promise<ReadonlySet<string>> {
    const { held = [] } = await navigator.locks.query()
    const names = held.map(({ name }) => name ?? '').filter((name) => name.startsWith(TAB_LOCK))
    return new Set([this.id, ...names.map((name) => name.slice(TAB_LOCK.length))])
  }

  /** Calls `begin` when it is this tab's turn to serve the ports: at once, or when the tab that does is gone. */
  serve(begin: () => void): void {
    this.#hold(SERVING_LOCK, begin)
  }

  close(): void {
    this.#life.abort()
    this.#listeners.clear()
    this.#channel.close()
  }

  /** Until `close`, or until the page goes. */
  #hold(name: string, begin: () => void): void {
    const { signal } = this.#life
    navigator.locks
      .request(name, { signal }, () => {
        begin()
        return new Promise<void>((resolve) => {
          signal.addEventListener('abort', () => resolve(), { once: true })
        })
      })
      .catch(() => {}) // left while it waited
  }
}
