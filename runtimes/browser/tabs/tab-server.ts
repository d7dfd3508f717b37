/** The engine's side of the tabs: lets each use the node over a lane of its own, until it is gone. */
import type { Lane } from '../../shared/remote/lane.ts'
import type { EngineSettings } from '../settings.ts'
import { TabLane } from './tab-lane.ts'
import {
  laneName,
  originName,
  parseTabMessage,
  type TabMessage,
  tabLockName,
} from './tab-message.ts'

export interface TabServerOptions {
  readonly storageName: string | undefined
  readonly engineId: string
  readonly settings: EngineSettings
  /** Returns what ends the service. */
  readonly serve: (lane: Lane) => () => void
  readonly onchange: (count: number) => void
}

interface Tab {
  readonly lane: string
  readonly gone: AbortController
  readonly end: () => void
}

export class TabServer {
  readonly #options: TabServerOptions
  readonly #channel: BroadcastChannel
  readonly #tabs = new Map<string, Tab>()

  constructor(options: TabServerOptions) {
    this.#options = options
    this.#channel = new BroadcastChannel(originName(options.storageName))
    this.#channel.onmessage = ({ data }) => {
      const message = parseTabMessage(data)
      if (message?.type === 'probe') this.#post({ type: 'alive', engine: options.engineId })
      else if (message?.type === 'join') this.#join(message.tab, message.lane)
    }
    this.#post({ type: 'engine', engine: options.engineId })
  }

  close(): void {
    for (const tab of [...this.#tabs.keys()]) this.#leave(tab)
    this.#channel.close()
  }

  #join(tab: string, lane: string): void {
    const { storageName, engineId, settings, serve, onchange } = this.#options
    if (this.#tabs.get(tab)?.lane !== lane) {
      this.#leave(tab) // it lost its lane, or starts anew
      const gone = new AbortController()
      const tabLane = new TabLane(laneName(storageName, lane))
      const end = serve(tabLane)
      const onlost = tabLane.onclose
      tabLane.onclose = (reason) => {
        onlost?.(reason)
        if (this.#tabs.get(tab)?.lane === lane) this.#leave(tab)
      }
      this.#tabs.set(tab, { lane, gone, end })
      onchange(this.#tabs.size)
      // The tab holds it as long as it lives: who gets it knows that the tab is gone.
      navigator.locks
        .request(tabLockName(storageName, tab), { signal: gone.signal }, () => this.#leave(tab))
        .catch(() => {}) // aborted: it left before
    }
    this.#post({ type: 'joined', tab, lane, engine: engineId, settings })
  }

  #leave(tab: string): void {
    const known = this.#tabs.get(tab)
    if (known === undefined) return
    this.#tabs.delete(tab)
    known.gone.abort()
    known.end()
    this.#options.onchange(this.#tabs.size)
  }

  #post(message: TabMessage): void {
    this.#channel.postMessage(message)
  }
}
