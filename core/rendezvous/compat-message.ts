/**
 * The text messages that open a WebSocket to a beacon, the text they sign, and the numbers of that door
 * (spec/09). Everything after `auth_ok` is binary: one beacon message each, as over UDP.
 */
import { fromBase64, toBase64 } from '../bytes.ts'
import { WireError } from '../errors.ts'

export const COMPAT_PATH = '/v1/compat'
export const COMPAT_PROTOCOL = 'pilot.v1'
/** Our own second door: registry frames over a WebSocket (spec/10 §7). */
export const REGISTRY_PATH = '/v1/registry'
export const REGISTRY_PROTOCOL = 'pilot.registry.v1'
/** A question for a sign of life, and its answer, where `auth_ok` has said so. */
export const COMPAT_ALIVE = '{"type":"alive"}'
/** Largest message either side takes, in bytes (spec/09). */
export const COMPAT_MESSAGE_MAX = 65_536
/** Close codes and the reasons that go with them (spec/09, RFC 6455 §7.4.1). */
export const COMPAT_CLOSE = {
  replaced: { code: 1000, reason: 'replaced' },
  goingAway: { code: 1001, reason: 'going away' },
  idle: { code: 1001, reason: 'idle' },
  authFailed: { code: 1008, reason: 'auth failed' },
  tooLarge: { code: 1009, reason: 'message too large' },
  tryLater: { code: 1013, reason: 'try again later' },
} as const

export type CompatMessage =
  | {
      readonly type: 'auth_challenge'
      /** 32 bytes as 64 hex digits, signed as received. */
      readonly nonce: string
      /** Unix seconds; absent in the older form, whose signed text has no time. */
      readonly ts?: number
    }
  | {
      readonly type: 'auth_reply'
      /** uint32, never 0. */
      readonly nodeId: number
      /** Base64, for information only: what counts is the registered key. */
      readonly publicKey: string
      /** 64 bytes. */
      readonly signature: Uint8Array
    }
  | {
      readonly type: 'auth_ok'
      /** The text `COMPAT_ALIVE` is answered by itself, without anybody being woken for it (spec/10 §8). */
      readonly alive?: true
    }

/** No message of this kind is longer; longer text is refused unread. */
const TEXT_MAX = 4096
const NONCE = /^[0-9a-fA-F]{64}$/

/** JSON in one text message of the WebSocket (spec/09). */
export function encodeCompatMessage(message: CompatMessage): string {
  switch (message.type) {
    case 'auth_challenge':
    case 'auth_ok':
      return JSON.stringify(message)
    case 'auth_reply':
      return JSON.stringify({
        type: message.type,
        node_id: message.nodeId,
        public_key: message.publicKey,
        sig: toBase64(message.signature),
      })
  }
}

/**
 * Unknown members are ignored.
 *
 * @throws {WireError} `ERR_WIRE_LENGTH` above 4096 characters, `ERR_WIRE_TYPE` for an unknown type,
 * `ERR_WIRE_VALUE` for anything else that does not fit.
 */
export function decodeCompatMessage(text: string): CompatMessage {
  if (text.length > TEXT_MAX)
    throw new WireError('ERR_WIRE_LENGTH', `at most ${TEXT_MAX} characters, got ${text.length}`)
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    throw new WireError('ERR_WIRE_VALUE', 'not JSON')
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new WireError('ERR_WIRE_VALUE', 'not a JSON object')
  const members = value as Readonly<Record<string, unknown>>
  switch (members.type) {
    case 'auth_challenge':
      return decodeChallenge(members)
    case 'auth_reply':
      return decodeReply(members)
    case 'auth_ok':
      return members.alive === true ? { type: 'auth_ok', alive: true } : { type: 'auth_ok' }
    default:
      throw new WireError('ERR_WIRE_TYPE', 'unknown type of authentication message')
  }
}

/** The ASCII text that `auth_reply` signs. Without `ts` the form from before beacon v0.2.6. */
export function compatChallenge(nodeId: number, nonce: string, ts: number | undefined): string {
  return ts === undefined
    ? `compat_auth:${nodeId}:${nonce}`
    : `compat_auth:${nodeId}:${ts}:${nonce}`
}

/** A nonce that is not hex is refused: it could make the signed text mean something else. */
function decodeChallenge({ nonce, ts }: Readonly<Record<string, unknown>>): CompatMessage {
  if (typeof nonce !== 'string' || !NONCE.test(nonce))
    throw new WireError('ERR_WIRE_VALUE', 'a challenge has a nonce of 64 hex digits')
  if (ts === undefined) return { type: 'auth_challenge', nonce }
  if (typeof ts !== 'number' || !Number.isSafeInteger(ts) || ts < 0)
    throw new WireError('ERR_WIRE_VALUE', 'the time of a challenge is in whole Unix seconds')
  return { type: 'auth_challenge', nonce, ts }
}

function decodeReply(members: Readonly<Record<string, unknown>>): CompatMessage {
  const { node_id: nodeId, public_key: publicKey, sig } = members
  if (typeof nodeId !== 'number' || !Number.isInteger(nodeId) || nodeId < 1 || nodeId > 0xffffffff)
    throw new WireError('ERR_WIRE_VALUE', 'a node id is 1 to 2^32-1')
  const signature = typeof sig === 'string' ? fromBase64(sig) : undefined
  if (signature?.length !== 64)
    throw new WireError('ERR_WIRE_VALUE', 'a signature is base64 of 64 bytes')
  return {
    type: 'auth_reply',
    nodeId,
    publicKey: typeof publicKey === 'string' ? publicKey : '',
    signature,
  }
}
