/**
 * What waits to be written to one client. Frames go to the socket in order, a bounded amount at a
 * time, so that progress of a slow reader can be told from none. Nothing here ever waits for a client
 * (spec/06 §9): above its mark each kind of frame is held back or dropped by the session.
 */
import type { Socket } from 'node:net'

/** Bytes handed to the socket and not yet taken by the kernel. */
const IN_FLIGHT_BYTES = 256 * 1024
/** Below this stream data is drawn from the connections. */
const STREAM_MARK_BYTES = 256 * 1024
/** Above this datagrams are dropped: a client that does not read loses them, not its streams. */
const DATAGRAM_MARK_BYTES = 1024 * 1024
/** Above this nothing more is read from the client, and it must make progress to stay. */
const HIGH_WATER_BYTES = 4 * 1024 * 1024
const STALL_MS = 10_000

export interface OutboxOptions {
  readonly socket: Socket
  /** There is room for stream data again. */
  readonly onRoom: () => void
  /** Above the high-water mark, and nothing could be written for `stallMs`. */
  readonly onStall: () => void
  /** Default 10 000. */
  readonly stallMs?: number
}

export class Outbox {
  readonly #socket: Socket
  readonly #onRoom: () => void
  readonly #onStall: () => void
  readonly #stallMs: number
  #queue: Uint8Array[] = []
  #head = 0
  #queuedBytes = 0
  #inFlightBytes = 0
  #scheduled = false
  #closed = false
  #stallTimer: NodeJS.Timeout | undefined

  constructor({ socket, onRoom, onStall, stallMs = STALL_MS }: OutboxOptions) {
    this.#socket = socket
    this.#onRoom = onRoom
    this.#onStall = onStall
    this.#stallMs = stallMs
  }

  get bytes(): number {
    return this.#queuedBytes + this.#inFlightBytes
  }

  get hasStreamRoom(): boolean {
    return !this.#closed && this.bytes < STREAM_MARK_BYTES
  }

  get hasDatagramRoom(): boolean {
    return !this.#closed && this.bytes < DATAGRAM_MARK_BYTES
  }

  get isFull(): boolean {
    return this.bytes >= HIGH_WATER_BYTES
  }

  /** Takes a frame, or a part of one, over; it must not be changed afterwards. */
  push(frame: Uint8Array): void {
    if (this.#closed) return
    this.#queue.push(frame)
    this.#queuedBytes += frame.length
    if (this.isFull) this.#watch()
    if (this.#scheduled) return
    this.#scheduled = true
    queueMicrotask(() => {
      this.#scheduled = false
      this.#pump()
    })
  }

  close(): void {
    this.#closed = true
    this.#queue = []
    this.#queuedBytes = 0
    clearTimeout(this.#stallTimer)
  }

  #pump(): void {
    if (this.#closed || this.#head === this.#queue.length) return
    if (this.#inFlightBytes >= IN_FLIGHT_BYTES) return
    const socket = this.#socket
    let bytes = 0
    socket.cork() // one call of the system for all of it
    while (this.#head < this.#queue.length && this.#inFlightBytes + bytes < IN_FLIGHT_BYTES) {
      const part = this.#queue[this.#head++]!
      bytes += part.length
      const isLast =
        this.#head === this.#queue.length || this.#inFlightBytes + bytes >= IN_FLIGHT_BYTES
      if (isLast) socket.write(part, () => this.#written(bytes))
      else socket.write(part)
    }
    this.#queuedBytes -= bytes
    this.#inFlightBytes += bytes
    if (this.#head === this.#queue.length) {
      this.#queue = []
      this.#head = 0
    } else if (this.#head > 1024) {
      this.#queue = this.#queue.slice(this.#head)
      this.#head = 0
    }
    socket.uncork()
  }

  #written(bytes: number): void {
    this.#inFlightBytes -= bytes
    if (this.#closed) return
    if (this.isFull) this.#stallTimer?.refresh()
    else {
      clearTimeout(this.#stallTimer)
      this.#stallTimer = undefined
    }
    this.#pump()
    if (this.hasStreamRoom) this.#onRoom()
  }

  #watch(): void {
    this.#stallTimer ??= setTimeout(() => {
      if (!this.#closed) this.#onStall()
    }, this.#stallMs).unref()
  }
}
