/**
 * One WebRTC connection to one peer, with one data channel, as a path. The channel is a datagram path (unordered,
 * never retransmitted): the tunnel's frames go through it as they are. Descriptions and candidates travel by the
 * session with the peer; who began that offers.
 */

import type { PathOutlet } from '../path-socket.ts'
import type { SignalBody } from '../paths/signal-message.ts'
import {
  type DataChannel,
  descriptionOf,
  frameOf,
  type IceCandidate,
  type MakePeerConnection,
  type PeerConnection,
  type SessionDescription,
} from './peer-connection.ts'

/** Frames larger than this do not go through a channel (every browser takes 16 KiB in one piece). */
export const CHANNEL_FRAME_MAX = 16_384
/** Above it the newest frame is dropped; who sends is told long before (`SendGauge`). */
const BUFFERED_MAX = 2 << 20
/** Below it the channel says that it has drained. */
const LOW_BYTES: number = 256 << 10
/** Candidates that are kept until the description has come. */
const CANDIDATES_MAX = 64
const OPEN_TIMEOUT_MS = 20_000
/** So long an answer may take to arrive before checks do. */
const ANSWER_AHEAD_MS = 250
/** Often over by itself; after that ICE is asked again, as it is at once when it failed. */
const DISCONNECTED_MS = 2500
/** Within which ICE has to find another way; then the connection is given up, and a new one tried. */
const REPAIR_MS = 10_000

/** What fails once ICE has found a way is DTLS: the certificate is not the one described (RFC 8827 §6.5). */
const OTHER_CERTIFICATE =
  'the other end has another certificate than the one that the peer signed for'

export interface RtcPathOptions {
  readonly createConnection: MakePeerConnection
  readonly isInitiator: boolean
  /** Tells the peer. */
  readonly say: (body: SignalBody) => void
  /** Runs after the messages before it have been dealt with; what it throws ends the session. */
  readonly later: (work: () => Promise<void>) => void
  /** The channel carries datagrams from now on. */
  readonly onopen: () => void
  readonly onframe: (frame: Uint8Array) => void
  /** The attempt or the path is over, with the reason; called once. */
  readonly onend: (reason: string) => void
}

export class RtcPath implements PathOutlet {
  ondrained: (() => void) | undefined
  readonly #options: RtcPathOptions
  readonly #connection: PeerConnection
  readonly #channel: DataChannel
  /** Candidates of ours that wait for our description, and of the peer's for its own: some come first. */
  #unsaid: (IceCandidate | null)[] | undefined = []
  #unheard: (IceCandidate | null)[] | undefined = []
  #failure = 'ICE found no path'
  #isOpen = false
  #isOver = false
  readonly #timer: ReturnType<typeof setTimeout>
  #repairTimer: ReturnType<typeof setTimeout> | undefined

