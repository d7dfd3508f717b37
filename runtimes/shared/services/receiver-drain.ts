/** Does what the receiving machine of a FILESTREAM asks for (spec/07 §6.5), wherever the file ends up. */
import type { FileReceiver, FileReceiverEvent } from '../../../core/service/file-receiver.ts'

export interface ReceiverPlace {
  /** Takes whole frames for the sender. */
  write(frame: Uint8Array): Promise<void>
  handle(event: FileReceiverEvent): Promise<void> | void
  /** `handle` failed with this: what the sender hears. */
  reasonOf(error: unknown): string
}

/** Until there is nothing more to do. Never rejects. */
export async function drainReceiver(machine: FileReceiver, place: ReceiverPlace): Promise<void> {
  for (;;) {
    const frame = machine.pollTransmit()
    const event = frame === undefined ? machine.pollEvent() : undefined
    if (frame === undefined && event === undefined) return
    try {
      if (frame !== undefined) await place.write(frame)
      if (event !== undefined) await place.handle(event)
    } catch (error) {
      // Frames to a sender that is gone are lost with it; anything else it hears of.
      if (frame === undefined) machine.abort(place.reasonOf(error))
    }
  }
}
