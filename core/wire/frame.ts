/**
 * Tunnel frames: what travels in a datagram between two nodes (spec/01 §3, §4). This file owns the
 * layouts and the classification by leading bytes; sealing and key agreement are the tunnel's.
 */
import { concat, utf8, viewOf } from '../bytes.ts'
import { WireError } from '../errors.ts'

/** What a datagram or an inner frame is, by its first bytes alone. */
export type FrameKind =
  | 'beacon'
  | 'sealed'
  | 'key-exchange'
  | 'anonymous-key-exchange'
  | 'plain'
  | 'punch'
  | 'unknown'

const MAGIC = {
  PILT: 0x50494c54,
  PILS: 0x50494c53,
  PILK: 0x50494c4b,
  PILA: 0x50494c41,
  PILP: 0x50494c50,
} as const

export const SEALED_HEADER_BYTES = 20
export const SEAL_TAG_BYTES = 16
export const NONCE_BYTES = 12
/** Bytes a sealed frame adds to its packet. */
export const SEALED_OVERHEAD_BYTES: number = SEALED_HEADER_BYTES + SEAL_TAG_BYTES
export const KEY_EXCHANGE_BYTES = 136
export const ANONYMOUS_KEY_EXCHANGE_BYTES = 40
/** Where the packet of a plain frame begins. */
export const PLAIN_HEADER_BYTES = 4

/** Looks at the leading bytes only; sizes are checked by the decoders. */
export function classifyFrame(datagram: Uint8Array): FrameKind {
  if (datagram.length > 0 && datagram[0]! < 0x10) return 'beacon'
  if (datagram.length < 4) return 'unknown'
  if (datagram[0] !== 0x50 || datagram[1] !== 0x49 || datagram[2] !== 0x4c) return 'unknown'
  switch (datagram[3]) {
    case 0x53:
      return 'sealed'
    case 0x41:
      return 'key-exchange'
    case 0x4b:
      return 'anonymous-key-exchange'
    case 0x54:
      return 'plain'
    case 0x50:
      return 'punch'
    default:
      return 'unknown'
  }
}

/** PILS: sender u32, nonce 12, ciphertext, tag 16. The fields are views into the datagram. */
export interface SealedFrame {
  readonly sender: number // uint32
  readonly nonce: Uint8Array // 12 bytes: random prefix 4, counter u64
  readonly ciphertext: Uint8Array // with the 16-byte tag at its end
}

/** Writes magic and sender at `offset`; the nonce follows at `offset + 8`, the ciphertext at `offset + 20`. */
export function writeSealedHeader(out: Uint8Array, offset: number, sender: number): void {
  out[offset] = 0x50
  out[offset + 1] = 0x49
  out[offset + 2] = 0x4c
  out[offset + 3] = 0x53
  out[offset + 4] = sender >>> 24
  out[offset + 5] = sender >>> 16
  out[offset + 6] = sender >>> 8
  out[offset + 7] = sender
}

/** @throws {WireError} `ERR_WIRE_TRUNCATED` below 36 bytes, `ERR_WIRE_TYPE` without the magic. */
export function decodeSealedFrame(datagram: Uint8Array): SealedFrame {
  const view = expectFrame(datagram, MAGIC.PILS, SEALED_OVERHEAD_BYTES)
  return {
    sender: view.getUint32(4),
    nonce: datagram.subarray(8, SEALED_HEADER_BYTES),
    ciphertext: datagram.subarray(SEALED_HEADER_BYTES),
  }
}

/** PILA: sender u32, X25519 public key 32, Ed25519 public key 32, signature 64, optional trailer. */
export interface KeyExchangeFrame {
  readonly sender: number
  readonly publicKey: Uint8Array // X25519, 32 bytes
  readonly identityKey: Uint8Array // Ed25519, 32 bytes
  readonly signature: Uint8Array // 64 bytes over `keyExchangeSigningBytes`
  /** Unsigned hint after byte 136; only nodes that derive keys by profile 2 send one. */
  readonly trailer?: KeyExchangeTrailer
}

/** Two unsigned LEB128 varints (spec/01 §4.4). Not covered by the signature: a hint, never a fact. */
export interface KeyExchangeTrailer {
  readonly capabilities: number
  readonly flags: number
}

/** Bits of `KeyExchangeTrailer.flags`. */
export const KEY_EXCHANGE_FLAG = { request: 1, response: 2 } as const

/** "auth", node id u32, X25519 public key: the 40 bytes the identity signs. */
export function keyExchangeSigningBytes(sender: number, publicKey: Uint8Array): Uint8Array {
  const out = new Uint8Array(40)
  out.set(utf8('auth'))
  viewOf(out).setUint32(4, sender)
  out.set(publicKey, 8)
  return out
}

