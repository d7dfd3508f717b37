/**
 * What a driver says to the daemon (spec/06 §4, §5, §11): decoded bodies and encoded frames. Texts of
 * decode errors are the Error replies of the sheet, word for word.
 */
import { utf8, viewOf } from '../../../core/bytes.ts'
import { WireError } from '../../../core/errors.ts'
import {
  ADDRESS_BYTES,
  type Address,
  decodeAddress,
  encodeAddress,
  type SocketAddress,
} from '../../../core/wire/address.ts'
import { decodeCredit, encodeCredit } from './daemon-message.ts'
import { encodeFrame, FRAME_HEADER_BYTES } from './frame.ts'
import { encodeJson } from './json.ts'
import { decodeLaterMessage, encodeLaterMessage, type LaterMessage } from './later-message.ts'
import { HANDSHAKE, NETWORK, OP } from './opcode.ts'

/** `data` of a decoded message is a view into the body. */
export type DriverMessage =
  | { readonly type: 'bind'; readonly port: number }
  | { readonly type: 'dial'; readonly to: SocketAddress }
  | { readonly type: 'send'; readonly id: number; readonly data: Uint8Array }
  | { readonly type: 'close'; readonly id: number }
  | { readonly type: 'send-to'; readonly to: SocketAddress; readonly data: Uint8Array }
  | { readonly type: 'send-to-confirm'; readonly to: SocketAddress; readonly data: Uint8Array }
  | { readonly type: 'info' }
  | { readonly type: 'health' }
  | { readonly type: 'deregister' }
  | { readonly type: 'rotate-key' }
  /** Credits from now on, in both directions (spec/10 §18). */
  | { readonly type: 'flow' }
  /** Of this connection so many bytes, since its beginning, were read by the program. */
  | { readonly type: 'credit'; readonly id: number; readonly total: number }
  | LaterMessage
  | { readonly type: 'cancel' }
  | { readonly type: 'trust-request'; readonly nodeId: number; readonly justification: string }
  | { readonly type: 'trust-approve'; readonly nodeId: number }
  | { readonly type: 'trust-reject'; readonly nodeId: number; readonly reason: string }
  | { readonly type: 'trust-revoke'; readonly nodeId: number }
  | { readonly type: 'trust-pending' }
  | { readonly type: 'trust-list' }
  | { readonly type: 'trust-wait'; readonly nodeId: number; readonly timeoutMs: number }
  | { readonly type: 'resolve-hostname'; readonly hostname: string }
  | { readonly type: 'set-hostname'; readonly hostname: string }
  | { readonly type: 'set-visibility'; readonly isPublic: boolean }
  | { readonly type: 'set-tags'; readonly tags: readonly string[] }
  | { readonly type: 'set-webhook'; readonly url: string }
  | { readonly type: 'set-task-exec'; readonly enabled: boolean }
  | { readonly type: 'network-list' }
  | { readonly type: 'network-poll-invites' }
  | { readonly type: 'network-join'; readonly network: number; readonly token: string }
  | { readonly type: 'network-leave'; readonly network: number }
  | { readonly type: 'network-members'; readonly network: number }
  | { readonly type: 'network-invite'; readonly network: number; readonly nodeId: number }
  | { readonly type: 'network-respond'; readonly network: number; readonly accept: boolean }
  /** `rest`: payload after the sub-command. */
  | { readonly type: 'managed'; readonly sub: number; readonly rest: Uint8Array }
  /** `dialect`: which of the two numbers of Unbind was, or is to be, used. */
  | { readonly type: 'unbind'; readonly port: number; readonly dialect: 'v1.9' | 'h2' }
  | {
      readonly type: 'broadcast'
      readonly network: number
      readonly port: number
      readonly token: string
      readonly data: Uint8Array
    }

/**
 * @throws {WireError} `ERR_WIRE_TYPE` for an opcode that is no request, `ERR_WIRE_TRUNCATED` and
 * `ERR_WIRE_VALUE` for a bad payload. The message is the text of the Error reply.
 */
