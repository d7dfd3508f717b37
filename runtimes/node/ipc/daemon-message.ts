/** What the daemon says to a driver (spec/06 §4): replies and pushes, both directions. */
import { utf8, viewOf } from '../../../core/bytes.ts'
import { WireError } from '../../../core/errors.ts'
import {
  ADDRESS_BYTES,
  decodeAddress,
  encodeAddress,
  type SocketAddress,
} from '../../../core/wire/address.ts'
import { encodeFrame } from './frame.ts'
import { encodeJson } from './json.ts'
import { decodeLaterReply, type LaterReply } from './later-reply.ts'
import { OP } from './opcode.ts'

/** `data` is a view into the decoded body. */
export type DaemonMessage =
  | { readonly type: 'bind-ok'; readonly port: number }
  | { readonly type: 'unbind-ok'; readonly port: number }
  | { readonly type: 'dial-ok'; readonly id: number }
  | {
      readonly type: 'accept'
      readonly localPort: number
      readonly id: number
      readonly remote: SocketAddress
    }
  | { readonly type: 'recv'; readonly id: number; readonly data: Uint8Array }
  | { readonly type: 'close-ok'; readonly id: number }
  | { readonly type: 'error'; readonly text: string }
  | {
      readonly type: 'recv-from'
      readonly source: SocketAddress
      readonly destinationPort: number
      readonly data: Uint8Array
    }
  /** Reply whose payload is JSON; `opcode` says to which request. */
  | { readonly type: 'json'; readonly opcode: number; readonly text: string }
  /** Reply without content (Broadcast, SendToConfirm). */
  | { readonly type: 'empty'; readonly opcode: number }
  /** Of this connection so many bytes, since its beginning, are in the daemon's send buffer (spec/10 §18). */
  | { readonly type: 'credit'; readonly id: number; readonly total: number }
  | LaterReply
  /** Something of a later version; to be ignored. */
  | { readonly type: 'unknown'; readonly opcode: number }

/** @throws {WireError} `ERR_WIRE_TRUNCATED` when a fixed part is cut short. */
export function decodeDaemonMessage(body: Uint8Array): DaemonMessage {
  const opcode = body[0] ?? 0
  const payload = body.subarray(1)
  const view = viewOf(payload)
  const need = (bytes: number, what: string): void => {
    if (payload.length < bytes)
      throw new WireError(
        'ERR_WIRE_TRUNCATED',
        `invalid ${what} payload: need ${bytes} bytes, got ${payload.length}`,
      )
  }
  switch (opcode) {
    case OP.bindOk:
      need(2, 'bind reply')
      return { type: 'bind-ok', port: view.getUint16(0) }
    case OP.unbindOk:
    case OP.unbindH2Ok:
      need(2, 'unbind reply')
      return { type: 'unbind-ok', port: view.getUint16(0) }
    case OP.dialOk:
      need(4, 'dial reply')
      return { type: 'dial-ok', id: view.getUint32(0) }
    case OP.accept:
      need(14, 'accept')
      return {
        type: 'accept',
        localPort: view.getUint16(0),
        id: view.getUint32(2),
        remote: { address: decodeAddress(payload, 6), port: view.getUint16(12) },
      }
    case OP.recv:
      need(4, 'recv')
      return { type: 'recv', id: view.getUint32(0), data: payload.subarray(4) }
    case OP.closeOk:
      need(4, 'close')
      return { type: 'close-ok', id: view.getUint32(0) }
    case OP.error:
      return { type: 'error', text: decoder.decode(payload.subarray(2)) }
    case OP.recvFrom:
      need(10, 'datagram')
      return {
        type: 'recv-from',
        source: { address: decodeAddress(payload), port: view.getUint16(ADDRESS_BYTES) },
        destinationPort: view.getUint16(ADDRESS_BYTES + 2),
        data: payload.subarray(ADDRESS_BYTES + 4),
      }
    case OP.credit:
      return { type: 'credit', ...decodeCredit(payload) }
    case OP.broadcastOk:
    case OP.sendToOk:
    case OP.flowOk:
      return { type: 'empty', opcode }
  }
  const later = decodeLaterReply(opcode, payload)
  if (later !== undefined) return later
  if (opcode === OP.unsubscribeOk && payload.length === 0) return { type: 'empty', opcode }
  return JSON_REPLIES.has(opcode)
    ? { type: 'json', opcode, text: decoder.decode(payload) }
    : { type: 'unknown', opcode }
}

export function encodeBindOk(port: number): Uint8Array {
  return encodeFrame(OP.bindOk, Uint8Array.of(port >>> 8, port))
}