/** PILA: the tunnel key, signed by the identity. */
export function encodeKeyExchangeFrame(frame: KeyExchangeFrame): Uint8Array {
  const out = new Uint8Array(KEY_EXCHANGE_BYTES)
  const view = viewOf(out)
  view.setUint32(0, MAGIC.PILA)
  view.setUint32(4, frame.sender)
  out.set(frame.publicKey, 8)
  out.set(frame.identityKey, 40)
  out.set(frame.signature, 72)
  if (frame.trailer === undefined) return out
  const { capabilities, flags } = frame.trailer
  return concat(
    out,
    encodeVarint(capabilities),
    flags === 0 ? new Uint8Array(0) : encodeVarint(flags),
  )
}

/** Fields are views. @throws {WireError} `ERR_WIRE_TRUNCATED` below 136 bytes, `ERR_WIRE_TYPE` without the magic. */
export function decodeKeyExchangeFrame(datagram: Uint8Array): KeyExchangeFrame {
  const view = expectFrame(datagram, MAGIC.PILA, KEY_EXCHANGE_BYTES)
  const frame = {
    sender: view.getUint32(4),
    publicKey: datagram.subarray(8, 40),
    identityKey: datagram.subarray(40, 72),
    signature: datagram.subarray(72, KEY_EXCHANGE_BYTES),
  }
  const trailer = decodeTrailer(datagram.subarray(KEY_EXCHANGE_BYTES))
  return trailer === undefined ? frame : { ...frame, trailer }
}

/** PILK: sender u32, X25519 public key 32. Accepted by no node of ours; decoded to be counted. */
export interface AnonymousKeyExchangeFrame {
  readonly sender: number
  readonly publicKey: Uint8Array
}

/** PILK: the tunnel key alone, which proves nothing. */
export function encodeAnonymousKeyExchangeFrame(frame: AnonymousKeyExchangeFrame): Uint8Array {
  const out = new Uint8Array(ANONYMOUS_KEY_EXCHANGE_BYTES)
  const view = viewOf(out)
  view.setUint32(0, MAGIC.PILK)
  view.setUint32(4, frame.sender)
  out.set(frame.publicKey, 8)
  return out
}

/** @throws {WireError} `ERR_WIRE_TRUNCATED` below 40 bytes, `ERR_WIRE_TYPE` without the magic. */
export function decodeAnonymousKeyExchangeFrame(datagram: Uint8Array): AnonymousKeyExchangeFrame {
  const view = expectFrame(datagram, MAGIC.PILK, ANONYMOUS_KEY_EXCHANGE_BYTES)
  return {
    sender: view.getUint32(4),
    publicKey: datagram.subarray(8, ANONYMOUS_KEY_EXCHANGE_BYTES),
  }
}

/** PILT: the packet in the clear. */
export function writePlainHeader(out: Uint8Array, offset: number): void {
  viewOf(out).setUint32(offset, MAGIC.PILT)
}

/** The packet's bytes, a view. @throws {WireError} `ERR_WIRE_TRUNCATED`, `ERR_WIRE_TYPE`. */
export function decodePlainFrame(datagram: Uint8Array): Uint8Array {
  expectFrame(datagram, MAGIC.PILT, PLAIN_HEADER_BYTES)
  return datagram.subarray(PLAIN_HEADER_BYTES)
}

/** PILP: opens the sender's own NAT mapping; receivers learn nothing from it (spec/01 §4.5). */
export function encodePunchFrame(): Uint8Array {
  return utf8('PILP')
}

function expectFrame(datagram: Uint8Array, magic: number, bytes: number): DataView {
  if (datagram.length < bytes)
    throw new WireError('ERR_WIRE_TRUNCATED', `need ${bytes} frame bytes, got ${datagram.length}`)
  const view = viewOf(datagram)
  if (view.getUint32(0) !== magic) throw new WireError('ERR_WIRE_TYPE', 'frame magic is another')
  return view
}

function encodeVarint(value: number): Uint8Array {
  const out: number[] = []
  let rest = value
  while (rest >= 0x80) {
    out.push((rest % 0x80) | 0x80)
    rest = Math.floor(rest / 0x80)
  }
  out.push(rest)
  return Uint8Array.from(out)
}

/** `undefined` unless the bytes begin with a well-formed varint; a second one is optional. */
function decodeTrailer(bytes: Uint8Array): KeyExchangeTrailer | undefined {
  const capabilities = decodeVarint(bytes, 0)
  if (capabilities === undefined) return undefined
  const flags = decodeVarint(bytes, capabilities.end)
  return { capabilities: capabilities.value, flags: flags?.value ?? 0 }
}

function decodeVarint(
  bytes: Uint8Array,
  start: number,
): { value: number; end: number } | undefined {
  let value = 0
  let scale = 1
  // Seven bytes are 49 bits: exact in a double. Longer varints hold nothing this protocol defines.
  for (let i = start; i < bytes.length && i < start + 7; i++) {
    value += (bytes[i]! & 0x7f) * scale
    if (bytes[i]! < 0x80) return { value, end: i + 1 }
    scale *= 0x80
  }
  return undefined
}
