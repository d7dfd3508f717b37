/**
 * What drivers of v1.9 and of H2 say beyond the common commands (spec/06 §11.2, §11.3). Their opcodes overlap with
 * answers of the other line, never with its requests (spec/06 §11.4), but for 0x25, told apart by its payload.
 */
import { concat, lossyUtf8, utf8, viewOf } from '../../../core/bytes.ts'
import { WireError } from '../../../core/errors.ts'
import { encodeFrame } from './frame.ts'
import { encodeJson } from './json.ts'
import { OP } from './opcode.ts'

/** A way to a peer that a driver learned elsewhere. `network`: `tcp` or `turn`. */
export interface PeerEndpoint {
  readonly network: string
  readonly address: string
}

/** `data` and `payload` are views into the body. */
export type LaterMessage =
  | { readonly type: 'lookup-node'; readonly nodeId: number }
  | {
      readonly type: 'set-peer-endpoints'
      readonly nodeId: number
      readonly endpoints: readonly PeerEndpoint[]
    }
  | { readonly type: 'subscribe'; readonly topic: string }
  | { readonly type: 'unsubscribe'; readonly topic: string }
  | {
      readonly type: 'send-tracked'
      readonly id: number
      readonly sendId: bigint
      readonly data: Uint8Array
    }
  | { readonly type: 'sign-challenge'; readonly data: Uint8Array }
  | { readonly type: 'prefer-direct'; readonly nodeId: number }
  /** A JSON object, members as in spec/06 §11.3. */
  | {
      readonly type: 'submit-badge' | 'enroll-recovery' | 'sign-envelope' | 'verify-envelope'
      readonly members: Readonly<Record<string, unknown>>
    }

export const PEER_ENDPOINTS_MAX = 8
const CHALLENGE_BYTES_MAX = 4096

const JSON_REQUESTS = {
  'submit-badge': OP.submitBadge,
  'enroll-recovery': OP.enrollRecovery,
  'sign-envelope': OP.signEnvelope,
  'verify-envelope': OP.verifyEnvelope,
} as const

/** `undefined` for other opcodes. @throws {WireError} whose message is the text of the Error reply. */
export function decodeLaterMessage(opcode: number, payload: Uint8Array): LaterMessage | undefined {
  switch (opcode) {
    case OP.lookupNode: {
      if (payload.length < 4) throw truncated('lookup_node: missing node_id')
      return { type: 'lookup-node', nodeId: required(payload, 'lookup_node') }
    }
    case OP.setPeerEndpoints:
      return decodeEndpoints(payload)
    case OP.subscribe:
      return { type: 'subscribe', topic: decodeTopic(payload, 'subscribe') }
    case OP.unsubscribe:
      return { type: 'unsubscribe', topic: decodeTopic(payload, 'unsubscribe') }
    case OP.sendTracked: {
      if (payload.length < 12) throw truncated('send_tracked: missing conn_id or send_id')
      const view = viewOf(payload)
      const data = payload.subarray(12)
      return { type: 'send-tracked', id: view.getUint32(0), sendId: view.getBigUint64(4), data }
    }
    case OP.signChallenge:
      if (payload.length === 0) throw truncated('sign_challenge: payload is required')
      if (payload.length > CHALLENGE_BYTES_MAX)
        throw new WireError(
          'ERR_WIRE_LENGTH',
          `sign_challenge: payload exceeds ${CHALLENGE_BYTES_MAX} bytes`,
        )
      return { type: 'sign-challenge', data: payload }
    case OP.preferDirect:
      if (payload.length !== 4) throw truncated('prefer_direct: node_id is required')
      return { type: 'prefer-direct', nodeId: required(payload, 'prefer_direct') }
    case OP.submitBadge:
      return { type: 'submit-badge', members: decodeMembers(payload, 'submit_badge') }
    case OP.enrollRecovery:
      return { type: 'enroll-recovery', members: decodeMembers(payload, 'enroll_recovery') }
    case OP.signEnvelope:
      return { type: 'sign-envelope', members: decodeMembers(payload, 'sign_envelope') }
    case OP.verifyEnvelope:
      return { type: 'verify-envelope', members: decodeMembers(payload, 'verify_envelope') }
  }
  return undefined
}

