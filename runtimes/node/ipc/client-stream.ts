/**
 * One connection owned by one client: the queue towards the peer, and what waits to be read for the
 * client. Outlives the client until what was handed over is delivered (spec/06 §10).
 */
import type { PilotConnection } from '../../shared/api.ts'
import { ByteQueue } from './byte-queue.ts'
import { encodeRecv, encodeRecvHeader } from './daemon-message.ts'
import { RECV_DATA_MAX, RECV_WINDOW_BYTES } from './opcode.ts'

/** Bytes a client may hand over beyond the connection's own buffer before its socket is paused. */
export const SEND_QUEUE_BYTES: number = 1024 * 1024
/** Once full, the queue counts as full until it is below this. */
const SEND_QUEUE_LOW_BYTES = 512 * 1024
/** A stream whose client is gone is reset when the peer takes nothing for this long. */
const ORPHAN_STALL_MS = 60_000
/** After the peer's end of stream the owner may go on sending; without that our side ends too. */
const HALF_CLOSED_MS = 30_000

/** Sends of one stream whose result is still owed to the client. */
const TRACKED_MAX = 1024

/** Up to this a frame is one piece: a short copy costs less than a second part. */
const JOINED_BYTES_MAX = 4096

export interface ClientStreamOwner {
  /** Bytes, or the end, are there to be drawn with `nextFrame`. */
  onReadable(stream: ClientStream): void
  /** The send queue passed its mark, or is below it again. */
  onSendQueue(stream: ClientStream): void
  /** More of what was handed over is in the connection's send buffer: `takenBytes`. */
  onTaken(stream: ClientStream): void
}

export class ClientStream {
  readonly connection: PilotConnection
  /** Nothing more comes from the peer, and everything that came was drawn. */
  #inputEnded = false
  #gone = false
  #closing = false
  #owner: ClientStreamOwner | undefined
  readonly #queue = new ByteQueue()
  #isQueueFull = false
  /** Of all that was handed over, since the beginning. */
  #givenBytes = 0
  /** Whom to tell when so many bytes are in the connection's send buffer. */
  #tracked: { readonly upTo: number; readonly done: (isTaken: boolean) => void }[] = []
  /** Read, but not drawn: the part of a long chunk that did not fit the last frame. */
  #leftover: Uint8Array | undefined
  readonly #parts: Uint8Array[] = []
  /** Handed to the client, and of that what it says was read; both since the beginning. */
  #drawnBytes = 0
  #readBytes = Number.POSITIVE_INFINITY
  #timer: NodeJS.Timeout | undefined
  readonly #onGone: (stream: ClientStream) => void

