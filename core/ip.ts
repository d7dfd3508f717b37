/** IP addresses as bytes and as text, without a runtime's help. */
import { viewOf } from './bytes.ts'

/** Text of 4 or 16 address bytes; IPv4-mapped IPv6 as IPv4, IPv6 per RFC 5952. */
export function formatIp(bytes: Uint8Array): string {
  if (bytes.length === 4) return bytes.join('.')
  if (isMapped(bytes)) return bytes.subarray(12).join('.')
  const view = viewOf(bytes)
  const groups = Array.from({ length: 8 }, (_, i) => view.getUint16(2 * i))
  let best = { start: -1, length: 1 }
  for (let i = 0; i < 8; i++) {
    let end = i
    while (end < 8 && groups[end] === 0) end++
    if (end - i > best.length) best = { start: i, length: end - i }
  }
  const text = (from: number, to: number): string =>
    groups
      .slice(from, to)
      .map((group) => group.toString(16))
      .join(':')
  return best.start < 0
    ? text(0, 8)
    : `${text(0, best.start)}::${text(best.start + best.length, 8)}`
}

/** 4 bytes for IPv4 and IPv4-mapped text, 16 for other IPv6 (a zone is ignored), `undefined` for anything else. */
export function ipBytes(text: string): Uint8Array | undefined {
  const v4 = ipv4Bytes(text)
  if (v4 !== undefined) return v4
  let source = text.split('%')[0]!
  const dotted = /:((?:\d{1,3}\.){3}\d{1,3})$/.exec(source)
  if (dotted !== null) {
    const tail = ipv4Bytes(dotted[1]!)
    if (tail === undefined) return undefined
    const hex = ((tail[0]! << 8) | tail[1]!).toString(16)
    source = `${source.slice(0, -dotted[1]!.length)}${hex}:${((tail[2]! << 8) | tail[3]!).toString(16)}`
  }
  const halves = source.split('::')
  if (halves.length > 2 || !source.includes(':')) return undefined
  const groups = halves.map((half) => (half === '' ? [] : half.split(':')))
  const given = groups[0]!.length + (groups[1]?.length ?? 0)
  if (halves.length === 1 ? given !== 8 : given > 7) return undefined
  const all = [...groups[0]!, ...new Array<string>(8 - given).fill('0'), ...(groups[1] ?? [])]
  const out = new Uint8Array(16)
  for (let i = 0; i < 8; i++) {
    if (!/^[0-9a-fA-F]{1,4}$/.test(all[i]!)) return undefined
    viewOf(out).setUint16(2 * i, Number.parseInt(all[i]!, 16))
  }
  return isMapped(out) ? out.slice(12) : out
}

function ipv4Bytes(text: string): Uint8Array | undefined {
  const parts = text.split('.')
  if (parts.length !== 4 || !parts.every((part) => /^\d{1,3}$/.test(part) && Number(part) < 256))
    return undefined
  return Uint8Array.from(parts, Number)
}

function isMapped(ip: Uint8Array): boolean {
  for (let i = 0; i < 10; i++) if (ip[i] !== 0) return false
  return ip[10] === 0xff && ip[11] === 0xff
}
