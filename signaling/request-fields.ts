/** How members of a request are read: coercion, keys, signatures, endpoints (spec/04 §5, §8). */
import { fromBase64, toBase64, toHex } from '../core/bytes.ts'
import { ipBytes } from '../core/ip.ts'
import { type Endpoint, formatEndpoint } from '../core/machine.ts'
import type { RegistryMessage } from '../core/wire/registry-message.ts'

/** Node or beacon id: a JSON number of 0 to 2^32-1, truncated toward zero; 0 for anything else. */
export function nodeIdField(message: RegistryMessage, name: string): number {
  return unsigned(message[name], 0xffffffff)
}

/** As `nodeIdField`, 0 to 65535. */
export function networkIdField(message: RegistryMessage, name: string): number {
  return unsigned(message[name], 0xffff)
}

function unsigned(value: unknown, max: number): number {
  return typeof value === 'number' && value >= 0 && value <= max ? Math.trunc(value) : 0
}

/** `''` for anything but a JSON string. */
export function stringField(message: RegistryMessage, name: string): string {
  const value = message[name]
  return typeof value === 'string' ? value : ''
}

/** False for anything but JSON `true`. */
export function booleanField(message: RegistryMessage, name: string): boolean {
  return message[name] === true
}

export interface PublicKey {
  readonly bytes: Uint8Array // 32
  /** Canonical base64, the form used as an index key. */
  readonly text: string
}

/** Strict base64 of 32 bytes, else `undefined`. */
export function parsePublicKey(text: string): PublicKey | undefined {
  const bytes = text.length === 44 ? fromBase64(text) : undefined
  return bytes?.length === 32 ? { bytes, text: toBase64(bytes) } : undefined
}

/** Strict base64 of 64 bytes, else `undefined`. */
export function parseSignature(text: string): Uint8Array | undefined {
  const bytes = text.length === 88 ? fromBase64(text) : undefined
  return bytes?.length === 64 ? bytes : undefined
}

/**
 * The endpoint a registration publishes: the IP of the TCP connection with the port of `listen_addr`, or
 * with the connection's own port when that has none (spec/04 §8.1). Deviation: a port that is not a number
 * of 1 to 65535 counts as absent (spec/04 §22 W13).
 */
export function registeredEndpoint(listenAddr: string, source: Endpoint): string {
  const port = /:([1-9][0-9]{0,4})$/.exec(listenAddr)?.[1]
  return formatEndpoint({
    address: source.address,
    port: port !== undefined && Number(port) <= 0xffff ? Number(port) : source.port,
  })
}

/** `host:port` as `ip` and port, brackets removed; `undefined` unless it is an IP literal and 1..65535. */
export function parseEndpoint(text: string): Endpoint | undefined {
  const match = /^(?:\[([0-9A-Fa-f:.]+)\]|([0-9.]+)):([1-9][0-9]{0,4})$/.exec(text)
  const address = match?.[1] ?? match?.[2]
  if (address === undefined || Number(match?.[3]) > 0xffff) return undefined
  if (ipBytes(address) === undefined) return undefined
  return { address, port: Number(match?.[3]) }
}

/**
 * What rates are counted by: an IPv4 address, or the /64 of an IPv6 one, since a single host commonly
 * commands all of it.
 */
export function rateKey(address: string): string {
  const bytes = ipBytes(address)
  return bytes === undefined || bytes.length === 4 ? address : toHex(bytes.subarray(0, 8))
}

/** Loopback, private (RFC 1918), link-local and unique local addresses. */
export function isLocalAddress(address: string): boolean {
  const ip = ipBytes(address)
  if (ip === undefined) return false
  const [a = 0, b = 0] = ip
  if (ip.length === 4)
    return (
      a === 127 ||
      a === 10 ||
      (a === 172 && b >= 16 && b < 32) ||
      (a === 192 && b === 168) ||
      (a === 169 && b === 254)
    )
  const isLoopback = ip.every((byte, i) => byte === (i === 15 ? 1 : 0))
  return isLoopback || (a & 0xfe) === 0xfc || (a === 0xfe && (b & 0xc0) === 0x80)
}

/** At most `limitBytes` of UTF-8, cut between characters. */
export function cutBytes(text: string, limitBytes: number): string {
  if (text.length * 3 <= limitBytes) return text
  let bytes = 0
  let end = 0
  for (const char of text) {
    const code = char.codePointAt(0)!
    bytes += code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4
    if (bytes > limitBytes) return text.slice(0, end)
    end += char.length
  }
  return text
}

/** Text of a request inside an error text: short, whatever was sent. */
export function quoted(text: string): string {
  return JSON.stringify(text.length > 64 ? `${text.slice(0, 64)}...` : text)
}
