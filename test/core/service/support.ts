/** Byte helpers of the service tests. */
export { generated } from '../../support.ts'

/** A plain array of the same bytes, so that `toEqual` compares bytes and not classes. */
export function toBytes(bytes: Uint8Array): Uint8Array {
  return Uint8Array.from(bytes)
}