export function decodeDriverMessage(body: Uint8Array): DriverMessage {
  const opcode = body[0] ?? 0
  const payload = body.subarray(1)
  switch (opcode) {
    case OP.bind:
      return { type: 'bind', port: u16(payload, 'bind: missing port') }
    case OP.dial:
      return { type: 'dial', to: socketAddress(payload, 'dial: missing address/port') }
    case OP.send: {
      const id = u32(payload, 'send: missing conn_id')
      return { type: 'send', id, data: payload.subarray(4) }
    }
    case OP.close:
      return { type: 'close', id: u32(payload, 'close: missing conn_id') }
    case OP.sendTo:
    case OP.sendToConfirm: {
      const to = socketAddress(payload, 'sendto: missing address/port')
      const data = payload.subarray(SOCKET_ADDRESS_BYTES)
      return { type: opcode === OP.sendTo ? 'send-to' : 'send-to-confirm', to, data }
    }
    case OP.info:
      return { type: 'info' }
    case OP.health:
      return { type: 'health' }
    case OP.deregister:
      return { type: 'deregister' }
    case OP.cancel:
      return { type: 'cancel' }
    case OP.rotateKey:
      if (payload.length === 0) return { type: 'rotate-key' }
      break
    case OP.handshake:
      return decodeHandshake(payload)
    case OP.resolveHostname:
      if (payload.length === 0) throw truncated('resolve_hostname: missing hostname')
      return { type: 'resolve-hostname', hostname: text(payload) }
    case OP.setHostname:
      return { type: 'set-hostname', hostname: text(payload) }
    case OP.setVisibility:
      return { type: 'set-visibility', isPublic: flag(payload, 'set_visibility: missing value') }
    case OP.setTags:
      return { type: 'set-tags', tags: decodeTags(payload) }
    case OP.setWebhook:
      return { type: 'set-webhook', url: text(payload) }
    case OP.setTaskExec:
      return { type: 'set-task-exec', enabled: flag(payload, 'set_task_exec: missing value') }
    case OP.network:
      return decodeNetwork(payload)
    case OP.managed:
      if (payload.length === 0) throw truncated('managed: missing sub-command')
      return { type: 'managed', sub: payload[0]!, rest: payload.subarray(1) }
    case OP.unbind:
      return { type: 'unbind', port: u16(payload, 'unbind: missing port'), dialect: 'v1.9' }
    case OP.unbindH2:
      if (payload.length !== 2) throw truncated('unbind: port is required')
      return { type: 'unbind', port: viewOf(payload).getUint16(0), dialect: 'h2' }
    case OP.broadcast:
      return decodeBroadcast(payload)
    case OP.flow:
      return { type: 'flow' }
    case OP.credit:
      return { type: 'credit', ...decodeCredit(payload) }
  }
  const later = decodeLaterMessage(opcode, payload)
  if (later === undefined) throw unknown(opcode)
  return later
}

/** A whole frame, length included. */
export function encodeDriverMessage(message: DriverMessage): Uint8Array {
  switch (message.type) {
    case 'bind':
      return encodeFrame(OP.bind, bytes16(message.port))
    case 'dial':
      return withAddress(OP.dial, message.to)
    case 'send':
      return withId(OP.send, message.id, message.data)
    case 'close':
      return withId(OP.close, message.id)
    case 'send-to':
      return withAddress(OP.sendTo, message.to, message.data)
    case 'send-to-confirm':
      return withAddress(OP.sendToConfirm, message.to, message.data)
    case 'info':
      return encodeFrame(OP.info)
    case 'health':
      return encodeFrame(OP.health)
    case 'deregister':
      return encodeFrame(OP.deregister)
    case 'cancel':
      return encodeFrame(OP.cancel)
    case 'flow':
      return encodeFrame(OP.flow)
    case 'credit':
      return encodeCredit(message.id, message.total)
    case 'rotate-key':
      return encodeFrame(OP.rotateKey)
    case 'trust-request':
      return handshake(HANDSHAKE.request, bytes32(message.nodeId), utf8(message.justification))
    case 'trust-approve':
      return handshake(HANDSHAKE.approve, bytes32(message.nodeId))
    case 'trust-reject':
      return handshake(HANDSHAKE.reject, bytes32(message.nodeId), utf8(message.reason))
    case 'trust-revoke':
      return handshake(HANDSHAKE.revoke, bytes32(message.nodeId))
    case 'trust-wait':
      return handshake(HANDSHAKE.wait, bytes32(message.nodeId), bytes32(message.timeoutMs))
    case 'trust-pending':
      return handshake(HANDSHAKE.pending)
    case 'trust-list':
      return handshake(HANDSHAKE.trusted)
    case 'resolve-hostname':
      return encodeFrame(OP.resolveHostname, utf8(message.hostname))
    case 'set-hostname':
      return encodeFrame(OP.setHostname, utf8(message.hostname))
    case 'set-visibility':
      return encodeFrame(OP.setVisibility, Uint8Array.of(message.isPublic ? 1 : 0))
    case 'set-tags':
      return encodeFrame(OP.setTags, utf8(encodeJson(message.tags)))
    case 'set-webhook':
      return encodeFrame(OP.setWebhook, utf8(message.url))
    case 'set-task-exec':
      return encodeFrame(OP.setTaskExec, Uint8Array.of(message.enabled ? 1 : 0))
    case 'network-list':
      return network(NETWORK.list)
    case 'network-poll-invites':
      return network(NETWORK.pollInvites)
    case 'network-join':
      return network(NETWORK.join, bytes16(message.network), utf8(message.token))
    case 'network-leave':
      return network(NETWORK.leave, bytes16(message.network))
    case 'network-members':
      return network(NETWORK.members, bytes16(message.network))
    case 'network-invite':
      return network(NETWORK.invite, bytes16(message.network), bytes32(message.nodeId))
    case 'network-respond':
      return network(
        NETWORK.respondInvite,
        bytes16(message.network),
        Uint8Array.of(message.accept ? 1 : 0),
      )
    case 'managed':
      return encodeFrame(OP.managed, join(Uint8Array.of(message.sub), message.rest))
    case 'unbind':
      return encodeFrame(message.dialect === 'h2' ? OP.unbindH2 : OP.unbind, bytes16(message.port))
    case 'broadcast': {
      const token = utf8(message.token)
      return encodeFrame(
        OP.broadcast,
        join(
          bytes16(message.network),
          bytes16(message.port),
          bytes16(token.length),
          token,
          message.data,
        ),
      )
    }
    default:
      return encodeLaterMessage(message)
  }
}

