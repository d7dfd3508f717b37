/**
 * One attempt at a WebRTC path to one peer: negotiation over a stream, one data channel, its end. The
 * channel is a datagram path (unordered, never retransmitted): the tunnel's frames go through it as they are.
 */
import { equals } from '../../../core/bytes.ts'
import { type CryptoProvider, PilotError, type Signer } from '../../../core/index.ts'
import type { PilotConnection } from '../api.ts'
import {
  type DataChannel,
  descriptionOf,
  frameOf,
  type MakePeerConnection,
  type PeerConnection,
} from './peer-connection.ts'
import {
  decodeSignal,
  encodeSignal,
  type SignalBody,
  SignalDecoder,
  type SignalParties,
} from './signal-message.ts'

/** Frames larger than this do not go through a channel (every browser takes 16 KiB in one piece). */
export const CHANNEL_FRAME_MAX = 16_384
/** Above it the newest frame is dropped: the path is a queue of no one's. */
const BUFFERED_MAX = 1 << 20
const OPEN_TIMEOUT_MS = 20_000
/** Often over by itself; after that ICE is asked again, as it is at once when it failed. */
const DISCONNECTED_MS = 2500
/** Within which ICE has to find another way; then the connection is given up, and a new one tried. */
const REPAIR_MS = 10_000

export interface RtcSessionOptions {
  readonly crypto: CryptoProvider
  readonly identity: Signer
  readonly nodeId: number
  readonly peerId: number
  /** Registered key of the peer. */
  readonly peerKey: Uint8Array
  readonly stream: PilotConnection
  /** Set by who begins. */
  readonly session: string | undefined
  readonly createConnection: MakePeerConnection
  /** The channel carries datagrams from now on. */
  readonly onopen: (session: RtcSession) => void
  readonly onframe: (frame: Uint8Array) => void
  /** The attempt or the path is over, with the reason; called once. */
  readonly onend: (session: RtcSession, reason: string) => void
}

export class RtcSession {
  readonly peerId: number
  readonly isInitiator: boolean
  readonly #options: RtcSessionOptions
  readonly #connection: PeerConnection
  readonly #channel: DataChannel
  readonly #decoder = new SignalDecoder()
  /** Messages are dealt with one after the other: applying a description takes time. */
  #work: Promise<void> = Promise.resolve()
  /** Signatures may take time, and messages leave in order. */
  #saying: Promise<void> = Promise.resolve()
  #session: string | undefined
  #sent = 0
  #received = 0
  #isOpen = false
  #isOver = false
  readonly #timer: ReturnType<typeof setTimeout>
  #repairTimer: ReturnType<typeof setTimeout> | undefined

