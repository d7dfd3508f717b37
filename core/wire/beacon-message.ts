/**
 * Beacon messages: discovery, punching, relaying and gossip, one datagram each, first byte below 0x10
 * (spec/02 §2). Longer discover, punch-request and sync messages are legal and the rest is ignored.
 */
import { concat, viewOf } from '../bytes.ts'
import { WireError } from '../errors.ts'
import { formatIp, ipBytes } from '../ip.ts'
import type { Endpoint } from '../machine.ts'

export const BEACON_TYPE = {
  discover: 0x01,
  discoverReply: 0x02,
  punchRequest: 0x03,
  punchCommand: 0x04,
  relay: 0x05,
  relayDeliver: 0x06,
  sync: 0x07,
  discoverEx: 0x08,
  relayDeliverDest: 0x09,
} as const

/** Bytes that relaying adds in front of a frame on the way to the beacon. */
export const RELAY_OVERHEAD_BYTES = 9

export type BeaconMessage =
  | {
      readonly type: 'discover'
      readonly nodeId: number
      readonly publicKey?: Uint8Array
      readonly extended?: boolean
    }
  | { readonly type: 'discover-reply'; readonly endpoint: Endpoint }
  | { readonly type: 'punch-request'; readonly requesterId: number; readonly targetId: number }
  | { readonly type: 'punch-command'; readonly endpoint: Endpoint }
  /** `frame` is a view after decoding. */
  | {
      readonly type: 'relay'
      readonly senderId: number
      readonly destinationId: number
      readonly frame: Uint8Array
    }
  | {
      readonly type: 'relay-deliver'
      readonly senderId: number
      readonly destinationId?: number
      readonly frame: Uint8Array
    }
  | { readonly type: 'sync'; readonly beaconId: number; readonly nodeIds: readonly number[] }

const PUBLIC_KEY_BYTES = 32

export function encodeBeaconMessage(message: BeaconMessage): Uint8Array {
  switch (message.type) {
    case 'discover': {
      const head = header(
        message.extended ? BEACON_TYPE.discoverEx : BEACON_TYPE.discover,
        message.nodeId,
      )
      return message.publicKey === undefined ? head : concat(head, message.publicKey)
    }
    case 'discover-reply':
      return encodeEndpoint(BEACON_TYPE.discoverReply, message.endpoint)
    case 'punch-request':
      return header(BEACON_TYPE.punchRequest, message.requesterId, message.targetId)
    case 'punch-command':
      return encodeEndpoint(BEACON_TYPE.punchCommand, message.endpoint)
    case 'relay':
      return concat(
        header(BEACON_TYPE.relay, message.senderId, message.destinationId),
        message.frame,
      )
    case 'relay-deliver':
      return concat(
        message.destinationId === undefined
          ? header(BEACON_TYPE.relayDeliver, message.senderId)
          : header(BEACON_TYPE.relayDeliverDest, message.senderId, message.destinationId),
        message.frame,
      )
    case 'sync': {
      const out = new Uint8Array(7 + 4 * message.nodeIds.length)
      const view = viewOf(out)
      view.setUint8(0, BEACON_TYPE.sync)
      view.setUint32(1, message.beaconId)
      view.setUint16(5, message.nodeIds.length)
      message.nodeIds.forEach((id, i) => {
        view.setUint32(7 + 4 * i, id)
      })
      return out
    }
  }
}

/** Writes the 9 bytes of a relay message at `offset`; the frame follows them. */
export function writeRelayHeader(
  out: Uint8Array,
  offset: number,
  senderId: number,
  destinationId: number,
): void {
  const view = viewOf(out)
  view.setUint8(offset, BEACON_TYPE.relay)
  view.setUint32(offset + 1, senderId)
  view.setUint32(offset + 5, destinationId)
}

