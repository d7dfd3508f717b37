/**
 * Selective acknowledgements in the payload of an ACK: "SACK", count u8 (1..4), count × (left u32,
 * right u32), right exclusive (spec/03 §5).
 */
import { WireError } from '../errors.ts'

/** Received bytes `left` (inclusive) to `right` (exclusive), both uint32 sequence numbers. */
export interface SackBlock {
  readonly left: number
  readonly right: number
}

export const SACK_BLOCKS_MAX = 4
const HEADER_BYTES = 5
const BLOCK_BYTES = 8
const MAGIC = 0x5341434b // "SACK"

/** At most four blocks are encoded: the first four. @throws {WireError} `ERR_WIRE_VALUE` without blocks. */
export function encodeSack(blocks: readonly SackBlock[]): Uint8Array {
  const count = Math.min(blocks.length, SACK_BLOCKS_MAX)
  if (count === 0) throw new WireError('ERR_WIRE_VALUE', 'a SACK needs 1 to 4 blocks, got 0')
  const out = new Uint8Array(HEADER_BYTES + BLOCK_BYTES * count)
  const view = new DataView(out.buffer)
  view.setUint32(0, MAGIC)
  view.setUint8(4, count)
  for (let i = 0; i < count; i++) {
    view.setUint32(HEADER_BYTES + BLOCK_BYTES * i, blocks[i]!.left)
    view.setUint32(HEADER_BYTES + BLOCK_BYTES * i + 4, blocks[i]!.right)
  }
  return out
}

/**
 * True when a reference receiver would take this payload for a SACK: at least 5 + 8 × count bytes,
 * count 1..4, whatever follows. A sender must never let user data start a segment like this.
 */
export function looksLikeSack(payload: Uint8Array): boolean {
  if (payload.length < HEADER_BYTES + BLOCK_BYTES) return false
  if (payload[0] !== 0x53 || payload[1] !== 0x41 || payload[2] !== 0x43 || payload[3] !== 0x4b)
    return false
  const count = payload[4]!
  return (
    count >= 1 && count <= SACK_BLOCKS_MAX && payload.length >= HEADER_BYTES + BLOCK_BYTES * count
  )
}

/** The blocks, or `undefined` when the payload does not have the pattern. Trailing bytes are ignored. */
export function decodeSack(payload: Uint8Array): SackBlock[] | undefined {
  if (!looksLikeSack(payload)) return undefined
  const view = new DataView(payload.buffer, payload.byteOffset, payload.byteLength)
  const blocks: SackBlock[] = []
  for (let i = 0; i < payload[4]!; i++) {
    const at = HEADER_BYTES + BLOCK_BYTES * i
    blocks.push({ left: view.getUint32(at), right: view.getUint32(at + 4) })
  }
  return blocks
}

/** Exact size of a SACK payload with as many blocks as this one claims; a receiver compares. */
export function sackBytes(count: number): number {
  return HEADER_BYTES + BLOCK_BYTES * count
}
