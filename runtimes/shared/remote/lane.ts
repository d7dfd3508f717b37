/** What carries messages between a node and who uses it from elsewhere: in order, by structured clone. */

export interface Lane {
  /** Buffers in `transfer` are moved where the lane can move them, else copied; the sender lets go of them either way. */
  post(message: unknown, transfer?: Transferable[]): void
  onmessage: ((message: unknown) => void) | undefined
  /** The other end is known to be gone. Not every lane can tell. */
  onclose?: ((reason: string) => void) | undefined
  /** Lets go of what carries the lane; nothing is posted or heard any more. */
  close(): void
}

/** As much of a MessagePort, a Worker or a worker's global scope as a lane needs. */
export interface PortLike {
  postMessage(message: unknown, transfer: Transferable[]): void
  addEventListener(type: 'message' | 'close', listener: (event: MessageEvent) => void): void
  removeEventListener(type: 'message' | 'close', listener: (event: MessageEvent) => void): void
  /** Ports deliver nothing before this. */
  start?(): void
  close?(): void
}

/** A lane over a port. Messages that come before `onmessage` is set wait in the port. */
export function portLane(port: PortLike): Lane {
  let handler: ((message: unknown) => void) | undefined
  let isOver = false
  const heard = ({ data }: MessageEvent): void => handler?.(data)
  // Where a port tells that its other end is gone (Node, Chromium from 122 on).
  const gone = (): void => {
    if (isOver) return
    isOver = true
    lane.onclose?.('the other end of the port is gone')
  }
  port.addEventListener('close', gone)
  const lane: Lane = {
    post: (message, transfer = []) => {
      if (!isOver) port.postMessage(message, transfer)
    },
    get onmessage() {
      return handler
    },
    set onmessage(value) {
      const isFirst = handler === undefined
      handler = value
      if (!isFirst || value === undefined) return
      port.addEventListener('message', heard)
      port.start?.()
    },
    onclose: undefined,
    close: () => {
      isOver = true
      port.removeEventListener('message', heard)
      port.removeEventListener('close', gone)
      port.close?.()
    },
  }
  return lane
}
