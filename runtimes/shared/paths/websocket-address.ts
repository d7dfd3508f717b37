/** Where a node takes WebSockets of its peers, as one tells the other (spec/10 §6.2), and which of it one may use here. */

export const PATH_PROTOCOL = 'pilot.path.v1'
/** URLs end so: a peer can name no other door of a machine. */
export const PATH_PATH = '/v1/path'
export const URLS_MAX = 8
const URL_CHARACTERS_MAX = 256

/** The URL in its normal form; `undefined` unless it is one of a path door: ws or wss, no credentials, query or fragment. */
export function parsePathUrl(text: unknown): URL | undefined {
  if (typeof text !== 'string' || text.length > URL_CHARACTERS_MAX) return undefined
  let url: URL
  try {
    url = new URL(text)
  } catch {
    return undefined
  }
  const isPlain = url.username === '' && url.password === '' && url.search === '' && url.hash === ''
  const isDoor = /^wss?:$/.test(url.protocol) && url.pathname.endsWith(PATH_PATH)
  return isPlain && isDoor ? url : undefined
}

/** The first {@link URLS_MAX} that are URLs of path doors, each once. */
export function pathUrls(list: readonly unknown[]): string[] {
  const urls = list.slice(0, 4 * URLS_MAX).map((text) => parsePathUrl(text)?.href)
  return [...new Set(urls.filter((url) => url !== undefined))].slice(0, URLS_MAX)
}

/**
 * Those that may be opened from a page of this origin (`globalThis.origin`): from https only what is encrypted, or
 * does not leave the machine (W3C Mixed Content, Secure Contexts §3.1). Anywhere else all.
 */
export function dialableUrls(urls: readonly string[], origin: string | undefined): string[] {
  if (origin?.startsWith('https:') !== true) return [...urls]
  return urls.filter((text) => {
    const { protocol, hostname } = new URL(text)
    return protocol === 'wss:' || isLoopback(hostname)
  })
}

/** `hostname` as `URL` gives it. */
export function isLoopback(hostname: string): boolean {
  return hostname === 'localhost' || hostname === '[::1]' || /^127(\.\d+){3}$/.test(hostname)
}
