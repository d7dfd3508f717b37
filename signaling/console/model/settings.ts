/** What the user chose, remembered for the next visit. */

export interface Settings {
  readonly rendezvous: string
  readonly hostname: string
  readonly isPublic: boolean
  /** Joined when the page was last seen: join again by itself. */
  readonly isJoined: boolean
}

const KEY = 'pilot-console'
export const DEFAULT_SETTINGS: Settings = {
  rendezvous: '',
  hostname: '',
  isPublic: false,
  isJoined: false,
}

/** Anything but what `formatSettings` wrote counts as nothing. */
export function parseSettings(text: string | null): Settings {
  let value: Partial<Record<keyof Settings, unknown>>
  try {
    value = JSON.parse(text ?? '{}') ?? {}
  } catch {
    return DEFAULT_SETTINGS
  }
  const { rendezvous, hostname } = value
  return {
    rendezvous: typeof rendezvous === 'string' ? rendezvous.slice(0, 300) : '',
    hostname: typeof hostname === 'string' ? hostname.slice(0, 63) : '',
    isPublic: value.isPublic === true,
    isJoined: value.isJoined === true,
  }
}

export function loadSettings(): Settings {
  try {
    return parseSettings(localStorage.getItem(KEY))
  } catch {
    return DEFAULT_SETTINGS // storage is switched off
  }
}

/** A browser that stores nothing forgets: no more than that. */
export function saveSettings(settings: Settings): void {
  try {
    localStorage.setItem(KEY, JSON.stringify(settings))
  } catch {
    // as above
  }
}