/** A whole frame, length included. */
export function encodeLaterMessage(message: LaterMessage): Uint8Array {
  switch (message.type) {
    case 'lookup-node':
      return encodeFrame(OP.lookupNode, bytes32(message.nodeId))
    case 'prefer-direct':
      return encodeFrame(OP.preferDirect, bytes32(message.nodeId))
    case 'set-peer-endpoints': {
      const parts = [bytes32(message.nodeId), Uint8Array.of(message.endpoints.length)]
      for (const { network, address } of message.endpoints)
        for (const text of [utf8(network), utf8(address)])
          parts.push(Uint8Array.of(text.length), text)
      return encodeFrame(OP.setPeerEndpoints, concat(...parts))
    }
    case 'subscribe':
      return encodeFrame(OP.subscribe, encodeTopic(message.topic))
    case 'unsubscribe':
      return encodeFrame(OP.unsubscribe, encodeTopic(message.topic))
    case 'send-tracked':
      return encodeFrame(
        OP.sendTracked,
        concat(encodeSendIds(message.id, message.sendId), message.data),
      )
    case 'sign-challenge':
      return encodeFrame(OP.signChallenge, message.data)
    default:
      return encodeFrame(JSON_REQUESTS[message.type], utf8(encodeJson(message.members)))
  }
}

/** `topic_len:u16 topic`. */
export function encodeTopic(topic: string): Uint8Array {
  const text = utf8(topic)
  return concat(Uint8Array.of(text.length >>> 8, text.length), text)
}

/** `conn_id:u32 send_id:u64`. */
export function encodeSendIds(id: number, sendId: bigint): Uint8Array {
  const out = new Uint8Array(12)
  const view = viewOf(out)
  view.setUint32(0, id)
  view.setBigUint64(4, sendId)
  return out
}

function decodeTopic(payload: Uint8Array, label: string): string {
  if (payload.length < 2) throw truncated(`${label}: missing topic length`)
  const length = viewOf(payload).getUint16(0)
  const rest = payload.length - 2
  if (length > rest)
    throw truncated(
      `${label}: topic length ${length} overruns payload (${rest} bytes after header)`,
    )
  if (length === 0) throw new WireError('ERR_WIRE_VALUE', `${label}: empty topic`)
  return lossyUtf8(payload.subarray(2, 2 + length))
}

/** `node:u32 count:u8`, then `net_len:u8 net addr_len:u8 addr` each. */
function decodeEndpoints(payload: Uint8Array): LaterMessage {
  const label = 'set_peer_endpoints'
  if (payload.length < 5) throw truncated(`${label}: short header (${payload.length} bytes)`)
  const nodeId = viewOf(payload).getUint32(0)
  const count = payload[4]!
  if (count > PEER_ENDPOINTS_MAX)
    throw new WireError(
      'ERR_WIRE_VALUE',
      `${label}: too many endpoints (${count} > ${PEER_ENDPOINTS_MAX})`,
    )
  let at = 5
  const next = (what: string, index: number): string => {
    const end = at + 1 + (payload[at] ?? 0)
    if (at >= payload.length || end > payload.length)
      throw truncated(`${label}: truncated ${what} at endpoint ${index}`)
    const value = lossyUtf8(payload.subarray(at + 1, end))
    at = end
    return value
  }
  const endpoints: PeerEndpoint[] = []
  for (let i = 0; i < count; i++)
    endpoints.push({ network: next('network', i), address: next('address', i) })
  return { type: 'set-peer-endpoints', nodeId, endpoints }
}

function decodeMembers(payload: Uint8Array, label: string): Record<string, unknown> {
  let value: unknown
  try {
    value = JSON.parse(lossyUtf8(payload))
  } catch (error) {
    throw new WireError('ERR_WIRE_VALUE', `${label}: invalid JSON: ${(error as Error).message}`)
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new WireError('ERR_WIRE_VALUE', `${label}: invalid JSON: not an object`)
  return value as Record<string, unknown>
}

function required(payload: Uint8Array, label: string): number {
  const nodeId = viewOf(payload).getUint32(0)
  if (nodeId === 0) throw new WireError('ERR_WIRE_VALUE', `${label}: node_id is required`)
  return nodeId
}

function bytes32(value: number): Uint8Array {
  return Uint8Array.of(value >>> 24, value >>> 16, value >>> 8, value)
}

function truncated(text: string): WireError {
  return new WireError('ERR_WIRE_TRUNCATED', text)
}
