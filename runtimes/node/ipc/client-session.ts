/** One driver on the socket: its requests in order, its ports and its streams (spec/06 §3, §8 to §10). */
import type { Socket } from 'node:net'
import { PilotError, WireError } from '../../../core/errors.ts'
import { BROADCAST_NODE } from '../../../core/wire/address.ts'
import type { PilotConnection, PilotDatagram } from '../../shared/api.ts'
import { broadcastDatagram } from '../../shared/services/broadcast.ts'
import { ClientStream, type ClientStreamOwner } from './client-stream.ts'
import {
  encodeAccept,
  encodeBindOk,
  encodeCloseOk,
  encodeCredit,
  encodeDialOk,
  encodeEmptyReply,
  encodeError,
  encodeRecvFrom,
  encodeUnbindOk,
} from './daemon-message.ts'
import { type DriverMessage, decodeDriverMessage } from './driver-message.ts'
import { dialErrorText, messageOf } from './error-text.ts'
import { FrameDecoder } from './frame.ts'
import {
  encodeNotify,
  encodeSendResult,
  encodeSubscribed,
  encodeTrackedResult,
  SEND_RESULT,
  type SendResultCode,
} from './later-reply.ts'
import { CREDIT_STEP_BYTES, OP, SEND_BYTES_MAX } from './opcode.ts'
import { Outbox } from './outbox.ts'
import { PortClaim } from './port-claim.ts'
import { readShared } from './read-buffer.ts'
import { ReplyQueue } from './reply-queue.ts'
import { answer, type RequestContext } from './requests.ts'
import { TOPICS_MAX, type Topics } from './topics.ts'

/** What a session needs of the server. */
export interface SessionHost extends RequestContext {
  /** Frees a port held by a built-in service that gives way to drivers. */
  lendPort(port: number): void
  /** A driver let go of a port; the built-in service may take it back. */
  returnPort(port: number): void
  /** Any client's stream of this id. */
  findStream(id: number): { stream: ClientStream; session: ClientSession } | undefined
  /** Ends a stream that is not this client's. */
  closeConnection(id: number): void
  adoptStream(stream: ClientStream, session: ClientSession): void
  /** The connection of this stream is gone. */
  forgetStream(stream: ClientStream): void
  countAcceptDrop(): void
  sessionClosed(session: ClientSession): void
  readonly topics: Topics
  readonly stallMs?: number
}

/** Streams of one client (spec/06 §9). */
const STREAMS_MAX = 4096
/** A remote end is told no earlier than this after DialOK or Accept (spec/06 §7, G2). */
const END_AFTER_OPEN_MS = 100

/**
 * A paused socket does not show that its client has died, so now and then one chunk is read all the
 * same, up to this many bytes per stream.
 */
const TRICKLE_MS = 250
const TRICKLE_BYTES_MAX = 4 * 1024 * 1024

interface Entry {
  readonly stream: ClientStream
  readonly openedAt: number
  isEndTold: boolean
  /** Of what the client sent, as the latest credit said. */
  toldBytes: number
}

export class ClientSession implements ClientStreamOwner {
  readonly #host: SessionHost
  readonly #socket: Socket
  readonly #outbox: Outbox
  readonly #replies: ReplyQueue
  readonly #decoder: FrameDecoder
  readonly #ports = new Map<number, PortClaim>()
  readonly #streams = new Map<number, Entry>()
  /** Streams with something to draw, in turn. */
  readonly #readable = new Set<ClientStream>()
  readonly #blockedSends = new Set<ClientStream>()
  readonly #dials = new Set<AbortController>()
  readonly #topics = new Set<string>()
  /** Topics that changed while the client read nothing. */
  readonly #missed = new Set<string>()
  /** It used a request that only v1.9 has, so it knows what SendResult is (spec/06 §11.4). */
  #isV19 = false
  /** Part of the Send that is arriving found no stream to go into. */
  #isSendLost = false
  #drawScheduled = false
  #trickle: NodeJS.Timeout | undefined
  #isPaused = false
  /** It gives credits and gets them (spec/10 §18). */
  #hasFlow = false
  #isClosed = false

