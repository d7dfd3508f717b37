/** What a browser tells a page about sleep, network and background, for its node. */

export interface PageEventsHandlers {
  /** `network`: connections are probably gone; `visible`: somebody looks. */
  onwake(reason: 'network' | 'visible'): void
  /** The page will not run for a while. */
  onsleep(): void
}

/** Returns what stops it. */
export function watchPage({ onwake, onsleep }: PageEventsHandlers): () => void {
  const stop = new AbortController()
  const { signal } = stop
  addEventListener('online', () => onwake('network'), { signal })
  // Out of the back/forward cache, and frozen in it.
  addEventListener('pageshow', ({ persisted }) => persisted && onwake('network'), { signal })
  addEventListener('pagehide', ({ persisted }) => persisted && onsleep(), { signal })
  document.addEventListener('resume', () => onwake('network'), { signal })
  document.addEventListener('freeze', () => onsleep(), { signal })
  document.addEventListener(
    'visibilitychange',
    () => document.visibilityState === 'visible' && onwake('visible'),
    { signal },
  )
  return () => stop.abort()
}
