/** What is asked of WebSockets between nodes, and whether it makes sense (spec/10 §6.2). */
import { UsageError } from '../../core/index.ts'
import { PATH_PATH, parsePathUrl } from '../shared/paths/websocket-address.ts'
import { parseListen } from '../shared/places.ts'

export interface WebSocketPathOptions {
  /** `host:port` or `:port` for WebSockets of peers. Default: none are taken. */
  readonly listen?: string
  /** PEM, to speak TLS; behind a proxy that does, leave it out. */
  readonly tls?: { readonly cert: string; readonly key: string }
  /**
   * Public URLs, e.g. `wss://agent.example` of a reverse proxy; `/v1/path` is added where it is missing. Beside them
   * peers are told the addresses of this machine, or with TLS the names in the certificate.
   */
  readonly urls?: readonly string[]
  /**
   * Origins whose pages may come, e.g. `https://app.example`. Default any: a page proves a peer's identity with its key,
   * and no cookie is ever read.
   */
  readonly origins?: readonly string[]
}

/** @throws {UsageError} `ERR_INVALID_ARGUMENT`. */
export function checkWebSocketOptions({
  listen,
  tls,
  urls = [],
  origins = [],
}: WebSocketPathOptions): void {
  if (listen !== undefined) parseListen(listen)
  else if (tls !== undefined || urls.length > 0)
    throw new UsageError(
      'ERR_INVALID_ARGUMENT',
      'WebSocket URLs and TLS need an address to listen on',
    )
  for (const url of urls) publicUrl(url)
  for (const origin of origins)
    if (URL.parse(origin)?.origin !== origin)
      throw new UsageError(
        'ERR_INVALID_ARGUMENT',
        `an origin is scheme://host or scheme://host:port, got ${JSON.stringify(origin)}`,
      )
}

/** @throws {UsageError} `ERR_INVALID_ARGUMENT`. */
export function publicUrl(text: string): URL {
  const url = URL.parse(text)
  if (url !== null && !url.pathname.endsWith(PATH_PATH))
    url.pathname = `${url.pathname.replace(/\/+$/, '')}${PATH_PATH}`
  const parsed = parsePathUrl(url?.href)
  if (parsed === undefined)
    throw new UsageError(
      'ERR_INVALID_ARGUMENT',
      `the URL of a WebSocket is wss://host, ws://host:port or below, got ${JSON.stringify(text)}`,
    )
  return parsed
}