  /** `accepted` is paused. */
  constructor(host: SessionHost, accepted: Socket) {
    this.#host = host
    const socket = readShared(accepted, (chunk) => this.#onData(chunk))
    this.#socket = socket
    this.#outbox = new Outbox({
      socket,
      onRoom: () => this.#onRoom(),
      onStall: () => socket.destroy(),
      ...(host.stallMs !== undefined && { stallMs: host.stallMs }),
    })
    this.#replies = new ReplyQueue((frame) => this.#outbox.push(frame))
    this.#decoder = new FrameDecoder({
      sink: {
        frame: (body) => this.#onFrame(body),
        stream: (id, piece) => this.#onSend(id, piece),
        streamEnd: (id) => this.#onSendEnd(id),
      },
      streamOpcode: OP.send,
      streamBytesMax: SEND_BYTES_MAX,
    })
    // A client that exits right after its last request is the normal case: EPIPE and ECONNRESET say
    // nothing that `close` does not.
    socket.on('error', () => {})
    socket.on('end', () => this.close())
    socket.on('close', () => this.close())
  }

  /** Ports are released and dials cancelled at once; streams end after what they were given. */
  close(): void {
    if (this.#isClosed) return
    this.#isClosed = true
    clearInterval(this.#trickle)
    this.#decoder.stop()
    this.#outbox.close()
    this.#replies.clear()
    for (const dial of this.#dials) dial.abort()
    this.#dials.clear()
    for (const [port, claim] of this.#ports) {
      claim.close()
      this.#host.returnPort(port)
    }
    this.#ports.clear()
    for (const { stream } of this.#streams.values()) stream.close()
    this.#streams.clear()
    this.#readable.clear()
    this.#blockedSends.clear()
    this.#socket.destroy()
    this.#host.sessionClosed(this)
  }

  /** Every client hears every datagram, bound or not (spec/06 §5.6). */
  pushDatagram({ source, destinationPort, data }: PilotDatagram): void {
    if (this.#outbox.hasDatagramRoom)
      this.#outbox.push(encodeRecvFrom(source, destinationPort, data))
  }

  /** A topic has changed: who subscribed hears what is so now, later and once if it does not read. */
  notify(topic: string): void {
    if (!this.#topics.has(topic)) return
    if (this.#outbox.hasDatagramRoom)
      this.#outbox.push(encodeNotify(topic, this.#host.topics.snapshot(topic)))
    else this.#missed.add(topic)
  }

  onTaken(stream: ClientStream): void {
    if (!this.#hasFlow) return
    const entry = this.#streams.get(stream.id)
    if (entry !== undefined && stream.takenBytes - entry.toldBytes >= CREDIT_STEP_BYTES)
      this.#credit(entry)
  }

  onReadable(stream: ClientStream): void {
    this.#readable.add(stream)
    if (this.#drawScheduled) return
    this.#drawScheduled = true
    // After all datagrams of this turn of the event loop: their segments share frames (G3).
    setImmediate(() => {
      this.#drawScheduled = false
      this.#draw()
    })
  }

  onSendQueue(stream: ClientStream): void {
    if (stream.isSendQueueFull) this.#blockedSends.add(stream)
    else this.#blockedSends.delete(stream)
    this.#updatePause()
  }

  /** Another client closed this stream: its owner hears of it, unless it knows of the end already. */
  endStream(stream: ClientStream): void {
    const entry = this.#take(stream)
    if (entry !== undefined && !entry.isEndTold) this.#outbox.push(encodeCloseOk(stream.id))
  }

  #onData(chunk: Uint8Array): void {
    try {
      this.#decoder.push(chunk)
    } catch (error) {
      if (!(error instanceof WireError)) throw error
      this.#socket.destroy() // oversize frame: closed without an Error (spec/06 §2)
    }
    this.#updatePause()
  }

  #onFrame(body: Uint8Array): void {
    let message: DriverMessage
    try {
      message = decodeDriverMessage(body.slice()) // what it holds may be needed later
    } catch (error) {
      // Send and SendTo never produce an Error (R4).
      if (body[0] !== OP.send && body[0] !== OP.sendTo)
        this.#replies.reserve()(encodeError(messageOf(error)))
      return
    }
    if (V19_REQUESTS.has(message.type)) this.#isV19 = true
    switch (message.type) {
      case 'send':
        this.#onSend(message.id, message.data)
        this.#onSendEnd(message.id)
        break
      case 'send-tracked':
        this.#onSendTracked(message)
        break
      case 'subscribe':
        this.#onSubscribe(message.topic)
        break
      case 'unsubscribe':
        this.#topics.delete(message.topic)
        this.#missed.delete(message.topic)
        this.#replies.reserve()(encodeEmptyReply(OP.unsubscribeOk))
        break
      case 'flow':
        this.#replies.reserve()(encodeEmptyReply(OP.flowOk), () => {
          this.#hasFlow = true
          for (const entry of this.#streams.values()) {
            this.#credit(entry)
            entry.stream.setReadBytes(0)
          }
        })
        break
      case 'credit':
        this.#streams.get(message.id)?.stream.setReadBytes(message.total)
        break
      case 'send-to':
        this.#onSendTo(message)
        break
      case 'close':
        this.#onClose(message.id)
        break
      case 'cancel':
        for (const dial of this.#dials) dial.abort()
        break
      case 'bind':
        this.#onBind(message.port)
        break
      case 'unbind':
        if (message.dialect === 'v1.9') this.#isV19 = true
        this.#onUnbind(message)
        break
      case 'dial':
        this.#onDial(message)
        break
      default: {
        const reply = this.#replies.reserve()
        void answer(message, this.#host).then((frame) => {
          reply(frame)
          if (message.type.startsWith('trust-')) this.#host.topics.check()
          this.#updatePause()
        })
      }
    }
  }

  #onSubscribe(topic: string): void {
    const reply = this.#replies.reserve()
    if (this.#topics.size >= TOPICS_MAX && !this.#topics.has(topic)) {
      reply(encodeError(`subscribe: more than ${TOPICS_MAX} topics`))
      return
    }
    this.#topics.add(topic)
    reply(encodeSubscribed(topic, this.#host.topics.snapshot(topic)))
  }

  #onBind(port: number): void {
    const reply = this.#replies.reserve()
    if (port === 0) {
      // Deviation: base "binds" port 0, where nothing can ever arrive.
      reply(encodeError('bind: port 0 cannot be bound'))
      return
    }
    let claim: PortClaim
    try {
      if (!this.#ports.has(port)) this.#host.lendPort(port)
      const listener = this.#host.node.listen(port)
      claim = new PortClaim(listener, (connection) => this.#onAccept(port, connection))
    } catch (error) {
      if (!this.#ports.has(port)) this.#host.returnPort(port)
      const taken = error instanceof PilotError && error.code === 'ERR_PORT_IN_USE'
      reply(encodeError(taken ? `port ${port} already bound` : `bind: ${messageOf(error)}`))
      return
    }
    this.#ports.set(port, claim)
    reply(encodeBindOk(port), () => claim.open())
  }

  #onUnbind({ port, dialect }: Extract<DriverMessage, { readonly type: 'unbind' }>): void {
    const reply = this.#replies.reserve()
    const claim = this.#ports.get(port)
    if (claim === undefined) {
      const text =
        dialect === 'h2'
          ? 'unbind: port is not owned by this client'
          : `unbind: port ${port} not owned by client`
      reply(encodeError(text))
      return
    }
    this.#ports.delete(port)
    claim.close()
    this.#host.returnPort(port)
    reply(encodeUnbindOk(port, dialect))
  }

  #onAccept(port: number, connection: PilotConnection): boolean {
    if (this.#outbox.isFull) return false
    if (this.#streams.size >= STREAMS_MAX) {
      this.#host.countAcceptDrop()
      connection.reset()
      return true
    }
    this.#outbox.push(encodeAccept(port, connection.id, connection.remote))
    this.#open(connection)
    return true
  }

  #onDial({ to }: Extract<DriverMessage, { readonly type: 'dial' }>): void {
    const reply = this.#replies.reserve()
    if (this.#streams.size + this.#dials.size >= STREAMS_MAX) {
      reply(encodeError(`dial: per-client connection quota (${STREAMS_MAX}) reached`))
      return
    }
    const abort = new AbortController()
    this.#dials.add(abort)
    this.#host.node.dial(to, { signal: abort.signal }).then(
      (connection) => {
        if (this.#isClosed || abort.signal.aborted) {
          connection.reset()
          reply(encodeError('dial cancelled'))
        } else {
          // Counted as a dial until DialOK leaves: it may have to wait for earlier replies.
          reply(encodeDialOk(connection.id), () => {
            this.#dials.delete(abort)
            this.#open(connection)
          })
          if (this.#dials.has(abort))
            abort.signal.addEventListener('abort', () => connection.reset(), { once: true })
        }
        this.#updatePause()
      },
      (error: unknown) => {
        this.#dials.delete(abort)
        reply(encodeError(dialErrorText(error, to.address.node)))
        this.#updatePause()
      },
    )
  }

  #open(connection: PilotConnection): void {
    const stream = new ClientStream(connection, (gone) => this.#host.forgetStream(gone))
    this.#host.adoptStream(stream, this)
    const openedAt = performance.now()
    this.#streams.set(stream.id, { stream, openedAt, isEndTold: false, toldBytes: 0 })
    if (this.#hasFlow) stream.setReadBytes(0)
    stream.attach(this)
  }

  #onSend(id: number, piece: Uint8Array): void {
    if (this.#isClosed) return
    if (this.#streams.get(id)?.stream.send(piece) !== true) this.#isSendLost = true
  }

  #onSendEnd(id: number): void {
    const entry = this.#streams.get(id)
    const isLost = this.#isSendLost || entry === undefined
    this.#isSendLost = false
    if (this.#isClosed) return
    if (this.#isV19) {
      const [code, text] = sendOutcome(id, isLost, entry !== undefined)
      this.#outbox.push(encodeSendResult(id, code, text))
    }
    // A dead or unknown id: CloseOK is safe for every driver (spec/06 §13). Another client's stream:
    // nothing, or our client could fake an end to itself and hide the refusal.
    if (isLost && (entry !== undefined || this.#host.findStream(id) === undefined))
      this.#outbox.push(encodeCloseOk(id))
  }

  /** Answered when the bytes are in the stream's send buffer; the peer has not acknowledged them then. */
  #onSendTracked({
    id,
    sendId,
    data,
  }: Extract<DriverMessage, { readonly type: 'send-tracked' }>): void {
    const tell = (code: SendResultCode, text: string): void =>
      this.#outbox.push(encodeTrackedResult(id, sendId, code, text))
    const stream = this.#streams.get(id)?.stream
    if (stream?.canTrack === false)
      tell(SEND_RESULT.failed, 'too many sends wait; nothing was sent')
    else if (stream?.send(data) !== true) tell(...sendOutcome(id, true, stream !== undefined))
    else
      stream.track((isTaken) => {
        if (isTaken) tell(SEND_RESULT.ok, '')
        else tell(SEND_RESULT.failed, 'connection closed')
      })
  }

  #onSendTo({ to, data }: Extract<DriverMessage, { readonly type: 'send-to' }>): void {
    if (to.address.node === BROADCAST_NODE) {
      const { network } = to.address
      // Unreliable by contract (R4), as below.
      broadcastDatagram(this.#host.node, { network, port: to.port, data }).catch(() => {})
      return
    }
    try {
      this.#host.node.sendDatagram(to, data)
    } catch (error) {
      if (!(error instanceof PilotError)) throw error // unreliable by contract: dropped, no Error (R4)
    }
  }

  /** Any id, owned or not: the stream ends and CloseOK comes back (spec/06 §5.5). */
  #onClose(id: number): void {
    const own = this.#streams.get(id)
    if (own !== undefined) {
      this.#take(own.stream)
      own.stream.close()
    } else this.#host.closeConnection(id)
    this.#outbox.push(encodeCloseOk(id))
  }

  /** One frame per stream and turn, as long as there is room. */
  #draw(): void {
    if (this.#isClosed) return
    while (this.#outbox.hasStreamRoom) {
      const next = this.#readable.values().next()
      if (next.done === true) return
      const stream = next.value
      this.#readable.delete(stream)
      if (stream.draw(this.#push)) this.#readable.add(stream)
      else if (stream.inputEnded) this.#onInputEnd(stream)
    }
  }

  readonly #push = (part: Uint8Array): void => this.#outbox.push(part)

  #credit(entry: Entry): void {
    entry.toldBytes = entry.stream.takenBytes
    this.#outbox.push(encodeCredit(entry.stream.id, entry.toldBytes))
  }

  #onInputEnd(stream: ClientStream): void {
    const entry = this.#streams.get(stream.id)
    if (entry === undefined) return
    const tell = (): void => {
      if (this.#isClosed || this.#streams.get(stream.id) !== entry) return
      if (!entry.isEndTold) this.#outbox.push(encodeCloseOk(stream.id))
      entry.isEndTold = true
      if (stream.isFinished) {
        this.#take(stream)
        stream.close()
      }
    }
    const wait = entry.openedAt + END_AFTER_OPEN_MS - performance.now()
    if (wait > 0) setTimeout(tell, wait)
    else tell()
  }

  /** The stream is this client's no longer. */
  #take(stream: ClientStream): Entry | undefined {
    const entry = this.#streams.get(stream.id)
    this.#streams.delete(stream.id)
    this.#readable.delete(stream)
    this.#blockedSends.delete(stream)
    this.#updatePause()
    return entry
  }

  #onRoom(): void {
    for (const claim of this.#ports.values()) claim.flush()
    for (const topic of [...this.#missed]) {
      this.#missed.delete(topic)
      this.notify(topic)
    }
    this.#draw()
    this.#updatePause()
  }

  /** Reading stops while a stream's send queue, the requests or the replies are over their mark. */
  #updatePause(): void {
    if (this.#isClosed) return
    const isBlocked = this.#blockedSends.size > 0 || this.#replies.isFull || this.#outbox.isFull
    if (isBlocked === this.#isPaused) return
    this.#isPaused = isBlocked
    if (isBlocked) {
      this.#socket.pause()
      this.#trickle ??= setInterval(() => this.#readOneChunk(), TRICKLE_MS).unref()
    } else {
      clearInterval(this.#trickle)
      this.#trickle = undefined
      this.#socket.resume()
    }
  }

  #readOneChunk(): void {
    const isOver = [...this.#blockedSends].some((one) => one.queuedBytes > TRICKLE_BYTES_MAX)
    if (isOver || this.#replies.isFull || this.#outbox.isFull) return
    this.#isPaused = false // until that chunk has come
    this.#socket.resume()
  }
}

/** As v1.9 puts it. */
function sendOutcome(
  id: number,
  isLost: boolean,
  isOwn: boolean,
): readonly [SendResultCode, string] {
  if (!isLost) return [SEND_RESULT.ok, '']
  return isOwn
    ? [SEND_RESULT.notEstablished, 'connection not established']
    : [SEND_RESULT.notFound, `connection ${id} not found`]
}

/** Unbind is known by its number. */
const V19_REQUESTS: ReadonlySet<DriverMessage['type']> = new Set([
  'lookup-node',
  'set-peer-endpoints',
  'subscribe',
  'unsubscribe',
  'send-tracked',
  'sign-challenge',
])
