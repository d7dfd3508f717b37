/** A signature by whoever signs for a node, however long that takes. */
import type { Signer } from '../../core/index.ts'

export function signed(signer: Signer, message: Uint8Array): Promise<Uint8Array> {
  return signer.sign === undefined
    ? signer.signLater(message)
    : Promise.resolve(signer.sign(message))
}
