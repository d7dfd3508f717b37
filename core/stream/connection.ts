/**
 * A stream connection (spec/03 Part A): routes segments to its parts, and puts their packets on the wire. The
 * parts are the handshake (`opening.ts`), the two directions (`sender.ts`, `receiver.ts`) and the end
 * (`closing.ts`). What a packet without a connection gets is the caller's.
 */
import { UsageError } from '../errors.ts'
import type { Instant } from '../machine.ts'
import type { SocketAddress } from '../wire/address.ts'
import { FLAG, PACKET_HEADER_BYTES } from '../wire/packet.ts'
import { looksLikeSack, sackBytes } from '../wire/sack.ts'
import { Closing } from './closing.ts'
import type { ConnectionFailure, ConnectionOptions, ConnectionState } from './connection-options.ts'
import { type ConnectionEvent, EventSet } from './events.ts'
import { type ConnectionStats, type ConnectionStreamInfo, infoOf, statsOf } from './info.ts'
import { Liveness } from './liveness.ts'
import { Opening } from './opening.ts'
import { Outgoing } from './outgoing.ts'
import type { PathChange } from './path-transition.ts'
import { isModernWindow, Receiver } from './receiver.ts'
import { Sender } from './sender.ts'
import { type ConnectionTuning, tuningOf } from './tuning.ts'

export type { ConnectionEvent, ConnectionFailure, ConnectionOptions, ConnectionState }

const NEVER = Number.POSITIVE_INFINITY
const { SYN, ACK, FIN, RST } = FLAG

/** A repeated FIN or SYN-ACK is answered at most this often, and in TIME_WAIT as spec/03 §3.1 says. */
const REPEAT_ANSWER_MS = 200
const TIME_WAIT_ANSWER_MS = 1000

/** Retransmissions in a row after which a connection is stuck. */
const STUCK_SYNS = 3
const STUCK_TIMEOUTS = 2

export class Connection {
  readonly id: number
  readonly local: SocketAddress
  readonly remote: SocketAddress
  readonly #tuning: ConnectionTuning
  readonly #opening: Opening
  readonly #sender: Sender
  readonly #receiver: Receiver
  readonly #closing: Closing
  readonly #liveness: Liveness
  readonly #outgoing: Outgoing
  /** Dialed, and the peer is known to be of our kind. */
  readonly #isEager: boolean

  #state: ConnectionState
  #failure: ConnectionFailure | undefined
  readonly #events = new EventSet()
  #wantsReadable = true
  #mayTransmit = true

  #timeWaitAt: Instant = NEVER
  #lastAnswerAt: Instant = Number.NEGATIVE_INFINITY
  #segmentsReceived = 0

