/**
 * Talk with a peer about paths: one stream of the tunnel, messages signed and numbered in each direction (spec/10 §6).
 * What they say is others' business; anything out of turn ends it.
 */
import { type CryptoProvider, PilotError, type Signer } from '../../../core/index.ts'
import type { PilotConnection } from '../api.ts'
import {
  decodeSignal,
  encodeSignal,
  type SignalBody,
  SignalDecoder,
  type SignalParties,
} from './signal-message.ts'

export interface PathSessionOptions {
  readonly crypto: CryptoProvider
  readonly identity: Signer
  readonly nodeId: number
  readonly peerId: number
  /** Registered key of the peer. */
  readonly peerKey: Uint8Array
  readonly stream: PilotConnection
  /** Set by who begins. */
  readonly session: string | undefined
  /** In order, one at a time: the next waits for the promise. */
  readonly onbody: (body: SignalBody) => Promise<void> | void
  /** It is over, with the reason, `''` when all was said; called once. */
  readonly onend: (reason: string) => void
}

/** Why a talk ended whose stream did before the peer said goodbye. */
export const STREAM_LOST = 'the signaling stream was lost'

export class PathSession {
  readonly isInitiator: boolean
  readonly #options: PathSessionOptions
  readonly #decoder = new SignalDecoder()
  #work: Promise<void> = Promise.resolve()
  /** Signatures may take time, and messages leave in order. */
  #saying: Promise<void> = Promise.resolve()
  #session: string | undefined
  #sent = 0
  #received = 0
  #isOver = false

  constructor(options: PathSessionOptions) {
    this.#options = options
    this.#session = options.session
    this.isInitiator = options.session !== undefined
    const { stream } = options
    stream.onreadable = () => this.#read()
    stream.onclose = () => this.later(() => this.end(STREAM_LOST))
    // Told later: whoever made this has not got hold of it yet.
    queueMicrotask(() => this.#read())
  }

  /** Who did not begin can say nothing before it has heard something. */
  say(body: SignalBody): void {
    const { crypto, identity, nodeId, peerId, stream } = this.#options
    if (this.#isOver || this.#session === undefined) return
    const parties: SignalParties = { sender: nodeId, receiver: peerId, session: this.#session }
    const signing = encodeSignal(crypto, identity, parties, ++this.#sent, body)
    signing.catch(() => {}) // told below, in its turn
    this.#saying = this.#saying
      .then(async () => {
        const frame = await signing
        // A few KiB into a send buffer of a MiB: what does not fit is a peer that does not read.
        if (stream.write(frame) < frame.length) this.end('the peer does not read signaling')
      })
      .catch((error: unknown) => this.end(error instanceof Error ? error.message : String(error)))
  }

  /** Tells the peer, unless it is over. */
  end(reason: string): void {
    if (this.#isOver) return
    this.say({ kind: 'bye', reason })
    this.#isOver = true
    void this.#saying.then(() => this.#options.stream.close())
    this.#options.onend(reason)
  }

  /** Runs after what came before is done; what it throws ends the session. */
  later(work: () => Promise<void> | void): void {
    this.#work = this.#work
      .then(() => (this.#isOver ? undefined : work()))
      .catch((error: unknown) => this.end(error instanceof Error ? error.message : String(error)))
  }

  #read(): void {
    const { stream } = this.#options
    try {
      for (let data = stream.read(); data !== undefined; data = stream.read()) {
        this.#decoder.push(data)
        this.#readSignals()
      }
    } catch (error) {
      if (!(error instanceof PilotError)) throw error
      this.end(`signaling refused: ${error.message}`)
    }
    if (stream.ended) this.later(() => this.end('the peer ended the negotiation'))
  }

  #readSignals(): void {
    const { crypto, nodeId, peerId, peerKey, onbody } = this.#options
    for (let json = this.#decoder.next(); json !== undefined; json = this.#decoder.next()) {
      if (this.#isOver) return
      const signal = decodeSignal(crypto, peerKey, { sender: peerId, receiver: nodeId }, json)
      this.#session ??= signal.session
      // Repeated, dropped or reordered messages can only be somebody's doing: the stream does not.
      if (signal.session !== this.#session || signal.sequence !== this.#received + 1)
        return this.end('signaling was tampered with')
      this.#received = signal.sequence
      const { body } = signal
      if (body === undefined) continue // of a later version
      this.later(() => {
        if (body.kind !== 'bye') return onbody(body)
        this.end(body.reason === '' ? '' : `the peer gave up: ${body.reason}`)
        return undefined
      })
    }
  }
}
