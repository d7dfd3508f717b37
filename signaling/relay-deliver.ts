/** A relayed frame on its last leg (spec/02 §2.5), without copying the frame. */
import { BEACON_TYPE } from '../core/wire/beacon-message.ts'

/** Rewrites a Relay message in place; what is returned is a view of its last `length - 4` bytes. */
export function relayDeliver(relay: Uint8Array): Uint8Array {
  // type(1) sender(4) ends where the frame begins, at byte 9.
  relay.copyWithin(5, 1, 5)
  relay[4] = BEACON_TYPE.relayDeliver
  return relay.subarray(4)
}