/** @throws {WireError} `ERR_WIRE_TRUNCATED`, `ERR_WIRE_TYPE` for an unknown type, `ERR_WIRE_VALUE` for an IP length other than 4 or 16. */
export function decodeBeaconMessage(datagram: Uint8Array): BeaconMessage {
  need(datagram, 1)
  const view = viewOf(datagram)
  const type = view.getUint8(0)
  switch (type) {
    case BEACON_TYPE.discover:
    case BEACON_TYPE.discoverEx: {
      need(datagram, 5)
      const nodeId = view.getUint32(1)
      const extended = type === BEACON_TYPE.discoverEx ? { extended: true } : {}
      if (datagram.length < 5 + PUBLIC_KEY_BYTES) return { type: 'discover', nodeId, ...extended }
      return {
        type: 'discover',
        nodeId,
        publicKey: datagram.subarray(5, 5 + PUBLIC_KEY_BYTES),
        ...extended,
      }
    }
    case BEACON_TYPE.discoverReply:
      return { type: 'discover-reply', endpoint: decodeEndpoint(datagram) }
    case BEACON_TYPE.punchRequest:
      need(datagram, 9)
      return { type: 'punch-request', requesterId: view.getUint32(1), targetId: view.getUint32(5) }
    case BEACON_TYPE.punchCommand:
      return { type: 'punch-command', endpoint: decodeEndpoint(datagram) }
    case BEACON_TYPE.relay:
      need(datagram, RELAY_OVERHEAD_BYTES)
      return {
        type: 'relay',
        senderId: view.getUint32(1),
        destinationId: view.getUint32(5),
        frame: datagram.subarray(RELAY_OVERHEAD_BYTES),
      }
    case BEACON_TYPE.relayDeliver:
      need(datagram, 5)
      return { type: 'relay-deliver', senderId: view.getUint32(1), frame: datagram.subarray(5) }
    case BEACON_TYPE.relayDeliverDest:
      need(datagram, 9)
      return {
        type: 'relay-deliver',
        senderId: view.getUint32(1),
        destinationId: view.getUint32(5),
        frame: datagram.subarray(9),
      }
    case BEACON_TYPE.sync: {
      need(datagram, 7)
      const count = view.getUint16(5)
      need(datagram, 7 + 4 * count)
      const nodeIds: number[] = []
      for (let i = 0; i < count; i++) nodeIds.push(view.getUint32(7 + 4 * i))
      return { type: 'sync', beaconId: view.getUint32(1), nodeIds }
    }
    default:
      throw new WireError('ERR_WIRE_TYPE', `unknown beacon message type ${type}`)
  }
}

function header(type: number, ...ids: readonly number[]): Uint8Array {
  const out = new Uint8Array(1 + 4 * ids.length)
  const view = viewOf(out)
  view.setUint8(0, type)
  ids.forEach((id, i) => {
    view.setUint32(1 + 4 * i, id)
  })
  return out
}

function encodeEndpoint(type: number, { address, port }: Endpoint): Uint8Array {
  const ip = ipBytes(address)
  if (ip === undefined) throw new WireError('ERR_WIRE_VALUE', `not an IP address: ${address}`)
  const out = new Uint8Array(4 + ip.length)
  const view = viewOf(out)
  view.setUint8(0, type)
  view.setUint8(1, ip.length)
  out.set(ip, 2)
  view.setUint16(2 + ip.length, port)
  return out
}

function decodeEndpoint(datagram: Uint8Array): Endpoint {
  need(datagram, 2)
  const length = datagram[1]!
  if (length !== 4 && length !== 16)
    throw new WireError('ERR_WIRE_VALUE', `IP length must be 4 or 16, got ${length}`)
  need(datagram, 4 + length)
  return {
    address: formatIp(datagram.subarray(2, 2 + length)),
    port: viewOf(datagram).getUint16(2 + length),
  }
}

function need(datagram: Uint8Array, bytes: number): void {
  if (datagram.length < bytes)
    throw new WireError(
      'ERR_WIRE_TRUNCATED',
      `need ${bytes} beacon message bytes, got ${datagram.length}`,
    )
}
