/** WebSockets as every runtime has them, and where a rendezvous has its doors for them (spec/09). */
import { UsageError } from '../../core/errors.ts'
import { COMPAT_PATH, REGISTRY_PATH } from '../../core/rendezvous/compat-message.ts'

/** As much of the web's WebSocket as is used here; the package `ws` has it too. */
export interface WebSocketLike {
  binaryType: string
  readonly bufferedAmount: number
  onopen: (() => void) | null
  onmessage: ((event: { readonly data: unknown }) => void) | null
  onclose: ((event: { readonly code: number; readonly reason: string }) => void) | null
  onerror: ((event: unknown) => void) | null
  send(data: string | Uint8Array): void
  close(code?: number, reason?: string): void
}

/** May throw what the constructor throws; everything else is an event. */
export type OpenWebSocket = (url: string, protocol: string) => WebSocketLike

/** With the global `WebSocket`: pages, workers, Deno, Bun, and Node from 22 on. */
export const openWebSocket: OpenWebSocket = (url, protocol) =>
  new WebSocket(url, protocol) as unknown as WebSocketLike

export interface RendezvousUrls {
  readonly relay: string
  readonly registry: string
}

/**
 * The doors of a rendezvous, from its URL: `wss://host`, `https://host/base`, or with `/v1` or `/v1/compat` at its
 * end, as beacons are advertised.
 *
 * @throws {UsageError} `ERR_INVALID_ARGUMENT`.
 */
export function rendezvousUrls(text: string): RendezvousUrls {
  const invalid = (why: string): UsageError =>
    new UsageError(
      'ERR_INVALID_ARGUMENT',
      `the URL of a rendezvous is wss://host or ws://host:port, got ${JSON.stringify(text)}: ${why}`,
    )
  let url: URL
  try {
    url = new URL(text)
  } catch {
    throw invalid('not a URL')
  }
  const scheme = { 'ws:': 'ws', 'http:': 'ws', 'wss:': 'wss', 'https:': 'wss' }[url.protocol]
  if (scheme === undefined) throw invalid('not one of ws, wss, http, https')
  if (url.username !== '' || url.password !== '') throw invalid('it must not hold credentials')
  if (url.search !== '' || url.hash !== '') throw invalid('it must not hold a query or fragment')
  const base = url.pathname.replace(/\/+$/, '').replace(/\/v1(\/compat)?$/, '')
  const at = (path: string): string => `${scheme}://${url.host}${base}${path}`
  return { relay: at(COMPAT_PATH), registry: at(REGISTRY_PATH) }
}

/** Bytes of a binary message in memory of its own; `undefined` for anything else. */
export function bytesOf(data: unknown): Uint8Array | undefined {
  if (data instanceof ArrayBuffer) return new Uint8Array(data)
  if (data instanceof Uint8Array) return data.slice()
  return undefined
}

/** What an error event says; pages are told nothing. */
export function errorText(event: unknown): string | undefined {
  const { message, error } = (event ?? {}) as { message?: unknown; error?: { message?: unknown } }
  for (const text of [message, error?.message])
    if (typeof text === 'string' && text !== '') return text
  return undefined
}
