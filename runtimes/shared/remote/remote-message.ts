/**
 * The messages between a node's host and its users: plain data, the same over a MessagePort, a Worker and a
 * BroadcastChannel. Scripts of the same origin can post anything, and another tab may run another version of
 * this program: what is not of this form is not acted upon.
 */
import type { SocketAddress } from '../../../core/index.ts'
import type { NodeEvent } from '../api.ts'
import type { StateUpdate } from './node-state.ts'
import type { PackedError } from './remote-error.ts'

/** Both ends speak the same one, or not at all. */
export const REMOTE_VERSION = 1

/** Bytes of one stream that may be on their way to either side, or wait there unread. */
export const STREAM_WINDOW_BYTES: number = 1 << 20
/** Largest piece of a stream in one message. */
export const STREAM_PIECE_BYTES: number = 1 << 18
/** Datagrams, and bytes of them, that the receiver of a lane has not confirmed; the newest is dropped. */
export const DATAGRAMS_MAX = 1024
export const DATAGRAM_BYTES_MAX: number = 8 << 20

export type RemoteMethod =
  | 'dial'
  | 'ping'
  | 'resolve'
  | 'setHostname'
  | 'setVisibility'
  | 'setTags'
  | 'setTaskExec'
  | 'deregister'
  | 'request'
  | 'requestSigned'
  | 'resolveHostname'
  | 'lookup'
  | 'requestTrust'
  | 'approveTrust'
  | 'rejectTrust'
  | 'revokeTrust'
  | 'waitTrust'
  | 'close'

export interface StreamHead {
  readonly id: number
  readonly local: SocketAddress
  readonly remote: SocketAddress
  readonly state: string
}

export type ToHost =
  | { readonly type: 'hello'; readonly version: number }
  | {
      readonly type: 'call'
      readonly id: number
      readonly method: string
      readonly args: readonly unknown[]
    }
  | { readonly type: 'cancel'; readonly id: number }
  | { readonly type: 'listen'; readonly id: number; readonly port: number }
  | { readonly type: 'unlisten'; readonly id: number }
  | { readonly type: 'datagram'; readonly to: SocketAddress; readonly data: Uint8Array }
  | { readonly type: 'subscribe'; readonly datagrams: boolean }
  /** Datagrams taken since the last word. */
  | { readonly type: 'taken'; readonly count: number; readonly bytes: number }
  /** Somebody looks at the getters: keep them fresh for a while. */
  | { readonly type: 'watch' }
  | { readonly type: 'close-connection'; readonly id: number }
  | StreamMessage
  | { readonly type: 'bye' }

/** Both ways. `credit`: so many bytes more may come. */
export type StreamMessage =
  | { readonly type: 'data'; readonly stream: number; readonly data: Uint8Array }
  | { readonly type: 'credit'; readonly stream: number; readonly bytes: number }
  | { readonly type: 'end'; readonly stream: number }
  | { readonly type: 'reset'; readonly stream: number }

export type ToUser =
  | { readonly type: 'welcome'; readonly version: number; readonly state: StateUpdate }
  /** Not served, or no longer. */
  | { readonly type: 'gone'; readonly error: PackedError }
  | {
      readonly type: 'result'
      readonly id: number
      readonly value: unknown
      readonly state: StateUpdate
    }
  | {
      readonly type: 'failed'
      readonly id: number
      readonly error: PackedError
      readonly state: StateUpdate
    }
  | { readonly type: 'listen-failed'; readonly id: number; readonly error: PackedError }
  | { readonly type: 'incoming'; readonly listener: number; readonly stream: StreamHead }
  | {
      readonly type: 'datagram'
      readonly source: SocketAddress
      readonly destinationPort: number
      readonly data: Uint8Array
    }
  | { readonly type: 'taken'; readonly count: number; readonly bytes: number }
  | { readonly type: 'event'; readonly event: NodeEvent; readonly state: StateUpdate }
  | { readonly type: 'state'; readonly state: StateUpdate }
  | { readonly type: 'stream-state'; readonly stream: number; readonly state: string }
  /** The connection is gone; the last word about it. */
  | {
      readonly type: 'closed'
      readonly stream: number
      readonly state: string
      readonly error: PackedError | undefined
    }
  | StreamMessage

type Fields = Readonly<Record<string, (value: unknown) => boolean>>

const HOST_FIELDS: Readonly<Record<ToHost['type'], Fields>> = {
  hello: { version: isCount },
  call: { id: isCount, method: isText, args: Array.isArray },
  cancel: { id: isCount },
  listen: { id: isCount, port: isCount },
  unlisten: { id: isCount },
  datagram: { to: isSocketAddress, data: isBytes },
  subscribe: { datagrams: isBoolean },
  taken: { count: isCount, bytes: isCount },
  watch: {},
  'close-connection': { id: isCount },
  data: { stream: isCount, data: isBytes },
  credit: { stream: isCount, bytes: isCount },
  end: { stream: isCount },
  reset: { stream: isCount },
  bye: {},
}

const USER_FIELDS: Readonly<Record<ToUser['type'], Fields>> = {
  welcome: { version: isCount, state: isRecord },
  gone: { error: isRecord },
  result: { id: isCount, state: isRecord },
  failed: { id: isCount, error: isRecord, state: isRecord },
  'listen-failed': { id: isCount, error: isRecord },
  incoming: { listener: isCount, stream: isStreamHead },
  datagram: { source: isSocketAddress, destinationPort: isCount, data: isBytes },
  taken: { count: isCount, bytes: isCount },
  event: { event: isRecord, state: isRecord },
  state: { state: isRecord },
  'stream-state': { stream: isCount, state: isText },
  closed: { stream: isCount, state: isText },
  data: { stream: isCount, data: isBytes },
  credit: { stream: isCount, bytes: isCount },
  end: { stream: isCount },
  reset: { stream: isCount },
}

/** `undefined` for what is no message to a host. */
export function parseToHost(message: unknown): ToHost | undefined {
  return parse(message, HOST_FIELDS) as ToHost | undefined
}

/** `undefined` for what is no message to a user. */
export function parseToUser(message: unknown): ToUser | undefined {
  return parse(message, USER_FIELDS) as ToUser | undefined
}

function parse(message: unknown, table: Readonly<Record<string, Fields>>): unknown {
  if (!isRecord(message) || typeof message.type !== 'string') return undefined
  if (!Object.hasOwn(table, message.type)) return undefined
  const fields = table[message.type]!
  for (const name of Object.keys(fields)) if (!fields[name]!(message[name])) return undefined
  return message
}

export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

export function isSocketAddress(value: unknown): value is SocketAddress {
  return (
    isRecord(value) &&
    isRecord(value.address) &&
    isWithin(value.address.network, 0xffff) &&
    isWithin(value.address.node, 0xffffffff) &&
    isWithin(value.port, 0xffff)
  )
}

export function isStreamHead(value: unknown): value is StreamHead {
  return (
    isRecord(value) &&
    isCount(value.id) &&
    isSocketAddress(value.local) &&
    isSocketAddress(value.remote) &&
    isText(value.state)
  )
}

export function isWithin(value: unknown, max: number): value is number {
  return typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= max
}

export function isCount(value: unknown): value is number {
  return isWithin(value, Number.MAX_SAFE_INTEGER)
}

export function isText(value: unknown): value is string {
  return typeof value === 'string'
}

export function isBoolean(value: unknown): value is boolean {
  return typeof value === 'boolean'
}

function isBytes(value: unknown): value is Uint8Array {
  return value instanceof Uint8Array
}
