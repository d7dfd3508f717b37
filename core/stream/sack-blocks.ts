/** Blocks of a SACK (spec/03 §5) read in place, and what looks like one within a larger buffer. */

export function blockCount(sack: Uint8Array): number {
  return sack[4]!
}
export function blockLeft(sack: Uint8Array, index: number): number {
  return read32(sack, 5 + 8 * index)
}
/** Exclusive. */
export function blockRight(sack: Uint8Array, index: number): number {
  return read32(sack, 9 + 8 * index)
}

/** As `looksLikeSack`, on bytes within a larger buffer. */
export function resemblesSack(out: Uint8Array, at: number, length: number): boolean {
  if (out[at] !== 0x53 || length < 13) return false
  if (out[at + 1] !== 0x41 || out[at + 2] !== 0x43 || out[at + 3] !== 0x4b) return false
  const count = out[at + 4]!
  return count >= 1 && count <= 4 && length >= 5 + 8 * count
}

function read32(bytes: Uint8Array, at: number): number {
  return (
    ((bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!) >>> 0
  )
}
