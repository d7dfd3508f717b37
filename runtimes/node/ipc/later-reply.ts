/** What the daemon says to drivers of v1.9 beyond the common replies (spec/06 §11.2), both directions. */
import { concat, lossyUtf8, utf8, viewOf } from '../../../core/bytes.ts'
import { WireError } from '../../../core/errors.ts'
import { encodeFrame } from './frame.ts'
import { encodeSendIds, encodeTopic } from './later-message.ts'
import { OP } from './opcode.ts'

/** What became of a Send: the codes of v1.9. `ok` is taken into the send buffer, not acknowledged by the peer. */
export const SEND_RESULT = { ok: 0, notFound: 1, notEstablished: 2, closing: 3, failed: 4 } as const
export type SendResultCode = (typeof SEND_RESULT)[keyof typeof SEND_RESULT]

export type LaterReply =
  /** The answer, with what is so now. */
  | { readonly type: 'subscribed'; readonly topic: string; readonly payload: Uint8Array }
  /** Pushed to subscribers. */
  | { readonly type: 'notify'; readonly topic: string; readonly payload: Uint8Array }
  | {
      readonly type: 'send-result'
      readonly id: number
      readonly code: number
      readonly text: string
    }
  | {
      readonly type: 'tracked-result'
      readonly id: number
      readonly sendId: bigint
      readonly code: number
      readonly text: string
    }

/** `undefined` for other opcodes. @throws {WireError} `ERR_WIRE_TRUNCATED`. */
export function decodeLaterReply(opcode: number, payload: Uint8Array): LaterReply | undefined {
  const view = viewOf(payload)
  const need = (bytes: number): void => {
    if (payload.length < bytes)
      throw new WireError('ERR_WIRE_TRUNCATED', `need ${bytes} bytes, got ${payload.length}`)
  }
  switch (opcode) {
    case OP.subscribeOk:
    case OP.notify: {
      // H2 answers SignEnvelope under the number of Notify, always with a JSON object.
      if (opcode === OP.notify && payload[0] === 0x7b) return undefined
      need(2)
      const end = 2 + view.getUint16(0)
      need(end + 4)
      const length = view.getUint32(end)
      need(end + 4 + length)
      const type = opcode === OP.notify ? 'notify' : 'subscribed'
      return {
        type,
        topic: lossyUtf8(payload.subarray(2, end)),
        payload: payload.subarray(end + 4, end + 4 + length),
      }
    }
    case OP.sendResult:
      need(6)
      return {
        type: 'send-result',
        id: view.getUint32(0),
        code: view.getUint16(4),
        text: lossyUtf8(payload.subarray(6)),
      }
    case OP.sendTrackedResult:
      need(14)
      return {
        type: 'tracked-result',
        id: view.getUint32(0),
        sendId: view.getBigUint64(4),
        code: view.getUint16(12),
        text: lossyUtf8(payload.subarray(14)),
      }
  }
  return undefined
}

export function encodeSubscribed(topic: string, snapshot: Uint8Array): Uint8Array {
  return encodeFrame(OP.subscribeOk, topicAnd(topic, snapshot))
}

export function encodeNotify(topic: string, payload: Uint8Array): Uint8Array {
  return encodeFrame(OP.notify, topicAnd(topic, payload))
}

export function encodeSendResult(id: number, code: SendResultCode, text: string): Uint8Array {
  const head = new Uint8Array(6)
  const view = viewOf(head)
  view.setUint32(0, id)
  view.setUint16(4, code)
  return encodeFrame(OP.sendResult, concat(head, utf8(text)))
}

export function encodeTrackedResult(
  id: number,
  sendId: bigint,
  code: SendResultCode,
  text: string,
): Uint8Array {
  return encodeFrame(
    OP.sendTrackedResult,
    concat(encodeSendIds(id, sendId), Uint8Array.of(0, code), utf8(text)),
  )
}

function topicAnd(topic: string, payload: Uint8Array): Uint8Array {
  const length = new Uint8Array(4)
  viewOf(length).setUint32(0, payload.length)
  return concat(encodeTopic(topic), length, payload)
}
