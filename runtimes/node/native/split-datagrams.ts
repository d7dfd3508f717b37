/**
 * Takes apart what the kernel joined (`UDP_GRO`): datagrams of one flow and one size, the last perhaps shorter, end to
 * end. Their size is told beside them, where Node does not look; the headers of tunnel frames give it away.
 */
import { BEACON_TYPE } from '../../../core/wire/beacon-message.ts'
import { SEALED_OVERHEAD_BYTES } from '../../../core/wire/frame.ts'
import { bytesOf } from '../crypto.ts'

const MAGIC = Buffer.from('PIL')
/** Magic and sender of a frame: what the frames of one peer have in common, but for one letter. */
const IDENTITY_BYTES = 8
const LETTERS = new Set([...'SAT'].map((letter) => letter.charCodeAt(0)))
/** Type and sender in front of a frame that the beacon delivers. */
const DELIVERY_BYTES = 5
/** Nobody joins larger ones: a jumbo frame has 9000 bytes, and ours go alone above 8192. */
const PART_BYTES_MAX = 9216

/**
 * Each datagram, in order. What does not show where it divides is passed on whole, as one that is alone is: it is then
 * dropped where it means nothing, as if it had been lost.
 */
export function splitDatagrams(data: Buffer): readonly Uint8Array[] {
  const head = data.subarray(0, PART_BYTES_MAX + DELIVERY_BYTES + IDENTITY_BYTES)
  const size = head[0] === BEACON_TYPE.relayDeliver ? deliveryBytes(head) : frameBytes(head)
  const bytes = bytesOf(data)
  if (size === undefined) return [bytes]
  const parts: Uint8Array[] = []
  for (let at = 0; at < data.length; at += size)
    parts.push(bytes.subarray(at, Math.min(at + size, data.length)))
  return parts
}

/** Sealed frames of one peer: the next begins with the same sender. */
function frameBytes(data: Buffer): number | undefined {
  if (data.length < 2 * IDENTITY_BYTES || !isFrame(data, 0)) return undefined
  for (
    let at = data.indexOf(MAGIC, SEALED_OVERHEAD_BYTES);
    at >= 0;
    at = data.indexOf(MAGIC, at + 1)
  )
    if (isFrame(data, at) && sameBytes(data, 4, at + 4, 4)) return at
  return undefined
}

/** Deliveries, perhaps of several peers: the sender stands in front of each frame and inside of it. */
function deliveryBytes(data: Buffer): number | undefined {
  for (
    let at = data.indexOf(MAGIC, DELIVERY_BYTES + SEALED_OVERHEAD_BYTES);
    at >= 0;
    at = data.indexOf(MAGIC, at + 1)
  ) {
    const start = at - DELIVERY_BYTES
    const isDelivery = data[start] === BEACON_TYPE.relayDeliver && isFrame(data, at)
    if (isDelivery && sameBytes(data, start + 1, at + 4, 4)) return start
  }
  return undefined
}

function isFrame(data: Buffer, at: number): boolean {
  const isMagic = data[at] === MAGIC[0] && data[at + 1] === MAGIC[1] && data[at + 2] === MAGIC[2]
  return isMagic && LETTERS.has(data[at + 3]!) && data.length >= at + IDENTITY_BYTES
}

function sameBytes(data: Buffer, a: number, b: number, bytes: number): boolean {
  for (let i = 0; i < bytes; i++) if (data[a + i] !== data[b + i]) return false
  return true
}