export function encodeUnbindOk(port: number, dialect: 'v1.9' | 'h2'): Uint8Array {
  const opcode = dialect === 'h2' ? OP.unbindH2Ok : OP.unbindOk
  return encodeFrame(opcode, Uint8Array.of(port >>> 8, port))
}

export function encodeDialOk(id: number): Uint8Array {
  return encodeFrame(OP.dialOk, id32(id))
}

export function encodeCloseOk(id: number): Uint8Array {
  return encodeFrame(OP.closeOk, id32(id))
}

export function encodeAccept(localPort: number, id: number, remote: SocketAddress): Uint8Array {
  const payload = new Uint8Array(14)
  const view = viewOf(payload)
  view.setUint16(0, localPort)
  view.setUint32(2, id)
  encodeAddress(remote.address, view, 6)
  view.setUint16(12, remote.port)
  return encodeFrame(OP.accept, payload)
}

/** Code is always 1 (spec/06 §4). */
export function encodeError(text: string): Uint8Array {
  const message = utf8(text)
  const payload = new Uint8Array(2 + message.length)
  payload[1] = 1
  payload.set(message, 2)
  return encodeFrame(OP.error, payload)
}

export function encodeRecvFrom(
  source: SocketAddress,
  destinationPort: number,
  data: Uint8Array,
): Uint8Array {
  const payload = new Uint8Array(ADDRESS_BYTES + 4 + data.length)
  const view = viewOf(payload)
  encodeAddress(source.address, view, 0)
  view.setUint16(ADDRESS_BYTES, source.port)
  view.setUint16(ADDRESS_BYTES + 2, destinationPort)
  payload.set(data, ADDRESS_BYTES + 4)
  return encodeFrame(OP.recvFrom, payload)
}

/** One Recv frame of `pieces` in order; together at most 65535 bytes. */
export function encodeRecv(id: number, pieces: readonly Uint8Array[], length: number): Uint8Array {
  const out = Buffer.allocUnsafe(9 + length)
  out.writeUInt32BE(5 + length, 0)
  out[4] = OP.recv
  out.writeUInt32BE(id, 5)
  let at = 9
  for (const piece of pieces) {
    out.set(piece, at)
    at += piece.length
  }
  return out
}

/** What comes before the `length` bytes of a longer Recv. */
export function encodeRecvHeader(id: number, length: number): Uint8Array {
  const out = Buffer.allocUnsafe(9)
  out.writeUInt32BE(5 + length, 0)
  out[4] = OP.recv
  out.writeUInt32BE(id, 5)
  return out
}

/** The totals of `credit` (spec/10 §18). @throws {WireError} `ERR_WIRE_TRUNCATED`. */
export function decodeCredit(payload: Uint8Array): { readonly id: number; readonly total: number } {
  if (payload.length < 12)
    throw new WireError('ERR_WIRE_TRUNCATED', `invalid credit payload: need 12 bytes`)
  const view = viewOf(payload)
  return { id: view.getUint32(0), total: view.getUint32(4) * 2 ** 32 + view.getUint32(8) }
}

export function encodeCredit(id: number, total: number): Uint8Array {
  const payload = new Uint8Array(12)
  const view = viewOf(payload)
  view.setUint32(0, id)
  view.setUint32(4, Math.floor(total / 2 ** 32))
  view.setUint32(8, total % 2 ** 32)
  return encodeFrame(OP.credit, payload)
}

export function encodeJsonReply(opcode: number, value: unknown): Uint8Array {
  return encodeFrame(opcode, encoder.encode(encodeJson(value)))
}

export function encodeEmptyReply(opcode: number): Uint8Array {
  return encodeFrame(opcode)
}

const encoder = new TextEncoder()
const decoder = new TextDecoder('utf-8', { ignoreBOM: true })
const JSON_REPLIES: ReadonlySet<number> = new Set([
  OP.infoOk,
  OP.handshakeOk,
  OP.resolveHostnameOk,
  OP.setHostnameOk,
  OP.setVisibilityOk,
  OP.deregisterOk,
  OP.setTagsOk,
  OP.setWebhookOk,
  OP.setTaskExecOk,
  OP.networkOk,
  OP.healthOk,
  OP.managedOk,
  OP.rotateKeyOk,
  OP.lookupNodeOk,
  OP.signChallengeOk,
  OP.preferDirectOk,
  OP.submitBadgeOk,
  OP.enrollRecoveryOk,
  OP.signEnvelopeOk,
  OP.verifyEnvelopeOk,
])

function id32(id: number): Uint8Array {
  return Uint8Array.of(id >>> 24, id >>> 16, id >>> 8, id)
}
