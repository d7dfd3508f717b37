/**
 * Messages of remote WebRTC over a pipe: u32 length of the rest, u8 kind, and either JSON or, for packed frames, u32
 * connection and the bytes as they are. Frames are the bulk: nothing of them is turned into text.
 */
import type { Socket } from 'node:net'
import type { ClientMessage, HostMessage, MessageLane } from '../../shared/rtc/remote-messages.ts'

const HEAD_BYTES = 5
const JSON_MESSAGE = 0
const FRAMES_MESSAGE = 1
/** Packed frames are at most 256 KiB and a frame; a description is a few KiB. */
const MESSAGE_MAX = 1 << 20

export type PipeMessage = ClientMessage | HostMessage

/** What the processes say beside messages of connections. */
export type ControlMessage =
  | { readonly kind: 'ready'; readonly backend: string }
  | { readonly kind: 'unusable'; readonly reason: string }
  | { readonly kind: 'ping' | 'pong' }

export class PipeLane<Out extends PipeMessage, In extends PipeMessage>
  implements MessageLane<Out, In>
{
  onmessage: ((message: In) => void) | undefined
  oncontrol: ((message: ControlMessage) => void) | undefined
  readonly #socket: Socket
  #chunks: Buffer[] = []
  #buffered = 0

  /** Whatever is no message of ours destroys the pipe. */
  constructor(socket: Socket) {
    this.#socket = socket
    socket.on('data', (chunk) => this.#read(chunk))
  }

  post(message: Out): void {
    if (message.kind === 'frames') this.#write(FRAMES_MESSAGE, message.packed, message.connection)
    else this.#write(JSON_MESSAGE, Buffer.from(JSON.stringify(message)))
  }

  postControl(message: ControlMessage): void {
    this.#write(JSON_MESSAGE, Buffer.from(JSON.stringify(message)))
  }

  #write(kind: number, bytes: Uint8Array, connection?: number): void {
    const socket = this.#socket
    if (socket.destroyed || socket.writableEnded) return
    const head = Buffer.allocUnsafe(connection === undefined ? HEAD_BYTES : HEAD_BYTES + 4)
    head.writeUInt32BE(head.length - 4 + bytes.length)
    head[4] = kind
    if (connection !== undefined) head.writeUInt32BE(connection, HEAD_BYTES)
    socket.cork()
    socket.write(head)
    socket.write(bytes)
    socket.uncork()
  }

  #read(chunk: Buffer): void {
    this.#chunks.push(chunk)
    this.#buffered += chunk.length
    while (this.#buffered >= 4) {
      const length = this.#need(4).readUInt32BE()
      if (length < 1 || length > MESSAGE_MAX) return this.#break()
      if (this.#buffered < 4 + length) return
      const message = this.#need(4 + length)
      this.#drop(4 + length)
      if (!this.#deliver(message[4]!, message.subarray(HEAD_BYTES, 4 + length)))
        return this.#break()
    }
  }

  #deliver(kind: number, bytes: Buffer): boolean {
    if (kind === FRAMES_MESSAGE && bytes.length >= 4) {
      const connection = bytes.readUInt32BE()
      this.onmessage?.({
        kind: 'frames',
        connection,
        packed: bytes.subarray(4),
      } as PipeMessage as In)
      return true
    }
    if (kind !== JSON_MESSAGE) return false
    let message: PipeMessage | ControlMessage
    try {
      message = JSON.parse(bytes.toString()) as PipeMessage | ControlMessage
    } catch {
      return false
    }
    if ('connection' in message) this.onmessage?.(message as In)
    else this.oncontrol?.(message)
    return true
  }

  /** The first `bytes` in one piece, which are there. */
  #need(bytes: number): Buffer {
    const [first] = this.#chunks
    if (first !== undefined && first.length >= bytes) return first
    const whole = Buffer.concat(this.#chunks)
    this.#chunks = [whole]
    return whole
  }

  #drop(bytes: number): void {
    const [first] = this.#chunks
    this.#buffered -= bytes
    if (first!.length === bytes) this.#chunks.shift()
    else this.#chunks[0] = first!.subarray(bytes)
  }

  #break(): void {
    this.#chunks = []
    this.#buffered = 0
    this.#socket.destroy()
  }
}
