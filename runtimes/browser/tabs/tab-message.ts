/** What the tabs of one origin tell each other, on a BroadcastChannel named for the storage they share. */
import { isRecord, isText } from '../../shared/remote/remote-message.ts'
import { STORAGE_NAME } from '../indexeddb-storage.ts'
import type { EngineSettings } from '../settings.ts'

export type TabMessage =
  /** A tab wants to use the node, over the lane of this name. */
  | { readonly type: 'join'; readonly tab: string; readonly lane: string }
  | {
      readonly type: 'joined'
      readonly tab: string
      readonly lane: string
      readonly engine: string
      readonly settings: EngineSettings
    }
  /** A new engine is ready: whoever used the last one joins this one. */
  | { readonly type: 'engine'; readonly engine: string }
  | { readonly type: 'probe' }
  /** `engine`: `''` while it is being started. */
  | { readonly type: 'alive'; readonly engine: string }

const TEXTS: Readonly<Record<TabMessage['type'], readonly string[]>> = {
  join: ['tab', 'lane'],
  joined: ['tab', 'lane', 'engine'],
  engine: ['engine'],
  probe: [],
  alive: ['engine'],
}

/** `undefined` for what is none: any script of the origin can post here. */
export function parseTabMessage(data: unknown): TabMessage | undefined {
  if (!isRecord(data) || !isText(data.type) || !Object.hasOwn(TEXTS, data.type)) return undefined
  const type = data.type as TabMessage['type']
  if (!TEXTS[type].every((name) => isText(data[name]))) return undefined
  if (type === 'joined' && !isRecord(data.settings)) return undefined
  return data as TabMessage
}

/** Of the channel that all tabs share, and of the lock that the leader holds. */
export function originName(storageName: string | undefined): string {
  return `pilot-ts:${storageName ?? STORAGE_NAME}`
}

/** Held by a tab as long as it lives. */
export function tabLockName(storageName: string | undefined, tab: string): string {
  return `${originName(storageName)}:tab:${tab}`
}

export function laneName(storageName: string | undefined, lane: string): string {
  return `${originName(storageName)}:lane:${lane}`
}