  constructor(options: RtcPathOptions) {
    this.#options = options
    this.#connection = options.createConnection()
    this.#channel = this.#connection.createDataChannel('pilot', {
      negotiated: true,
      id: 0,
      ordered: false,
      maxRetransmits: 0,
    })
    this.#watchConnection()
    this.#watchChannel()
    this.#timer = setTimeout(() => {
      if (!this.#isOpen) this.end('no direct path was found in time')
    }, OPEN_TIMEOUT_MS)
    if (options.isInitiator) options.later(() => this.#offer(false))
  }

  get isOpen(): boolean {
    return this.#isOpen
  }

  get bufferedAmount(): number {
    return this.#isOpen ? this.#channel.bufferedAmount : 0
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

  async handle(body: SignalBody): Promise<void> {
    if (this.#isOver) return
    const connection = this.#connection
    if (body.kind === 'candidate') return this.#hear(body.candidate)
    if (body.kind !== 'description') return
    // Offers come from who began, answers from the other: anything else would let one undo what the other applied.
    if ((body.type === 'offer') === this.#options.isInitiator)
      return this.end(`the peer sent an ${body.type} out of turn`)
    await connection.setRemoteDescription({ type: body.type, sdp: body.sdp })
    // Firefox that is asked before it has the answer may agree to every way and choose none (seen with 153).
    const isLater = body.type === 'offer' && body.sdp.includes('o=mozilla')
    if (!isLater) await this.#hearAll()
    if (body.type !== 'offer' || this.#isOver) return
    const answer = descriptionOf(await connection.createAnswer())
    this.#unsaid ??= []
    await connection.setLocalDescription(answer)
    this.#describe(answer)
    if (!isLater) return
    await new Promise((resolve) => setTimeout(resolve, ANSWER_AHEAD_MS))
    await this.#hearAll()
  }

  end(reason: string): void {
    if (this.#isOver) return
    this.#isOver = true
    this.#isOpen = false
    clearTimeout(this.#timer)
    clearTimeout(this.#repairTimer)
    this.#channel.close()
    this.#connection.close()
    this.#options.onend(reason)
  }

  #watchConnection(): void {
    const connection = this.#connection
    connection.onicecandidate = ({ candidate }) => {
      const json = candidate?.toJSON() ?? null
      if (this.#isOver) return
      if (this.#unsaid !== undefined) this.#unsaid.push(json)
      else this.#options.say({ kind: 'candidate', candidate: json })
    }
    connection.oniceconnectionstatechange = () => {
      const ice = connection.iceConnectionState
      if (ice === 'connected' || ice === 'completed') this.#failure = OTHER_CERTIFICATE
    }
    connection.onconnectionstatechange = () => {
      const state = connection.connectionState
      if (state === 'connected') clearTimeout(this.#repairTimer)
      else if (state === 'disconnected') this.#repairAfter(DISCONNECTED_MS)
      else if (state === 'failed' && this.#isOpen) this.#repair()
      else if (state === 'failed') this.end(this.#failure)
      else if (state === 'closed')
        this.#closed(connection.closeReason ?? 'the connection was closed')
    }
  }

  /** Some implementations close what failed before they say that it failed. */
  #closed(reason: string): void {
    const hasFailed = !this.#isOpen && this.#failure === OTHER_CERTIFICATE
    this.end(hasFailed ? this.#failure : reason)
  }

  #repairAfter(ms: number): void {
    clearTimeout(this.#repairTimer)
    this.#repairTimer = setTimeout(() => this.#repair(), ms)
  }

  /** The network changed: new candidates over the same session, which never left the tunnel. */
  #repair(): void {
    if (!this.#isOpen) return
    clearTimeout(this.#repairTimer)
    this.#repairTimer = setTimeout(() => {
      if (this.#connection.connectionState !== 'connected') this.end('ICE found no other path')
    }, REPAIR_MS)
    if (this.#options.isInitiator) this.#options.later(() => this.#offer(true))
  }

  #watchChannel(): void {
    const channel = this.#channel
    channel.binaryType = 'arraybuffer'
    channel.onopen = () => {
      if (this.#isOver || this.#isOpen) return
      this.#isOpen = true
      this.#options.onopen()
    }
    channel.onmessage = ({ data }) => {
      const frame = frameOf(data)
      const isFrame = frame !== undefined && frame.length <= CHANNEL_FRAME_MAX
      if (isFrame && !this.#isOver) this.#options.onframe(frame)
    }
    channel.bufferedAmountLowThreshold = LOW_BYTES
    channel.onbufferedamountlow = () => this.ondrained?.()
    channel.onclose = () => this.#closed('the channel was closed')
  }

  async #offer(iceRestart: boolean): Promise<void> {
    if (this.#isOver) return
    const offer = descriptionOf(await this.#connection.createOffer({ iceRestart }))
    this.#unsaid ??= [] // those of a restart, too, wait for their description
    await this.#connection.setLocalDescription(offer)
    this.#describe(offer)
  }

  /** The description, and the candidates that were there before it. */
  #describe(description: SessionDescription): void {
    const { say } = this.#options
    if (this.#isOver) return
    say({ kind: 'description', ...description })
    for (const candidate of this.#unsaid ?? []) say({ kind: 'candidate', candidate })
    this.#unsaid = undefined
  }

  async #hearAll(): Promise<void> {
    const unheard = this.#unheard ?? []
    this.#unheard = undefined
    for (const candidate of unheard) await this.#hear(candidate)
  }

  async #hear(candidate: IceCandidate | null): Promise<void> {
    if (this.#unheard === undefined)
      await this.#connection.addIceCandidate(candidate ?? undefined).catch(() => {})
    else if (this.#unheard.length < CANDIDATES_MAX) this.#unheard.push(candidate)
  }
}
