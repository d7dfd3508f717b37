/** Trust messages on port 444: one JSON object per stream (spec/03 §D.1). */
import { fromBase64, fromUtf8, toBase64, utf8 } from '../bytes.ts'
import type { CryptoProvider } from '../crypto/provider.ts'
import { UsageError, WireError } from '../errors.ts'
import { handshakeChallenge } from '../wire/registry-challenge.ts'

export type HandshakeType =
  | 'handshake_request'
  | 'handshake_accept'
  | 'handshake_reject'
  | 'handshake_revoke'

export interface HandshakeMessage {
  readonly type: HandshakeType
  readonly nodeId: number // sender, uint32
  /** Sender's Ed25519 key, base64; `''` when it sent none. */
  readonly publicKey: string
  readonly justification: string
  /** Base64; `''` when it sent none. */
  readonly signature: string
  readonly reason: string
  /** Unix seconds. */
  readonly timestamp: number
}

/** Keeps the whole message in one segment of every generation (spec/03 §D.1). UTF-8 bytes. */
export const JUSTIFICATION_BYTES_MAX = 700
/** A receiver gathers no more than this. */
export const HANDSHAKE_BYTES_MAX = 65_536

const TYPES: readonly string[] = [
  'handshake_request',
  'handshake_accept',
  'handshake_reject',
  'handshake_revoke',
] satisfies HandshakeType[]

export interface HandshakeContent {
  readonly type: HandshakeType
  readonly text: string
  readonly timestamp: number
}

/** Not signed yet: what is to be signed is `handshakeChallenge` (spec/03 §D.1). @throws {UsageError} `ERR_INVALID_ARGUMENT` when the text exceeds 700 bytes. */
export function createHandshakeMessage(
  publicKey: Uint8Array,
  senderId: number,
  { type, text, timestamp }: HandshakeContent,
): HandshakeMessage {
  const bytes = utf8(text).length
  if (bytes > JUSTIFICATION_BYTES_MAX)
    throw new UsageError(
      'ERR_INVALID_ARGUMENT',
      `the text of a trust message has at most ${JUSTIFICATION_BYTES_MAX} bytes, got ${bytes}`,
    )
  return {
    type,
    nodeId: senderId,
    publicKey: toBase64(publicKey),
    justification: type === 'handshake_request' ? text : '',
    signature: '',
    reason: type === 'handshake_request' ? '' : text,
    timestamp,
  }
}

/** UTF-8 JSON, the reference's member order and escapes. */
export function encodeHandshakeMessage(message: HandshakeMessage): Uint8Array {
  return utf8(
    goJson({
      type: message.type,
      node_id: message.nodeId,
      public_key: message.publicKey,
      justification: message.justification,
      signature: message.signature,
      reason: message.reason,
      timestamp: message.timestamp,
    }),
  )
}

/** JSON as Go writes it: `<`, `>`, `&`, U+2028 and U+2029 escaped. */
export function goJson(value: unknown, indent?: number): string {
  return JSON.stringify(value, undefined, indent).replace(
    /[<>&\u2028\u2029]/g,
    (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`,
  )
}

/**
 * Missing members are empty or 0, unknown ones ignored; names match without case, as in the reference.
 *
 * @throws {WireError} `ERR_WIRE_VALUE` for anything but a JSON object with a known type, a uint32 sender
 * and strings where strings belong; `ERR_WIRE_LENGTH` above 64 KiB.
 */
export function decodeHandshakeMessage(bytes: Uint8Array): HandshakeMessage {
  if (bytes.length > HANDSHAKE_BYTES_MAX)
    throw new WireError('ERR_WIRE_LENGTH', `trust message of ${bytes.length} bytes`)
  const text = fromUtf8(bytes)
  let json: unknown
  try {
    json = JSON.parse(text ?? '')
  } catch {
    throw new WireError('ERR_WIRE_VALUE', 'trust message is not JSON')
  }
  if (typeof json !== 'object' || json === null || Array.isArray(json))
    throw new WireError('ERR_WIRE_VALUE', 'trust message is not a JSON object')
  const members = new Map(Object.entries(json).map(([name, value]) => [name.toLowerCase(), value]))
  const string = (name: string): string => {
    const value = members.get(name) ?? ''
    if (typeof value !== 'string')
      throw new WireError('ERR_WIRE_VALUE', `"${name}" is not a string`)
    return value
  }
  const integer = (name: string, max: number): number => {
    const value = members.get(name) ?? 0
    if (!Number.isSafeInteger(value) || (value as number) < 0 || (value as number) > max)
      throw new WireError('ERR_WIRE_VALUE', `"${name}" is not an integer of 0 to ${max}`)
    return value as number
  }
  const type = string('type')
  if (!TYPES.includes(type)) throw new WireError('ERR_WIRE_TYPE', 'unknown trust message type')
  return {
    type: type as HandshakeType,
    nodeId: integer('node_id', 0xffffffff),
    publicKey: string('public_key'),
    justification: string('justification'),
    signature: string('signature'),
    reason: string('reason'),
    timestamp: integer('timestamp', Number.MAX_SAFE_INTEGER),
  }
}

/** True when `message` is signed for `receiverId` by `senderKey` (32 bytes) and names no other key. */
export function verifyHandshakeMessage(
  crypto: CryptoProvider,
  message: HandshakeMessage,
  receiverId: number,
  senderKey: Uint8Array,
): boolean {
  if (message.publicKey !== '' && message.publicKey !== toBase64(senderKey)) return false
  const signature = fromBase64(message.signature)
  if (signature === undefined) return false
  const challenge = utf8(handshakeChallenge(message.nodeId, receiverId))
  return crypto.ed25519Verify(senderKey, challenge, signature)
}

/** True once `bytes` hold one complete JSON value or can never become one: reading may stop. */
export function isHandshakeComplete(bytes: Uint8Array): boolean {
  let depth = 0
  let inString = false
  for (let i = 0; i < bytes.length; i++) {
    const byte = bytes[i]!
    if (inString) {
      if (byte === 0x5c) i++
      else if (byte === 0x22) inString = false
    } else if (byte === 0x22) inString = true
    else if (byte === 0x7b) depth++
    else if (byte === 0x7d && --depth <= 0) return true
    else if (depth === 0 && byte > 0x20) return true
  }
  return false
}
