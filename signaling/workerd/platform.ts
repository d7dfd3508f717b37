/** As much of workerd as the rendezvous uses: the objects that Cloudflare's types describe whole. */
import type { Row } from '../sqlite-rows.ts'

/** A WebSocket of a Durable Object that stays open while the object sleeps. */
export interface HibernatingSocket {
  /** 1 is open; others are on their way out. */
  readonly readyState: number
  send(data: string | Uint8Array): void
  close(code?: number, reason?: string): void
  /** At most 16 KiB; it stays with the socket, not in the storage. */
  serializeAttachment(value: unknown): void
  deserializeAttachment(): unknown
}

export type SqlBinding = string | number | Uint8Array | null

export interface ObjectStorage {
  readonly sql: { exec(sql: string, ...values: SqlBinding[]): { toArray(): Row[] } }
  transactionSync<T>(work: () => T): T
  /** Unix milliseconds; replaces the one before. */
  setAlarm(at: number): Promise<void>
}

export interface ObjectState {
  readonly storage: ObjectStorage
  acceptWebSocket(socket: HibernatingSocket): void
  getWebSockets(): readonly HibernatingSocket[]
  /** Text that is answered by the runtime, without waking the object. */
  setWebSocketAutoResponse(pair?: unknown): void
}

interface Globals {
  readonly WebSocketPair: new () => { readonly 0: object; readonly 1: HibernatingSocket }
  readonly WebSocketRequestResponsePair: new (request: string, response: string) => unknown
}

export function workerdGlobals(): Globals {
  return globalThis as unknown as Globals
}

/** The response that upgrades: the client's end of a pair goes with it. */
export function upgradeResponse(client: object, protocol: string): Response {
  const init = { status: 101, headers: { 'sec-websocket-protocol': protocol }, webSocket: client }
  return new Response(null, init as ResponseInit)
}