/** Frame header, id and room for nothing: written before the data of a Send or Recv of `length` bytes. */
export function encodeStreamHeader(opcode: number, id: number, length: number): Uint8Array {
  const out = new Uint8Array(FRAME_HEADER_BYTES + 4)
  const view = viewOf(out)
  view.setUint32(0, 5 + length)
  out[4] = opcode
  view.setUint32(FRAME_HEADER_BYTES, id)
  return out
}

function decodeHandshake(payload: Uint8Array): DriverMessage {
  if (payload.length === 0) throw truncated('handshake: missing sub-command')
  const rest = payload.subarray(1)
  const nodeId = (verb: string): number => u32(rest, `handshake ${verb}: missing node_id`)
  switch (payload[0]) {
    case HANDSHAKE.request: {
      const id = nodeId('request')
      return { type: 'trust-request', nodeId: id, justification: text(rest.subarray(4)) }
    }
    case HANDSHAKE.approve:
      return { type: 'trust-approve', nodeId: nodeId('approve') }
    case HANDSHAKE.reject: {
      const id = nodeId('reject')
      return { type: 'trust-reject', nodeId: id, reason: text(rest.subarray(4)) }
    }
    case HANDSHAKE.pending:
      return { type: 'trust-pending' }
    case HANDSHAKE.trusted:
      return { type: 'trust-list' }
    case HANDSHAKE.revoke:
      return { type: 'trust-revoke', nodeId: nodeId('revoke') }
    case HANDSHAKE.wait: {
      const id = nodeId('wait')
      return {
        type: 'trust-wait',
        nodeId: id,
        timeoutMs: u32(rest.subarray(4), 'handshake wait: missing timeout'),
      }
    }
    default:
      throw new WireError('ERR_WIRE_VALUE', `handshake: unknown sub-command 0x${hex2(payload[0]!)}`)
  }
}

function decodeNetwork(payload: Uint8Array): DriverMessage {
  if (payload.length === 0) throw truncated('network: missing sub-command')
  const rest = payload.subarray(1)
  switch (payload[0]) {
    case NETWORK.list:
      return { type: 'network-list' }
    case NETWORK.join: {
      const id = u16(rest, 'network join: missing network_id')
      return { type: 'network-join', network: id, token: text(rest.subarray(2)) }
    }
    case NETWORK.leave:
      return { type: 'network-leave', network: u16(rest, 'network leave: missing network_id') }
    case NETWORK.members:
      return { type: 'network-members', network: u16(rest, 'network members: missing network_id') }
    case NETWORK.invite: {
      if (rest.length < 6) throw truncated('network invite: missing network_id or target_node_id')
      const view = viewOf(rest)
      return { type: 'network-invite', network: view.getUint16(0), nodeId: view.getUint32(2) }
    }
    case NETWORK.pollInvites:
      return { type: 'network-poll-invites' }
    case NETWORK.respondInvite: {
      if (rest.length < 3)
        throw truncated('network respond-invite: missing network_id or accept flag')
      return {
        type: 'network-respond',
        network: viewOf(rest).getUint16(0),
        accept: rest[2] === 1,
      }
    }
    default:
      throw new WireError('ERR_WIRE_VALUE', `network: unknown sub-command 0x${hex2(payload[0]!)}`)
  }
}

