/** One TCP connection carried over one stream, both ways (spec/07 §9). */
import type { Socket } from 'node:net'

/** A stream to a node, from whatever dials. */
export interface GatewayStream {
  /** `undefined` at the end. */
  read(): Promise<Uint8Array | undefined>
  /** Resolves when there is room for more. */
  write(data: Uint8Array): Promise<void>
  /** What was written is delivered, then it ends in both directions. */
  close(): Promise<void>
}

/** A client that said all it had to say hears the answer, as long as some of it comes. */
const ANSWER_MS = 30_000

/** Runs until both sides are closed. `socket` must be half-open capable. Never rejects. */
export async function proxyTcp(socket: Socket, stream: GatewayStream): Promise<void> {
  let timer: NodeJS.Timeout | undefined
  let isClientDone = false
  const finish = async (): Promise<void> => {
    clearTimeout(timer)
    await stream.close().catch(() => {})
  }
  const arm = (): void => {
    clearTimeout(timer)
    // Streams have no half close (spec/07 §0.1): an end now would cost the answer.
    if (isClientDone) timer = setTimeout(() => void finish(), ANSWER_MS)
  }
  const up = async (): Promise<void> => {
    for await (const chunk of socket) await stream.write(chunk as Uint8Array)
    isClientDone = true
    arm()
  }
  const down = async (): Promise<void> => {
    for (let chunk = await stream.read(); chunk !== undefined; chunk = await stream.read()) {
      arm()
      if (!socket.write(chunk)) await drained(socket)
    }
    socket.end()
  }
  const lost = async (): Promise<void> => {
    socket.destroy()
    await finish()
  }
  const upward = up().catch(lost)
  await down().catch(lost)
  await finish()
  // The client hears the end; what it still sends has nowhere to go.
  const late = setTimeout(() => socket.destroy(), 1000)
  await upward
  clearTimeout(late)
  socket.destroySoon()
}

function drained(socket: Socket): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      socket.off('drain', done)
      socket.off('close', done)
      resolve()
    }
    if (socket.destroyed) return resolve()
    socket.on('drain', done)
    socket.on('close', done)
  })
}
