/**
 * Virtual addresses: 48 bits, network u16 then node u32 (spec/01 §1). Text is `N:NNNN.HHHH.LLLL`
 * with the network twice: decimal, then four hex digits that must agree.
 */
import { PilotError, WireError } from '../errors.ts'

export interface Address {
  readonly network: number // uint16
  readonly node: number // uint32
}

/** A virtual address with a virtual port. */
export interface SocketAddress {
  readonly address: Address
  readonly port: number // uint16
}

export const ADDRESS_BYTES = 6
/** Node number of a network's broadcast address. */
export const BROADCAST_NODE = 0xffffffff

/** `N:NNNN.HHHH.LLLL` (spec/01). */
export function formatAddress({ network, node }: Address): string {
  return `${network}:${hex4(network)}.${hex4(node >>> 16)}.${hex4(node & 0xffff)}`
}

/** @throws {PilotError} `ERR_ADDRESS_SYNTAX`, saying which part is wrong. */
export function parseAddress(text: string): Address {
  const match = /^([^:]*):(.*)$/s.exec(text)
  if (match === null) throw syntax(text, 'expected N:NNNN.HHHH.LLLL')
  const [, left = '', right = ''] = match
  if (!/^[0-9]+$/.test(left) || Number(left) > 0xffff)
    throw syntax(text, 'the network before ":" must be decimal, 0 to 65535')
  const groups = right.split('.')
  if (groups.length !== 3 || !groups.every((group) => /^[0-9a-fA-F]{4}$/.test(group)))
    throw syntax(text, 'expected three groups of four hex digits after ":"')
  const [network, high, low] = groups.map((group) => Number.parseInt(group, 16)) as [
    number,
    number,
    number,
  ]
  if (network !== Number(left))
    throw syntax(text, `the first group must be the network again, ${hex4(Number(left))}`)
  return { network, node: ((high << 16) | low) >>> 0 }
}

/** `N:NNNN.HHHH.LLLL:port`. */
export function formatSocketAddress({ address, port }: SocketAddress): string {
  return `${formatAddress(address)}:${port}`
}

/** Splits at the last colon. @throws {PilotError} `ERR_ADDRESS_SYNTAX`. */
export function parseSocketAddress(text: string): SocketAddress {
  const colon = text.lastIndexOf(':')
  const port = text.slice(colon + 1)
  if (colon < 0 || !/^[0-9]+$/.test(port) || Number(port) > 0xffff)
    throw syntax(text, 'expected N:NNNN.HHHH.LLLL:port with a port of 0 to 65535')
  return { address: parseAddress(text.slice(0, colon)), port: Number(port) }
}

/** Big-endian, 6 bytes at `offset`. */
export function encodeAddress(address: Address, out: DataView, offset: number): void {
  out.setUint16(offset, address.network)
  out.setUint32(offset + 2, address.node)
}

/** @throws {WireError} `ERR_WIRE_TRUNCATED` when fewer than 6 bytes follow `offset`. */
export function decodeAddress(bytes: Uint8Array, offset = 0): Address {
  if (bytes.length - offset < ADDRESS_BYTES)
    throw new WireError(
      'ERR_WIRE_TRUNCATED',
      `need ${ADDRESS_BYTES} address bytes, got ${bytes.length - offset}`,
    )
  const view = new DataView(bytes.buffer, bytes.byteOffset + offset, ADDRESS_BYTES)
  return { network: view.getUint16(0), node: view.getUint32(2) }
}

function hex4(value: number): string {
  return value.toString(16).toUpperCase().padStart(4, '0')
}

function syntax(text: string, why: string): PilotError {
  return new PilotError(
    'ERR_ADDRESS_SYNTAX',
    `invalid address ${JSON.stringify(text.slice(0, 64))}: ${why}`,
  )
}
