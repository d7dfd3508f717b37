/**
 * Replies of one client, in the order of its requests (spec/06 §3, R1 to R3): work runs concurrently,
 * a reply leaves when all before it have left.
 */

/** Requests of one client in progress; above it nothing is read from the client. */
export const REQUESTS_MAX = 1024

interface Slot {
  frame: Uint8Array | undefined
  afterwards: (() => void) | undefined
}

export class ReplyQueue {
  readonly #send: (frame: Uint8Array) => void
  readonly #slots: Slot[] = []

  constructor(send: (frame: Uint8Array) => void) {
    this.#send = send
  }

  get length(): number {
    return this.#slots.length
  }

  get isFull(): boolean {
    return this.#slots.length >= REQUESTS_MAX
  }

  /**
   * Reserves the next place. The returned function gives the reply, once; `afterwards` runs right
   * after the frame was sent.
   */
  reserve(): (frame: Uint8Array, afterwards?: () => void) => void {
    const slot: Slot = { frame: undefined, afterwards: undefined }
    this.#slots.push(slot)
    return (frame, afterwards) => {
      if (slot.frame !== undefined) return
      slot.frame = frame
      slot.afterwards = afterwards
      this.#flush()
    }
  }

  /** Forgets everything: replies given later go nowhere. */
  clear(): void {
    for (const slot of this.#slots.splice(0)) slot.frame = GONE
  }

  #flush(): void {
    while (this.#slots[0]?.frame !== undefined) {
      const { frame, afterwards } = this.#slots.shift()!
      this.#send(frame!)
      afterwards?.()
    }
  }
}

const GONE = new Uint8Array(0)
