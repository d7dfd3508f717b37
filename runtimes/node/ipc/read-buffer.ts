/**
 * Reads accepted sockets into one buffer. Node gives every chunk of a socket memory of its own, 64 KiB at a time: at
 * a gigabyte a second its collector then works as long as everything else together.
 */
import { Socket } from 'node:net'

/** More than a Unix socket holds on most systems: one read takes all that is there. */
const READ_BYTES = 256 * 1024

let shared: Uint8Array | undefined

/**
 * `accepted` comes from a server with `pauseOnConnect`. The socket returned takes its place; `ondata` gets what
 * arrives: a view, valid during the call only.
 */
export function readShared(accepted: Socket, ondata: (chunk: Uint8Array) => void): Socket {
  const inner = accepted as unknown as { _handle?: object | null }
  const handle = inner._handle
  // Elsewhere a read may be under way in the background, each in need of its own memory.
  if (handle === undefined || handle === null || process.platform === 'win32') {
    accepted.on('data', ondata)
    accepted.resume()
    return accepted
  }
  inner._handle = null
  // Node asks for the buffer right before it reads and tells of the bytes right after: no two sockets meet in it.
  shared ??= new Uint8Array(READ_BYTES)
  const options = {
    handle, // undocumented, but what Node itself passes
    readable: true,
    writable: true,
    onread: {
      buffer: shared,
      callback: (bytes: number, buffer: Uint8Array): boolean => {
        ondata(buffer.subarray(0, bytes))
        return true
      },
    },
  }
  const socket = new Socket(options as ConstructorParameters<typeof Socket>[0])
  // The server counts the first one until that is closed.
  socket.once('close', () => accepted.destroy())
  return socket
}