  private constructor(options: ConnectionOptions, synSeq?: number) {
    const { now } = options
    const tuning = tuningOf(options.tuning)
    const isn = options.isn >>> 0
    this.id = options.id
    this.local = options.local
    this.remote = options.remote
    this.#tuning = tuning
    this.#sender = new Sender(isn, tuning, now)
    this.#receiver = new Receiver(tuning, options.memory)
    this.#closing = new Closing(this.#sender, this.#receiver, tuning, now)
    this.#opening =
      synSeq === undefined
        ? Opening.dial(isn, tuning, now)
        : Opening.accept(isn, synSeq >>> 0, tuning, now)
    this.#state = synSeq === undefined ? 'SYN_SENT' : 'SYN_RECEIVED'
    this.#liveness = new Liveness(tuning, now)
    this.#outgoing = new Outgoing({
      local: options.local,
      remote: options.remote,
      isn,
      opening: this.#opening,
      sender: this.#sender,
      receiver: this.#receiver,
      closing: this.#closing,
      liveness: this.#liveness,
      earlyDataMax: options.earlyDataMax ?? 0,
    })
    this.#isEager = (options.earlyDataMax ?? 0) > 0
    this.#sender.setPathSegment(options.segmentBytes)
  }

  /** Opens toward a listener: a SYN is queued. */
  static dial(options: ConnectionOptions): Connection {
    return new Connection(options)
  }

  /**
   * Answers a SYN: a SYN-ACK is queued. `connected` follows when any packet acknowledges it, or when the
   * SYN is not repeated for `thirdPacketMs`: a G1 dialer whose third packet was lost has nothing more to
   * say until it writes, and no second SYN-ACK moves it (spec/03 §2.1). With `payload` of our own kind the
   * connection is open at once (spec/10 §20); of others it is ignored, as by the references.
   */
  static accept(
    options: ConnectionOptions,
    synSeq: number,
    synWindow: number,
    payload?: Uint8Array,
  ): Connection {
    const connection = new Connection(options, synSeq)
    connection.#start(synSeq, synWindow)
    if (payload !== undefined && payload.length > 0 && connection.peerIsModern)
      connection.#startEarly(synSeq, payload, options.now)
    return connection
  }

  get state(): ConnectionState {
    return this.#state
  }
  get failure(): ConnectionFailure | undefined {
    return this.#failure
  }
  get readableBytes(): number {
    return this.#receiver.readableBytes
  }
  /** Bytes a `write` would take now. */
  get writableBytes(): number {
    return this.#canWrite ? this.#sender.free : 0
  }
  /** True when the peer's end of stream arrived and everything before it was read. */
  get ended(): boolean {
    return this.#receiver.isEnded && this.#receiver.readableBytes === 0
  }
  /** True when the peer acknowledged everything written. */
  get isDrained(): boolean {
    return this.#sender.isDrained
  }
  /** The peer counts windows in bytes and takes segments of any size (spec/10 §1). */
  get peerIsModern(): boolean {
    return this.#receiver.peerIsModern
  }
  /** What was sent went unanswered again and again: the way there may be dead, whatever comes from there. */
  get isStuck(): boolean {
    if (this.#state === 'SYN_SENT') return this.#opening.repeats >= STUCK_SYNS
    return this.#sender.rtt.backoffs >= STUCK_TIMEOUTS
  }
  /** True when `pollTransmit` might give a packet. */
  get wantsTransmit(): boolean {
    return this.#mayTransmit
  }

  get stats(): ConnectionStats {
    return statsOf(this.#sender, this.#receiver, this.#segmentsReceived)
  }

  info(): ConnectionStreamInfo {
    return infoOf(this.#sender, this.#receiver, this.#tuning)
  }

  /**
   * A packet of this connection arrived. `payload` is kept where it must be, without a copy: its memory
   * must not change afterwards. No field values make this throw.
   */
  handleSegment(
    flags: number,
    seq: number,
    ack: number,
    window: number,
    payload: Uint8Array,
    now: Instant,
  ): void {
    if (this.#state === 'CLOSED') return
    this.#mayTransmit = true
    // First match wins (spec/03 §1).
    if ((flags & SYN) !== 0) {
      if ((flags & ACK) !== 0) this.#handleSynAck(seq, ack, window, payload, now)
      else this.#handleSyn(seq, now)
    } else if ((flags & FIN) !== 0) this.#handleFin(flags, seq, ack, payload, now)
    else if ((flags & RST) !== 0) this.#handleRst()
    else if ((flags & ACK) !== 0) this.#handleAck(flags, seq, ack, window, payload, now)
  }

  /**
   * True when a SYN with this number, arriving on this connection, comes from a peer that lost it and
   * dials anew from the same port: replace this connection by one that accepts the SYN.
   */
  isSupersededBy(synSeq: number, now: Instant): boolean {
    if (this.#opening.isDialer) return false
    if (this.#state === 'CLOSED' || this.#state === 'TIME_WAIT') return true
    return this.#opening.isNewDial(synSeq, this.#state === 'SYN_RECEIVED', now)
  }

  handleTimeout(now: Instant): void {
    const due = this.pollTimeout()
    if (due === undefined || now < due) return
    this.#mayTransmit = true
    this.#receiver.handleTimeout(now)
    const wasEnded = this.#receiver.isEnded
    const outcome =
      this.#sender.handleTimeout(now) ??
      this.#opening.handleTimeout(now) ??
      this.#closing.handleTimeout(now) ??
      this.#liveness.handleTimeout(now)
    if (this.#liveness.isKeepaliveDue) this.#sender.rest()
    if (this.#receiver.isEnded && !wasEnded) this.#handleEnd(now)
    if (outcome === 'open') this.#establish(now)
    else if (outcome === 'done') this.#enterTimeWait(now)
    else if (outcome === 'truncated') this.#finish('truncated', !this.#closing.isSent)
    else if (outcome === 'timeout')
      // Half-open ends in silence: RST would refuse a dialer whose SYNs still come, but seldom.
      this.#finish('timeout', this.#opening.isSent && this.#state !== 'SYN_RECEIVED')
    else if (now >= this.#timeWaitAt) this.#free()
  }

  pollTimeout(): Instant | undefined {
    const at = Math.min(
      this.#receiver.nextTimeoutAt,
      this.#sender.nextTimeoutAt,
      this.#opening.nextTimeoutAt,
      this.#closing.nextTimeoutAt,
      this.#timeWaitAt,
      this.#liveness.nextTimeoutAt,
    )
    return at === NEVER ? undefined : at
  }

  /**
   * Writes one whole packet at `out[offset..]` and returns its length, 0 when nothing is due.
   *
   * @throws {UsageError} `ERR_INVALID_ARGUMENT` when fewer than 34 + `segmentBytes` bytes are there.
   */
  pollTransmit(out: Uint8Array, offset: number, now: Instant): number {
    if (!this.#mayTransmit) return 0
    const need = PACKET_HEADER_BYTES + Math.max(this.#sender.segmentBytes, sackBytes(4))
    if (out.length - offset < need)
      throw new UsageError(
        'ERR_INVALID_ARGUMENT',
        `a packet needs ${need} bytes of room, got ${out.length - offset}`,
      )
    const length = this.#outgoing.next(this.#phase, out, offset, now)
    if (length === 0) this.#mayTransmit = false
    else this.#liveness.handleSent(now)
    return length
  }

  pollEvent(): ConnectionEvent | undefined {
    return this.#events.poll()
  }

  /** Copies what fits into the send buffer and returns how much; 0 once closed. */
  write(data: Uint8Array, _now: Instant): number {
    if (!this.#canWrite || data.length === 0) return 0
    this.#mayTransmit = true
    return this.#sender.write(data)
  }

  /** The next bytes in order, up to 64 KiB, or `undefined`. Works after `closed` until everything was read. */
  read(now: Instant): Uint8Array | undefined {
    const { rtt } = this.#sender
    const bytes = this.#receiver.read(rtt.hasSample ? rtt.minMs : this.#opening.rttMs, now)
    if (bytes === undefined) this.#wantsReadable = true
    else if (this.#isOpen && this.#receiver.isAckDue) this.#mayTransmit = true
    return bytes
  }

  /**
   * No more writes. What was written is delivered, as long as the peer acknowledges, then FIN. Reading goes on until the peer's FIN, which the references send at once (spec/03 §3).
   */
  close(now: Instant): void {
    if (this.#closing.isRequested || this.#state === 'CLOSED' || this.#state === 'TIME_WAIT') return
    this.#closing.request()
    this.#mayTransmit = true
    if (this.#state === 'SYN_SENT' && this.#sender.isDrained)
      this.#finish(undefined, this.#opening.isSent)
    else this.#advance(now)
  }

  /** Drops everything, unread bytes too, and tells the peer. */
  reset(_now: Instant): void {
    if (this.#state !== 'CLOSED') this.#finish('reset', this.#opening.isSent)
    this.#receiver.discard()
  }

  /** The tunnel is gone: closed without a packet. */
  abort(reason: 'reset' | 'timeout', _now: Instant): void {
    if (this.#state !== 'CLOSED') this.#finish(reason, false)
  }

  /** Payload of a segment that the present path carries, toward peers that count bytes; what is under way stays as it is. */
  setSegmentBytes(bytes: number | undefined): void {
    this.#sender.setPathSegment(bytes)
  }

  /** The packets take another way: what was lost on the old one is sent again at once. */
  handlePathChange(now: Instant, change: PathChange = {}): void {
    if (this.#state === 'CLOSED' || this.#state === 'TIME_WAIT') return
    this.#mayTransmit = true
    this.#sender.setPathSegment(change.segmentBytes)
    if (this.#isOpen) {
      this.#sender.handlePathChange(now, change)
      this.#closing.handlePathChange(now)
    } else this.#opening.handlePathChange(now)
  }

  get #phase(): 'over' | 'opening' | 'open' {
    if (this.#state === 'CLOSED') return 'over'
    return this.#state === 'SYN_SENT' || this.#state === 'SYN_RECEIVED' ? 'opening' : 'open'
  }

  get #isOpen(): boolean {
    return (
      this.#state === 'ESTABLISHED' || this.#state === 'CLOSE_WAIT' || this.#state === 'FIN_WAIT'
    )
  }

  get #canWrite(): boolean {
    return !this.#closing.isRequested && this.#state !== 'CLOSED' && this.#state !== 'TIME_WAIT'
  }

  /** The peer's SYN number and first window are known. */
  #start(synSeq: number, window: number): void {
    this.#receiver.start(synSeq)
    this.#sender.start(window, synSeq)
    this.#noteWindow(window)
  }

  /** What came with the SYN is there; the SYN-ACK takes the answer along if that is made in this turn. */
  #startEarly(synSeq: number, payload: Uint8Array, now: Instant): void {
    const opening = this.#opening
    this.#establish(now)
    this.#handleData(synSeq + 1, payload, now)
    opening.noteEarly(this.#receiver.offset)
    opening.holdBack(now)
  }

  #noteWindow(window: number): void {
    if (!isModernWindow(window)) return
    this.#sender.noteModernPeer()
    this.#receiver.peerIsModern = true
  }

  #handleSyn(seq: number, now: Instant): void {
    if (this.#opening.isDialer || this.#state === 'TIME_WAIT') return
    // The peer forgot this connection. Its next SYN finds none and opens a new one.
    if (this.isSupersededBy(seq, now)) this.#finish('reset', false)
    else if (this.#receiver.offset === this.#opening.earlyBytes)
      this.#opening.handleRepeatedSyn(this.#state === 'SYN_RECEIVED', now)
  }

  #handleSynAck(seq: number, ack: number, window: number, payload: Uint8Array, now: Instant): void {
    const opening = this.#opening
    if (this.#state !== 'SYN_SENT') {
      // A copy, or our kind asking for a third packet that was lost; references need no answer.
      const isCopy = opening.isDialer && seq >>> 0 === opening.synSeq && this.#receiver.isEmpty
      if (this.#isOpen && isCopy) this.#answerRepeat(now)
      return
    }
    switch (opening.handleSynAck(seq, ack)) {
      case 'ignore':
        return
      case 'stale':
        this.#outgoing.requestRst(ack >>> 0)
        return
      case 'open':
        this.#start(seq, window)
        this.#sender.startAt(opening.bytesTaken(ack))
        // Toward our own kind it may go with the first data.
        if (this.#isEager) this.#receiver.requestAckSoon(now)
        else this.#receiver.requestAck()
        this.#establish(now)
        if (payload.length > 0 && this.peerIsModern) this.#handleData(seq + 1, payload, now)
        for (const one of opening.takeEarly())
          this.handleSegment(one.flags, one.seq, one.ack, one.window, one.payload, now)
    }
  }

  #establish(now: Instant): void {
    this.#state = 'ESTABLISHED'
    this.#opening.complete(now)
    this.#heard(now)
    this.#liveness.start(now)
    this.#events.add('connected')
    this.#advance(now)
  }

  #handleRst(): void {
    if (this.#state === 'SYN_SENT') {
      if (this.#opening.isSent) this.#finish('refused', false)
      return
    }
    // Everything of both sides arrived: what is cut short is only the goodbye.
    const isDone = this.#receiver.isEnded && this.#sender.isDrained
    this.#finish(isDone ? undefined : 'reset', false)
  }

  #handleAck(
    flags: number,
    seq: number,
    ack: number,
    window: number,
    payload: Uint8Array,
    now: Instant,
  ): void {
    if (this.#state === 'SYN_SENT') {
      if (this.#opening.isAnswer(ack)) this.#opening.hold({ flags, seq, ack, window, payload })
      return
    }
    if (this.#state === 'SYN_RECEIVED') {
      if (!this.#opening.isAnswer(ack)) return
      this.#establish(now)
    }
    if (!this.#isOpen) return
    const isSack =
      payload.length > 0 &&
      looksLikeSack(payload) &&
      payload.length === sackBytes(payload[4]!) &&
      this.#sender.areOurs(payload)
    // An ack of what was never sent belongs to another life of this port pair; 0 is none (spec/03 §4).
    if (ack !== 0 && !this.#closing.handleAck(ack)) {
      if (this.#sender.isBeyond(ack)) return
      const sack = isSack ? payload : undefined
      this.#sender.handleAck(seq, ack, window, payload.length === 0, sack, now)
    }
    this.#heard(now)
    this.#noteWindow(window)
    if (payload.length > 0 && !isSack) this.#handleData(seq, payload, now)
    if (this.#sender.takeRoom()) this.#events.add('writable')
    this.#advance(now)
  }

  #handleData(seq: number, payload: Uint8Array, now: Instant): void {
    this.#segmentsReceived++
    const wasEnded = this.#receiver.isEnded
    if (!this.#receiver.handleData(seq, payload, now)) return
    this.#closing.handleDelivered(now)
    if (this.#wantsReadable) {
      this.#wantsReadable = false
      this.#events.add('readable')
    }
    if (this.#receiver.isEnded && !wasEnded) this.#handleEnd(now)
  }

  #handleFin(flags: number, seq: number, ack: number, payload: Uint8Array, now: Instant): void {
    if (this.#state === 'SYN_SENT') {
      this.#opening.hold({ flags, seq, ack, window: 0, payload })
      return
    }
    if (this.#state === 'SYN_RECEIVED') this.#establish(now)
    // Of ack and window only what concerns our FIN counts: window 0 does not mean closed here.
    if ((flags & ACK) !== 0) this.#closing.handleAck(ack)
    if (this.#state === 'TIME_WAIT' || this.#receiver.isEnded) {
      this.#answerRepeat(now)
      this.#advance(now)
      return
    }
    this.#heard(now)
    if (payload.length > 0) {
      // G2 sends data due again as FIN while it closes (spec/03 §3). Its true FIN has no payload.
      this.#handleData(seq, payload, now)
      if (!this.#receiver.isEnded) this.#closing.handleGap(now)
    } else if (this.#receiver.handleFin(seq)) {
      if (this.#receiver.isEnded) this.#handleEnd(now)
      else this.#closing.handleGap(now)
    }
    this.#advance(now)
  }

  /** Every byte of the peer is here. A FIN is answered by a pure ACK, never by FIN (spec/03 §3.1). */
  #handleEnd(now: Instant): void {
    this.#closing.handleDelivered(now)
    this.#receiver.requestAck()
    if (this.#state === 'ESTABLISHED') this.#state = 'CLOSE_WAIT'
    this.#events.add('ended')
    this.#advance(now)
  }

  #heard(now: Instant): void {
    this.#liveness.handleHeard(now)
    this.#closing.handleHeard(now)
  }

  /** Answers a repeated FIN or SYN-ACK by an ACK, rarely enough to feed no storm. */
  #answerRepeat(now: Instant): void {
    const intervalMs = this.#state === 'TIME_WAIT' ? TIME_WAIT_ANSWER_MS : REPEAT_ANSWER_MS
    if (now - this.#lastAnswerAt < intervalMs) return
    this.#lastAnswerAt = now
    this.#receiver.requestAck()
  }

  #advance(now: Instant): void {
    if (!this.#isOpen) return
    this.#closing.advance(now)
    if (this.#closing.isStarted) this.#state = 'FIN_WAIT'
    if (this.#closing.isDone) this.#enterTimeWait(now)
  }

  #enterTimeWait(now: Instant): void {
    this.#stop()
    this.#state = 'TIME_WAIT'
    this.#timeWaitAt = now + this.#tuning.timeWaitMs
    this.#events.add('closed')
  }

  /** Closed at once, whatever is under way. */
  #finish(failure: ConnectionFailure | undefined, tellPeer: boolean): void {
    const wasOver = this.#state === 'TIME_WAIT'
    const { nextSeq } = this.#sender
    this.#free()
    this.#mayTransmit = tellPeer
    if (tellPeer) this.#outgoing.requestRst(nextSeq)
    else this.#outgoing.forgetRst()
    if (wasOver) return
    this.#failure = failure
    this.#events.remove('writable')
    this.#events.add('closed')
  }

  #free(): void {
    this.#stop()
    this.#receiver.close()
    this.#state = 'CLOSED'
    this.#mayTransmit = false
  }

  #stop(): void {
    this.#opening.stop()
    this.#sender.close()
    this.#closing.stop()
    this.#liveness.stop()
    this.#timeWaitAt = NEVER
  }
}
