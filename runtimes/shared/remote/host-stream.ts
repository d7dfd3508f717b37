/** One connection of the node, as its user elsewhere sees it: read as far as the user has room, written in order. */
import { concat } from '../../../core/bytes.ts'
import type { PilotConnection } from '../api.ts'
import type { Lane } from './lane.ts'
import { packError } from './remote-error.ts'
import { STREAM_PIECE_BYTES, STREAM_WINDOW_BYTES, type StreamHead } from './remote-message.ts'

/** The user is told of room in steps of this size: it has several of them. */
const CREDIT_BYTES: number = STREAM_WINDOW_BYTES / 4

export class HostStream {
  readonly connection: PilotConnection
  readonly #lane: Lane
  /** Bytes the user still has room for. */
  #room = STREAM_WINDOW_BYTES
  /** Bytes read from the connection that do not fit into a piece. */
  #rest: Uint8Array | undefined
  /** From the user, not taken by the connection yet: at most a window, or the user broke the rules. */
  readonly #queue: Uint8Array[] = []
  #queued = 0
  /** Taken by the connection, and the user not told yet. */
  #taken = 0
  #isClosing = false
  #isClosed = false
  #isEnded = false
  #state: string

  /** `onover` is called once, when the connection is gone and everything about it was said. */
  constructor(connection: PilotConnection, lane: Lane, onover: () => void) {
    this.connection = connection
    this.#lane = lane
    this.#state = connection.state
    connection.onreadable = () => this.#pump()
    connection.onwritable = () => this.#flush()
    connection.onclose = (error) => {
      this.#isClosed = true
      this.#queue.length = 0
      // Everything that is left goes now, room or not: at most a receive buffer, and then nothing is held here.
      this.#room = Number.POSITIVE_INFINITY
      this.#pump()
      const packed = error === undefined ? undefined : packError(error)
      lane.post({ type: 'closed', stream: connection.id, state: connection.state, error: packed })
      onover()
    }
  }

  get head(): StreamHead {
    const { id, local, remote, state } = this.connection
    return { id, local, remote, state }
  }

  /** After the user has been told of the stream. */
  start(): void {
    this.#pump()
  }

  addRoom(bytes: number): void {
    // No more than was ever granted: a wrong figure must not undo the limit.
    this.#room = Math.min(STREAM_WINDOW_BYTES, this.#room + bytes)
    this.#pump()
  }

  /** False when the user sent more than it has room for. */
  write(data: Uint8Array): boolean {
    if (this.#isClosed || this.#isClosing) return true // it was on its way; as writes to a closed stream
    if (this.#queued + data.length > STREAM_WINDOW_BYTES) return false
    this.#queue.push(data)
    this.#queued += data.length
    this.#flush()
    return true
  }

  close(): void {
    this.#isClosing = true
    this.#flush()
  }

  reset(): void {
    this.#rest = undefined
    this.connection.reset()
  }

  #flush(): void {
    let taken = 0
    while (this.#queue.length > 0) {
      const piece = this.#queue[0]!
      const count = this.connection.write(piece)
      taken += count
      if (count < piece.length) {
        this.#queue[0] = piece.subarray(count)
        break
      }
      this.#queue.shift()
    }
    this.#queued -= taken
    this.#taken += taken
    if (this.#taken >= CREDIT_BYTES) {
      this.#lane.post({ type: 'credit', stream: this.connection.id, bytes: this.#taken })
      this.#taken = 0
    }
    if (this.#isClosing && this.#queue.length === 0) this.connection.close()
    this.#tellState()
  }

  /** Sends what can be read and the user has room for: what came at once goes at once. */
  #pump(): void {
    if (this.#isEnded) return
    const { connection } = this
    while (this.#room > 0) {
      const piece = this.#gather(Math.min(this.#room, STREAM_PIECE_BYTES))
      if (piece === undefined) break
      this.#room -= piece.length
      this.#lane.post({ type: 'data', stream: connection.id, data: piece }, [piece.buffer])
    }
    if (this.#rest === undefined && connection.ended) {
      this.#isEnded = true
      this.#lane.post({ type: 'end', stream: connection.id })
    }
    this.#tellState()
  }

  /** Up to `limit` bytes in memory of their own. */
  #gather(limit: number): Uint8Array<ArrayBuffer> | undefined {
    const pieces: Uint8Array[] = []
    let length = 0
    while (length < limit) {
      const next = this.#rest ?? this.connection.read()
      this.#rest = undefined
      if (next === undefined) break
      const take = next.length > limit - length ? next.subarray(0, limit - length) : next
      if (take.length < next.length) this.#rest = next.subarray(take.length)
      pieces.push(take)
      length += take.length
    }
    return length === 0 ? undefined : concat(...pieces)
  }

  #tellState(): void {
    const { id, state } = this.connection
    if (state === this.#state) return
    this.#state = state
    this.#lane.post({ type: 'stream-state', stream: id, state })
  }
}
