/**
 * One connection owned by one client: the queue towards the peer, and what waits to be read for the
 * client. Outlives the client until what was handed over is delivered (spec/06 §10).
 */
import type { PilotConnection } from '../../shared/api.ts'
import { encodeRecv } from './daemon-message.ts'
import { RECV_DATA_MAX } from './opcode.ts'

/** Bytes a client may hand over beyond the connection's own buffer before its socket is paused. */
export const SEND_QUEUE_BYTES: number = 1024 * 1024
/** A stream whose client is gone is reset when the peer takes nothing for this long. */
const ORPHAN_STALL_MS = 60_000
/** After the peer's end of stream the owner may go on sending; without that our side ends too. */
const HALF_CLOSED_MS = 30_000

/** Sends of one stream whose result is still owed to the client. */
const TRACKED_MAX = 1024

export interface ClientStreamOwner {
  /** Bytes, or the end, are there to be drawn with `nextFrame`. */
  onReadable(stream: ClientStream): void
  /** The send queue passed its mark, or is below it again. */
  onSendQueue(stream: ClientStream): void
}

export class ClientStream {
  readonly connection: PilotConnection
  /** Nothing more comes from the peer, and everything that came was drawn. */
  #inputEnded = false
  #gone = false
  #closing = false
  #owner: ClientStreamOwner | undefined
  #queue: Uint8Array[] = []
  #queuedBytes = 0
  /** Of all that was handed over, since the beginning. */
  #givenBytes = 0
  /** Whom to tell when so many bytes are in the connection's send buffer. */
  #tracked: { readonly upTo: number; readonly done: (isTaken: boolean) => void }[] = []
  /** Read, but not drawn: the part of a long chunk that did not fit the last frame. */
  #leftover: Uint8Array | undefined
  #timer: NodeJS.Timeout | undefined
  readonly #onGone: (stream: ClientStream) => void

  /** `onGone` is called once, when the connection is no more and nothing is left to draw from it. */
  constructor(connection: PilotConnection, onGone: (stream: ClientStream) => void) {
    this.connection = connection
    this.#onGone = onGone
    connection.onwritable = () => this.#flush()
    const gone = (): void => {
      this.#gone = true
      this.#queue = []
      this.#queuedBytes = 0
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
    return this.#queuedBytes
  }

  get isSendQueueFull(): boolean {
    return this.#queuedBytes > SEND_QUEUE_BYTES
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

  /** False when the connection takes nothing any more. `piece` is copied where it must be kept. */
  send(piece: Uint8Array): boolean {
    if (this.#gone || this.#closing) return false
    if (this.#inputEnded) this.#armHalfClosed()
    this.#givenBytes += piece.length
    const taken = this.#queue.length === 0 ? this.connection.write(piece) : 0
    if (taken < piece.length) {
      this.#queue.push(piece.subarray(taken))
      this.#queuedBytes += piece.length - taken
      if (this.isSendQueueFull) this.#owner?.onSendQueue(this)
    }
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

  /** Next Recv frame of at most 65535 bytes of data, merged from what is there; `undefined` when nothing is. */
  nextFrame(): Uint8Array | undefined {
    const pieces: Uint8Array[] = []
    let length = 0
    while (length < RECV_DATA_MAX) {
      const piece = this.#leftover ?? this.connection.read()
      this.#leftover = undefined
      if (piece === undefined) break
      const take = Math.min(piece.length, RECV_DATA_MAX - length)
      if (take > 0) pieces.push(take === piece.length ? piece : piece.subarray(0, take))
      if (take < piece.length) this.#leftover = piece.subarray(take)
      length += take
    }
    if (length > 0) return encodeRecv(this.id, pieces, length)
    if (!this.#inputEnded && (this.connection.ended || this.#gone)) {
      this.#inputEnded = true
      if (!this.#gone) this.#armHalfClosed()
    }
    return undefined
  }

  /** After the CloseOK of an ended connection: true when the stream can be forgotten. */
  get isFinished(): boolean {
    return this.#gone && this.#inputEnded
  }

  #flush(): void {
    const before = this.isSendQueueFull
    let sent = 0
    while (sent < this.#queue.length) {
      const piece = this.#queue[sent]!
      const taken = this.connection.write(piece)
      this.#queuedBytes -= taken
      if (taken < piece.length) {
        this.#queue[sent] = piece.subarray(taken)
        break
      }
      sent++
    }
    this.#queue.splice(0, sent)
    const takenBytes = this.#givenBytes - this.#queuedBytes
    while ((this.#tracked[0]?.upTo ?? Number.POSITIVE_INFINITY) <= takenBytes)
      this.#tracked.shift()!.done(true)
    if (this.#closing) {
      if (this.#queue.length > 0) this.#armOrphan()
      else {
        clearTimeout(this.#timer)
        this.connection.close()
      }
    } else if (before && !this.isSendQueueFull) this.#owner?.onSendQueue(this)
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