  constructor(options: RtcSessionOptions) {
    this.#options = options
    this.peerId = options.peerId
    this.#session = options.session
    this.isInitiator = options.session !== undefined
    this.#connection = options.createConnection()
    this.#channel = this.#connection.createDataChannel('pilot', {
      negotiated: true,
      id: 0,
      ordered: false,
      maxRetransmits: 0,
    })
    this.#watchConnection()
    this.#watchChannel()
    this.#watchStream()
    this.#timer = setTimeout(() => {
      if (!this.#isOpen) this.end('no direct path was found in time')
    }, OPEN_TIMEOUT_MS)
    if (this.isInitiator) this.#later(() => this.#offer(false))
  }

  get isOpen(): boolean {
    return this.#isOpen
  }

  /** True when the frame was taken. */
  send(frame: Uint8Array): boolean {
    if (!this.#isOpen || frame.length > CHANNEL_FRAME_MAX) return false
    if (this.#channel.bufferedAmount > BUFFERED_MAX) return false
    try {
      this.#channel.send(frame as Uint8Array<ArrayBuffer>)
      return true
    } catch {
      return false // the channel closed under us; its event follows
    }
  }

  /** Tells the peer and lets go of everything. */
  end(reason: string): void {
    if (this.#isOver) return
    this.#say({ kind: 'bye', reason })
    this.#isOver = true
    this.#isOpen = false
    clearTimeout(this.#timer)
    clearTimeout(this.#repairTimer)
    void this.#saying.then(() => this.#options.stream.close())
    this.#channel.close()
    this.#connection.close()
    this.#options.onend(this, reason)
  }

  #watchConnection(): void {
    const connection = this.#connection
    connection.onicecandidate = ({ candidate }) => {
      this.#say({ kind: 'candidate', candidate: candidate?.toJSON() ?? null })
    }
    connection.onconnectionstatechange = () => {
      const state = connection.connectionState
      if (state === 'connected') clearTimeout(this.#repairTimer)
      else if (state === 'disconnected') this.#repairAfter(DISCONNECTED_MS)
      else if (state === 'failed' && this.#isOpen) this.#repair()
      else if (state === 'failed') this.end('ICE found no path')
      else if (state === 'closed') this.end(connection.closeReason ?? 'the connection was closed')
    }
  }

  #repairAfter(ms: number): void {
    clearTimeout(this.#repairTimer)
    this.#repairTimer = setTimeout(() => this.#repair(), ms)
  }

  /** The network changed: new candidates over the same signaling, which never left the tunnel. */
  #repair(): void {
    if (!this.#isOpen) return
    clearTimeout(this.#repairTimer)
    this.#repairTimer = setTimeout(() => this.end('ICE found no other path'), REPAIR_MS)
    if (this.isInitiator) this.#later(() => this.#offer(true))
  }

  #watchChannel(): void {
    const channel = this.#channel
    channel.binaryType = 'arraybuffer'
    channel.onopen = () => {
      if (this.#isOver) return
      this.#isOpen = true
      this.#options.onopen(this)
    }
    channel.onmessage = ({ data }) => {
      const frame = frameOf(data)
      const isFrame = frame !== undefined && frame.length <= CHANNEL_FRAME_MAX
      if (isFrame && !this.#isOver) this.#options.onframe(frame)
    }
    channel.onclose = () => this.end('the channel was closed')
  }

  #watchStream(): void {
    const { stream } = this.#options
    const read = (): void => {
      for (let data = stream.read(); data !== undefined; data = stream.read())
        this.#decoder.push(data)
      this.#readSignals()
      if (stream.ended) this.end('the peer ended the negotiation')
    }
    stream.onreadable = read
    stream.onclose = () => this.end('the signaling stream was lost')
    read()
  }

  #readSignals(): void {
    const { crypto, nodeId, peerId, peerKey } = this.#options
    try {
      for (let json = this.#decoder.next(); json !== undefined; json = this.#decoder.next()) {
        const parties = { sender: peerId, receiver: nodeId }
        const signal = decodeSignal(crypto, peerKey, parties, json)
        this.#session ??= signal.session
        // Repeated, dropped or reordered signals can only be somebody's doing: the stream does not.
        if (signal.session !== this.#session || signal.sequence !== this.#received + 1)
          return this.end('signaling was tampered with')
        this.#received = signal.sequence
        this.#later(() => this.#apply(signal.body))
      }
    } catch (error) {
      if (!(error instanceof PilotError)) throw error
      this.end(`signaling refused: ${error.message}`)
    }
  }

  async #apply(body: SignalBody): Promise<void> {
    if (this.#isOver) return
    const connection = this.#connection
    if (body.kind === 'bye') return this.end(`the peer gave up: ${body.reason}`)
    if (body.kind === 'candidate')
      return void (await connection.addIceCandidate(body.candidate ?? undefined).catch(() => {}))
    await connection.setRemoteDescription({ type: body.type, sdp: body.sdp })
    if (body.type !== 'offer') return
    const answer = descriptionOf(await connection.createAnswer())
    await connection.setLocalDescription(answer)
    this.#say({ kind: 'description', ...answer })
  }

  async #offer(iceRestart: boolean): Promise<void> {
    if (this.#isOver) return
    const offer = descriptionOf(await this.#connection.createOffer({ iceRestart }))
    await this.#connection.setLocalDescription(offer)
    this.#say({ kind: 'description', ...offer })
  }

  #say(body: SignalBody): void {
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

  #later(work: () => Promise<void>): void {
    this.#work = this.#work.then(work).catch((error: unknown) => {
      this.end(error instanceof Error ? error.message : String(error))
    })
  }
}

/** Of two attempts at once the one of the smaller public key goes on. */
export function yieldsTo(own: Uint8Array, peer: Uint8Array): boolean {
  if (equals(own, peer)) return false
  for (let i = 0; i < own.length; i++) if (own[i] !== peer[i]) return own[i]! > peer[i]!
  return false
}
