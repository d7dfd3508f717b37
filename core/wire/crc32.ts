/** CRC-32/IEEE: reflected, polynomial 0xEDB88320, initial value and final XOR all ones (spec/01 §2). */

// Slicing-by-8: eight tables let one step take eight bytes.
const TABLE: Uint32Array = /* @__PURE__ */ (() => {
  const table = new Uint32Array(8 * 256)
  for (let i = 0; i < 256; i++) {
    let crc = i
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0xedb88320 : crc >>> 1
    table[i] = crc
  }
  for (let i = 256; i < table.length; i++) {
    const previous = table[i - 256]!
    table[i] = (previous >>> 8) ^ table[previous & 0xff]!
  }
  return table
})()

/** CRC of all bytes, continuing from `crc`. */
export type Crc32 = (bytes: Uint8Array, crc: number) => number

/** Shorter runs are done here: calling out costs more. */
const FAST_MIN_BYTES = 512
let fast: Crc32 | undefined

/** A runtime that has CRC-32 in native code lends it: the same figures, several times as fast. */
export function accelerateCrc32(native: Crc32): void {
  fast = native
}

/** CRC of `bytes[start..end)`, continuing from `crc` (0 at the beginning). Result is a uint32. */
export function crc32(bytes: Uint8Array, start = 0, end: number = bytes.length, crc = 0): number {
  if (fast !== undefined && end - start >= FAST_MIN_BYTES)
    return fast(bytes.subarray(start, end), crc)
  const t = TABLE
  let c = ~crc
  let i = start
  for (const bulk = end - 7; i < bulk; i += 8) {
    c ^= bytes[i]! | (bytes[i + 1]! << 8) | (bytes[i + 2]! << 16) | (bytes[i + 3]! << 24)
    c =
      t[1792 + (c & 255)]! ^
      t[1536 + ((c >>> 8) & 255)]! ^
      t[1280 + ((c >>> 16) & 255)]! ^
      t[1024 + (c >>> 24)]! ^
      t[768 + bytes[i + 4]!]! ^
      t[512 + bytes[i + 5]!]! ^
      t[256 + bytes[i + 6]!]! ^
      t[bytes[i + 7]!]!
  }
  for (; i < end; i++) c = (c >>> 8) ^ t[(c ^ bytes[i]!) & 255]!
  return ~c >>> 0
}