function decodeBroadcast(payload: Uint8Array): DriverMessage {
  if (payload.length < 6) throw truncated('broadcast: missing network, port or token length')
  const view = viewOf(payload)
  const tokenEnd = 6 + view.getUint16(4)
  if (payload.length < tokenEnd) throw truncated('broadcast: token overruns payload')
  return {
    type: 'broadcast',
    network: view.getUint16(0),
    port: view.getUint16(2),
    token: text(payload.subarray(6, tokenEnd)),
    data: payload.subarray(tokenEnd),
  }
}

function decodeTags(payload: Uint8Array): readonly string[] {
  const invalid = (detail: string): WireError =>
    new WireError('ERR_WIRE_VALUE', `set_tags: invalid JSON: ${detail}`)
  let value: unknown
  try {
    value = JSON.parse(text(payload))
  } catch (error) {
    throw invalid(error instanceof Error ? error.message : 'not JSON')
  }
  if (value === null) return []
  if (!Array.isArray(value) || !value.every((tag) => typeof tag === 'string'))
    throw invalid('expected an array of strings')
  if (value.length > 3) throw new WireError('ERR_WIRE_VALUE', 'set_tags: maximum 3 tags allowed')
  return value
}

const SOCKET_ADDRESS_BYTES = ADDRESS_BYTES + 2
const decoder = new TextDecoder('utf-8', { ignoreBOM: true })

function text(bytes: Uint8Array): string {
  return decoder.decode(bytes)
}

function u16(payload: Uint8Array, missing: string): number {
  if (payload.length < 2) throw truncated(missing)
  return viewOf(payload).getUint16(0)
}

function u32(payload: Uint8Array, missing: string): number {
  if (payload.length < 4) throw truncated(missing)
  return viewOf(payload).getUint32(0)
}

/** Only 1 means true (spec/06 §12). */
function flag(payload: Uint8Array, missing: string): boolean {
  if (payload.length < 1) throw truncated(missing)
  return payload[0] === 1
}

function socketAddress(payload: Uint8Array, missing: string): SocketAddress {
  if (payload.length < SOCKET_ADDRESS_BYTES) throw truncated(missing)
  const address: Address = decodeAddress(payload)
  return { address, port: viewOf(payload).getUint16(ADDRESS_BYTES) }
}

function truncated(message: string): WireError {
  return new WireError('ERR_WIRE_TRUNCATED', message)
}

function unknown(opcode: number): WireError {
  return new WireError('ERR_WIRE_TYPE', `unknown command: 0x${hex2(opcode)}`)
}

function hex2(value: number): string {
  return value.toString(16).toUpperCase().padStart(2, '0')
}

function bytes16(value: number): Uint8Array {
  return Uint8Array.of(value >>> 8, value)
}

function bytes32(value: number): Uint8Array {
  return Uint8Array.of(value >>> 24, value >>> 16, value >>> 8, value)
}

function join(...parts: readonly Uint8Array[]): Uint8Array {
  return parts.length === 1 ? parts[0]! : Uint8Array.from(Buffer.concat(parts))
}

function handshake(sub: number, ...parts: readonly Uint8Array[]): Uint8Array {
  return encodeFrame(OP.handshake, join(Uint8Array.of(sub), ...parts))
}

function network(sub: number, ...parts: readonly Uint8Array[]): Uint8Array {
  return encodeFrame(OP.network, join(Uint8Array.of(sub), ...parts))
}

function withId(opcode: number, id: number, data: Uint8Array = new Uint8Array(0)): Uint8Array {
  return join(encodeStreamHeader(opcode, id, data.length), data)
}

function withAddress(opcode: number, to: SocketAddress, data?: Uint8Array): Uint8Array {
  const payload = new Uint8Array(SOCKET_ADDRESS_BYTES + (data?.length ?? 0))
  const view = viewOf(payload)
  encodeAddress(to.address, view, 0)
  view.setUint16(ADDRESS_BYTES, to.port)
  if (data !== undefined) payload.set(data, SOCKET_ADDRESS_BYTES)
  return encodeFrame(opcode, payload)
}
