/** Whether UDP gets through at all: does the beacon answer a discover (spec/02 §2.1)? */
import {
  decodeBeaconMessage,
  type Endpoint,
  encodeBeaconMessage,
  PilotError,
  sameEndpoint,
} from '../../core/index.ts'
import type { DatagramSocket } from './transport.ts'

/** When it is asked, in ms from the beginning; then it has a second to answer. */
const ASK_AT_MS = [0, 200, 500, 1000, 2000] as const
const LAST_ANSWER_MS = 1000

/** Asks without a node id, which registers nothing. What else arrives meanwhile is lost. */
export async function udpReaches(
  socket: DatagramSocket,
  beacon: Endpoint,
  signal?: AbortSignal,
): Promise<boolean> {
  const ended = new AbortController()
  let isAnswered = false
  socket.ondatagram = (datagram, from) => {
    if (!sameEndpoint(from, beacon) || !isDiscoverReply(datagram)) return
    isAnswered = true
    ended.abort()
  }
  const signals = signal === undefined ? ended.signal : AbortSignal.any([ended.signal, signal])
  try {
    let passedMs = 0
    for (const at of ASK_AT_MS) {
      await sleep(at - passedMs, signals)
      if (signals.aborted) break
      passedMs = at
      socket.send(encodeBeaconMessage({ type: 'discover', nodeId: 0 }), beacon)
    }
    await sleep(LAST_ANSWER_MS, signals)
  } finally {
    socket.ondatagram = undefined
  }
  return isAnswered
}

function isDiscoverReply(datagram: Uint8Array): boolean {
  try {
    return decodeBeaconMessage(datagram).type === 'discover-reply'
  } catch (error) {
    if (!(error instanceof PilotError)) throw error
    return false
  }
}

/** Ends early when it is aborted. */
function sleep(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) return resolve()
    const over = (): void => {
      clearTimeout(timer)
      signal.removeEventListener('abort', over)
      resolve()
    }
    const timer = setTimeout(over, ms)
    signal.addEventListener('abort', over)
  })
}