  /** `onGone` is called once, when the connection is no more and nothing is left to draw from it. */
  constructor(connection: PilotConnection, onGone: (stream: ClientStream) => void) {
    this.connection = connection
    this.#onGone = onGone
    connection.onwritable = () => this.#flush()
    const gone = (): void => {
      this.#gone = true
      this.#queue.clear()
      this.#isQueueFull = false
      for (const { done } of this.#tracked.splice(0)) done(false)
      clearTimeout(this.#timer)
      this.#owner?.onSendQueue(this)
      if (this.#owner === undefined || this.#closing) this.#onGone(this)
      else this.#owner.onReadable(this)
    }
    // Not `onclose`: a connection may be lost before a dialer hears of it.
    connection.closed.then(gone, gone)
  }

  get id(): number {
    return this.connection.id
  }

  /** The owner sent Close, or vanished. */
  get isClosing(): boolean {
    return this.#closing
  }

  get queuedBytes(): number {
    return this.#queue.length
  }

  get isSendQueueFull(): boolean {
    return this.#isQueueFull
  }

  /** Bytes that went into the connection's send buffer, since the beginning. */
  get takenBytes(): number {
    return this.#givenBytes - this.#queue.length
  }

  /** The client says how much it has read: no more than a window beyond that is drawn from now on. */
  setReadBytes(total: number): void {
    const before = this.#readBytes === Number.POSITIVE_INFINITY ? 0 : this.#readBytes
    this.#readBytes = Math.max(before, Math.min(total, this.#drawnBytes))
    this.#owner?.onReadable(this)
  }

  /** True once all input was drawn and no more can come: time for the CloseOK push. */
  get inputEnded(): boolean {
    return this.#inputEnded
  }

  /** Starts delivery: the frame that announces this connection is on its way. */
  attach(owner: ClientStreamOwner): void {
    this.#owner = owner
    this.connection.onreadable = () => owner.onReadable(this)
    owner.onReadable(this)
  }

  /** False when the connection takes nothing any more. `piece` is copied. */
  send(piece: Uint8Array): boolean {
    if (this.#gone || this.#closing) return false
    if (this.#inputEnded) this.#armHalfClosed()
    this.#givenBytes += piece.length
    const taken = this.#queue.length === 0 ? this.connection.write(piece) : 0
    if (taken < piece.length) {
      this.#queue.append(piece.subarray(taken))
      if (!this.#isQueueFull && this.#queue.length > SEND_QUEUE_BYTES) {
        this.#isQueueFull = true
        this.#owner?.onSendQueue(this)
      }
    }
    if (taken > 0) this.#owner?.onTaken(this)
    return true
  }

  get canTrack(): boolean {
    return this.#tracked.length < TRACKED_MAX
  }

  /** Tells once when everything handed over so far is in the connection's send buffer (true), or never will be. */
  track(done: (isTaken: boolean) => void): void {
    if (this.#queue.length === 0) done(!this.#gone)
    else this.#tracked.push({ upTo: this.#givenBytes, done })
  }

  /** FIN after everything handed over; input from now on is discarded. */
  close(): void {
    if (this.#closing) return
    this.#closing = true
    this.#owner = undefined
    this.#leftover = undefined
    clearTimeout(this.#timer)
    if (this.#gone) {
      this.#onGone(this)
      return
    }
    const discard = (): void => {
      while (this.connection.read() !== undefined);
    }
    this.connection.onreadable = discard
    discard()
    if (this.#queue.length === 0) this.connection.close()
    else this.#armOrphan()
  }

  /**
   * Gives the next Recv frame of at most 65535 bytes of data to `push`, part by part and without a copy. False when
   * there is none, or the client has a window of unread bytes.
   */
  draw(push: (part: Uint8Array) => void): boolean {
    const room = Math.min(RECV_DATA_MAX, RECV_WINDOW_BYTES + this.#readBytes - this.#drawnBytes)
    const parts = this.#parts
    let length = 0
    while (length < room) {
      const piece = this.#leftover ?? this.connection.read()
      this.#leftover = undefined
      if (piece === undefined) break
      const take = Math.min(piece.length, room - length)
      if (take > 0) parts.push(take === piece.length ? piece : piece.subarray(0, take))
      if (take < piece.length) this.#leftover = piece.subarray(take)
      length += take
    }
    if (length > 0) {
      this.#drawnBytes += length
      if (length <= JOINED_BYTES_MAX) push(encodeRecv(this.id, parts, length))
      else {
        push(encodeRecvHeader(this.id, length))
        for (const part of parts) push(part)
      }
      parts.length = 0
      return true
    }
    if (room > 0 && !this.#inputEnded && (this.connection.ended || this.#gone)) {
      this.#inputEnded = true
      if (!this.#gone) this.#armHalfClosed()
    }
    return false
  }

  /** After the CloseOK of an ended connection: true when the stream can be forgotten. */
  get isFinished(): boolean {
    return this.#gone && this.#inputEnded
  }

  #flush(): void {
    const before = this.#queue.length
    for (let piece = this.#queue.peek(); piece !== undefined; piece = this.#queue.peek()) {
      const taken = this.connection.write(piece)
      this.#queue.drop(taken)
      if (taken < piece.length) break
    }
    if (this.#queue.length < before) this.#owner?.onTaken(this)
    const { takenBytes } = this
    while ((this.#tracked[0]?.upTo ?? Number.POSITIVE_INFINITY) <= takenBytes)
      this.#tracked.shift()!.done(true)
    if (this.#closing) {
      if (this.#queue.length > 0) this.#armOrphan()
      else {
        clearTimeout(this.#timer)
        this.connection.close()
      }
    } else if (this.#isQueueFull && this.#queue.length < SEND_QUEUE_LOW_BYTES) {
      this.#isQueueFull = false
      this.#owner?.onSendQueue(this)
    }
  }

  #armOrphan(): void {
    clearTimeout(this.#timer)
    this.#timer = setTimeout(() => this.connection.reset(), ORPHAN_STALL_MS).unref()
  }

  #armHalfClosed(): void {
    clearTimeout(this.#timer)
    this.#timer = setTimeout(() => {
      if (this.#queue.length > 0) this.#armHalfClosed()
      else this.connection.close()
    }, HALF_CLOSED_MS).unref()
  }
}
