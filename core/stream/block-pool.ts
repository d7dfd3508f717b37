/**
 * Memory for bytes on their way, in blocks that all streams take turns with: an idle one holds none, and a busy one
 * allocates nothing while it goes on.
 */

export const BLOCK_BYTES = 16_384
/** Kept for the next writer; more are left to the collector. 4 MiB. */
const SPARE_MAX = 256

const spare: Uint8Array[] = []

/** What it holds is whatever was there before: write before you read. */
export function takeBlock(): Uint8Array {
  return spare.pop() ?? new Uint8Array(BLOCK_BYTES)
}

export function giveBlock(block: Uint8Array): void {
  if (spare.length < SPARE_MAX) spare.push(block)
}
